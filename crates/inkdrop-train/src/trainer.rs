//! The trainer: network, data, optimizer and EMA, and the training step from top to bottom.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use inkdrop_checkpoint::StateDict;
use inkdrop_data::loader::{Batch, BatchSampler, DataLoader, DataLoaderConfig};
use inkdrop_data::{DataError, Dataset, Depth, Images, LabelledDataset, Labels};
use inkdrop_nn::{Mode, TrainableNetwork};
use inkdrop_process::{
    DiffusionProcess, ImageCondition, LossTerms, ProcessError, Teacher, TrainingObjective, pixels,
};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

use crate::batch::{
    BatchOptions, LabelTable, Share, TrainingBatch, dropout_seed, microbatches, step_seed,
};
use crate::condition::{ConditionDraws, image_condition};
use crate::data_parallel::Processes;
use crate::immiscible::assign_noise;
use crate::metrics::{BatchLoss, BatchLossBuilder, MetricsAccumulator, PendingMetrics, Throughput};
use crate::optimizer::Gradients;
use crate::validation::Validation;
use crate::{
    Adam, DataParallel, EmaDecay, EmaSet, LabelUse, LossCurve, LossScaler, MasterWeight,
    MasterWeights, Precision, StepMetrics, TimestepConfig, TimestepSampler, TrainConfig,
    TrainError,
};

/// Trains a network: takes optimizer steps, one at a time.
///
/// All random numbers of step s follow from (seed, s) and from the state in checkpoints, so that
/// a resumed run equals an uninterrupted one.
///
/// The trainer seeds libtorch's default generator before each microbatch. So every layer draws the same
/// dropout key in all microbatches, and so does a network of one's own that calls
/// [`inkdrop_torch::dropout`] with [`Conditioning::first_image`](inkdrop_nn::Conditioning::first_image).
/// Other random numbers of a network repeat in each microbatch.
///
/// ```
/// # use inkdrop_data::sprites;
/// # use inkdrop_process::{Process, ProcessConfig};
/// # use inkdrop_torch::tch::{Device, Kind};
/// # use inkdrop_train::{LabelUse, TrainConfig, Trainer};
/// # use inkdrop_unet::{ContextConfig, ModelConfig};
/// # let model = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
/// # let network = model.build(Kind::Float, Device::Cpu)?;
/// # let ema_network = model.build_uninitialized(Kind::Float, Device::Cpu)?;
/// # let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
/// # let config = TrainConfig { steps: 5, batch: 4, ..TrainConfig::default() };
/// let mut trainer = Trainer::builder(network, ema_network, process, sprites::dataset(0, 16))
///     .labels(LabelUse::Context)
///     .build(config)?;
/// for metrics in trainer.steps() {
///     let metrics = metrics?;
///     println!("step {}: loss {}", metrics.step, metrics.loss);
///     if metrics.step == 2 {
///         break;
///     }
/// }
/// assert_eq!(trainer.step(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer {
    pub(crate) config: TrainConfig,
    pub(crate) network: Box<dyn TrainableNetwork>,
    process: Box<dyn DiffusionProcess>,
    objective: Box<dyn TrainingObjective + Send>,
    pub(crate) master: MasterWeights,
    pub(crate) ema: EmaSet,
    pub(crate) optimizer: Adam,
    pub(crate) loss_scaler: LossScaler,
    pub(crate) timestep_sampler: TimestepSampler,
    pub(crate) loader: DataLoader,
    labels: LabelTable,
    /// The image that the network is conditioned on.
    condition: Option<ImageCondition>,
    /// Images to make examples of the condition from, and their crop.
    examples: (Arc<dyn Dataset>, Option<[usize; 2]>),
    validation: Option<Validation>,
    pub(crate) processes: Processes,
    /// Number of steps done.
    pub(crate) step: usize,
    pub(crate) metrics: MetricsAccumulator,
    pub(crate) throughput: Throughput,
    pub(crate) loss_curve: LossCurve,
    /// The batch of the last step, for [`Trainer::sanity_loss`].
    pub(crate) last_batch: Option<TrainingBatch>,
    /// True to read the metrics of a step during the next one, so that the GPU never waits.
    deferred_metrics: bool,
    pub(crate) pending: Option<PendingMetrics>,
    /// Describes the training data; a resumed run requires the same.
    pub(crate) data: String,
    /// Names the source of the initial weights; empty for random weights.
    pub(crate) origin: String,
    /// Metadata that every checkpoint has besides the state.
    pub(crate) checkpoint_metadata: BTreeMap<String, String>,
}

/// Builds a [`Trainer`]; made by [`Trainer::builder`].
pub struct TrainerBuilder {
    network: Box<dyn TrainableNetwork>,
    ema_network: Box<dyn TrainableNetwork>,
    process: Box<dyn DiffusionProcess>,
    data: LabelledDataset,
    image_shape: Option<[usize; 3]>,
    labels: LabelUse,
    condition: Option<ImageCondition>,
    class_names: Vec<String>,
    validation: Option<LabelledDataset>,
    data_parallel: Option<Box<dyn DataParallel>>,
    teacher: Option<Teacher>,
    checkpoint_metadata: BTreeMap<String, String>,
}

impl TrainerBuilder {
    /// Sets channels, rows and columns of the network's input. The default is the data's shape;
    /// random crops require a smaller one.
    pub fn image_shape(self, image_shape: [usize; 3]) -> Self {
        Self { image_shape: Some(image_shape), ..self }
    }

    /// Sets how the network is conditioned on labels. The default is [`LabelUse::None`].
    pub fn labels(self, labels: LabelUse) -> Self {
        Self { labels, ..self }
    }

    /// Sets the image that the network is conditioned on. The data of [`ImageCondition::Pair`] have the channels
    /// of the condition behind those of the image ([`inkdrop_data::Paired`]).
    pub fn image_condition(self, condition: ImageCondition) -> Self {
        Self { condition: Some(condition), ..self }
    }

    /// Sets the names of the classes or contexts; a resumed run requires the same names.
    pub fn class_names(self, class_names: Vec<String>) -> Self {
        Self { class_names, ..self }
    }

    /// Sets images for the validation loss; the network is not trained on them.
    pub fn validation(self, validation: impl Into<LabelledDataset>) -> Self {
        Self { validation: Some(validation.into()), ..self }
    }

    /// Trains together with other processes, each on its share of every batch. All of them build the
    /// same trainer.
    pub fn data_parallel(self, processes: Box<dyn DataParallel>) -> Self {
        Self { data_parallel: Some(processes), ..self }
    }

    /// Sets metadata of all checkpoints, such as the network's config, so that a checkpoint explains
    /// itself. Each value is JSON.
    pub fn checkpoint_metadata(self, checkpoint_metadata: BTreeMap<String, String>) -> Self {
        Self { checkpoint_metadata, ..self }
    }

    /// Sets the teacher of a distillation.
    pub fn teacher(self, teacher: Teacher) -> Self {
        Self { teacher: Some(teacher), ..self }
    }

    /// Builds the trainer, at step 0.
    ///
    /// # Errors
    /// The config is invalid, the data does not fit the network, or a batch has fewer images than there
    /// are processes.
    pub fn build(self, config: TrainConfig) -> Result<Trainer, TrainError> {
        config.check()?;
        let Self { network, ema_network, process, data, image_shape, .. } = self;
        let (labels, class_names) = (self.labels, self.class_names);
        check_timesteps(&config, process.as_ref())?;
        check_immiscible(&config, self.data_parallel.is_some())?;
        let mut objective = process.objective(&config.objective())?;
        match self.teacher {
            Some(teacher) => objective.set_teacher(teacher)?,
            None if objective.needs_teacher() => return Err(ProcessError::NeedsTeacher.into()),
            None => {}
        }
        let condition = self.condition;
        let [height, width, channels] = data.images.shape();
        let mut data_shape = [channels, height, width];
        if let Some([channels, height, width]) = image_shape {
            let paired = condition.map_or(0, |condition| condition.paired_channels() as usize);
            data_shape = [channels + paired, height, width];
        }
        if let Some(condition) = condition {
            condition.check([data_shape[1], data_shape[2]].map(|side| side as i64))?;
        }
        let master = MasterWeights::new(network.params())?;
        let crop = crop_window(&data, data_shape, config.crop)?;
        let mut processes = Processes::new(self.data_parallel);
        let batches = BatchSampler::new(data.images.len(), config.batch, config.seed)?;
        let batches = batches.shard(processes.rank(), processes.count())?;
        processes.register(&master.trained().map(MasterWeight::model).collect::<Vec<_>>())?;
        if network.params().has_batch_norm() && config.sync_batch_norm && processes.count() > 1 {
            check_equal_passes(&config, data.images.len(), processes.count())?;
            if let Some(sums) = processes.batch_statistics()? {
                network.params().synchronize_batch_norm(sums);
            }
        }
        let augmentation = DataLoaderConfig { flip: config.flip, crop, workers: config.workers };
        let shown = self.validation.as_ref().unwrap_or(&data);
        let examples = (shown.images.clone(), crop_window(shown, data_shape, config.crop)?);
        let validation = self.validation.map(|data| {
            let crop = crop_window(&data, data_shape, config.crop)?;
            Validation::new(&data, labels, crop, config.validation_images)
        });
        // Losses are gathered on the host after each step.
        let deferred_metrics =
            processes.count() == 1 && can_defer_metrics(network.as_ref(), &config);
        Ok(Trainer {
            objective,
            ema: EmaSet::new(ema_network, &master, &config.ema)?,
            optimizer: Adam::new(&master, config.adam())?,
            loss_scaler: LossScaler::for_precision(config.precision),
            timestep_sampler: TimestepSampler::new(config.timesteps, process.training_levels()),
            process,
            data: describe(&data, &class_names),
            labels: LabelTable::new(&data.labels, labels)?,
            loader: DataLoader::new(data.images, batches, augmentation)?,
            condition,
            examples,
            validation: validation.transpose()?,
            processes,
            step: 0,
            metrics: MetricsAccumulator::default(),
            throughput: Throughput::start(Duration::ZERO),
            loss_curve: LossCurve::default(),
            last_batch: None,
            deferred_metrics,
            pending: None,
            origin: String::new(),
            checkpoint_metadata: self.checkpoint_metadata,
            master,
            network,
            config,
        })
    }
}

/// True if no step depends on the metrics of the step before, and the network is on a GPU.
fn can_defer_metrics(network: &dyn TrainableNetwork, config: &TrainConfig) -> bool {
    matches!(network.params().device(), Device::Cuda(_))
        && config.precision != Precision::F16
        && config.timesteps == TimestepConfig::Uniform
}

/// The training step.
impl Trainer {
    /// One optimizer step.
    ///
    /// If the loss or the gradient norm is NaN or infinite, the weights do not change, and
    /// [`Trainer::record`] returns an error. In f16, a gradient norm that is NaN or infinite while
    /// the loss is finite is not an error: it lowers the loss scale, and the step counts.
    ///
    /// Returns the metrics that are on the host: those of this step or, if metrics are deferred,
    /// those of the step before it.
    fn train_step(&mut self) -> Result<Option<StepMetrics>, TrainError> {
        // Noise, label dropout and dropout: another run in this process must not draw in between.
        let _generator = DefaultGenerator::seeded(step_seed(self.config.seed, self.step) as i64);
        self.objective.start_step(self.step, self.config.steps);
        let batch = self.load_batch()?;
        let loss = self.accumulate_gradients(&batch)?.gather(&batch, &self.processes)?;
        // Mixed precision: gradients in f32, with the loss scaling undone.
        let mut gradients = self.master.gradients(self.loss_scaler.factor())?;
        self.optimizer.leave_out_frozen(&mut gradients);
        let grad_norm = gradients.norm()?;
        if let Some(max_norm) = self.config.clip_norm {
            gradients.clip(&grad_norm, max_norm)?; // gradient clipping
        }
        let lr = self.config.lr_at(self.step); // warmup and decay
        let metrics = PendingMetrics::new(self.step + 1, lr, &batch.timesteps, &loss, &grad_norm)?;
        if self.deferred_metrics {
            let skip = metrics.not_finite()?;
            self.update_weights(&gradients, lr, Some(&skip))?;
            self.complete_step(batch);
            return self.pending.replace(metrics).map(PendingMetrics::read).transpose();
        }
        let metrics = metrics.read()?;
        let scaled = self.config.precision == Precision::F16;
        let finite = metrics.grad_norm.is_finite();
        if !metrics.loss.is_finite() || (!finite && !scaled) {
            return Ok(Some(metrics)); // `record` makes it an error
        }
        if finite {
            self.update_weights(&gradients, lr, None)?;
        }
        if scaled {
            self.loss_scaler = self.loss_scaler.after(finite);
        }
        self.timestep_sampler.update(&metrics.timesteps.t, &metrics.losses);
        self.complete_step(batch);
        Ok(Some(metrics))
    }

    /// Loads this process's share of the batch of this step, and samples timesteps and noise. All
    /// random numbers follow from (seed, step) and, with importance sampling of timesteps, from the
    /// losses so far.
    fn load_batch(&mut self) -> Result<TrainingBatch, TrainError> {
        let loaded = self.loader.batch(self.step); // prefetched by the data loader
        if self.processes.any(loaded.is_err())? && loaded.is_ok() {
            return Err(TrainError::Images(DataError::Images(
                "the images of another process cannot be read; its message says why".to_string(),
            )));
        }
        let Batch { indices, images } = loaded?;
        let (mut all, positions) = {
            let batches = self.loader.batches();
            (batches.global_indices(self.step), batches.positions(self.step))
        };
        all[positions.clone()].copy_from_slice(&indices); // where unreadable images were replaced
        let labels = self.labels.batch(&all, self.config.label_dropout)?;
        let share = Share::new(positions);
        let x0 = match share.counts {
            true => self.to_device(&images)?,
            false => self.blank_image()?,
        };
        let seed = step_seed(self.config.seed, self.step);
        let condition_seed = step_seed(seed, 2); // a seed of its own: no other random number of the step moves
        let timesteps = self.timestep_sampler.sample(all.len(), seed);
        let mut batch =
            TrainingBatch::new((x0, share), timesteps, labels, self.batch_options(condition_seed))?;
        if self.config.immiscible {
            batch.noise = assign_noise(&batch.x0, &batch.noise)?;
        }
        Ok(batch)
    }

    /// The settings of a batch.
    pub(crate) fn batch_options(&self, condition_seed: u64) -> BatchOptions {
        BatchOptions { condition: self.condition, condition_seed, ..self.config.batch_options() }
    }

    /// Gradient accumulation: sums the gradients of the batch over its microbatches, and over all
    /// processes.
    fn accumulate_gradients(&mut self, batch: &TrainingBatch) -> Result<BatchLoss, TrainError> {
        self.master.zero_grad()?;
        // The gradient of the whole batch is the average over the processes.
        let processes = self.processes.count() as f64;
        let scale = self.loss_scaler.factor() * processes / batch.global_len() as f64;
        // Sums of 16-bit gradients lose small ones: they are summed, and averaged over processes, in f32.
        let share = batch.global_len().div_ceil(self.processes.count());
        let in_f32 = self.config.precision != Precision::F32
            && self.config.microbatch.is_some_and(|most| most < share);
        let mut batch_loss = BatchLossBuilder::default();
        let seed = dropout_seed(self.config.seed, self.step);
        for range in microbatches(batch.len(), self.config.microbatch) {
            // Each layer draws the same dropout key in all microbatches; with the index of the image,
            // the masks of a batch do not depend on its division.
            let _generator = DefaultGenerator::seeded(seed as i64);
            let terms = self.training_terms(batch, &range)?;
            let weights = batch.importance_weights(&range, &terms.loss)?;
            // Importance sampling of timesteps: the weights keep the expected loss the same.
            let loss = terms.loss.f_mul(&weights)?.f_sum(terms.loss.kind())?;
            let is_last = range.end == batch.len();
            self.processes.backward(&loss.f_mul_scalar(scale)?, is_last && !in_f32)?; // loss scaling
            batch_loss.add(terms, &weights)?;
            if in_f32 {
                self.master.collect_gradients()?;
            }
        }
        if in_f32 {
            let gradients = self.master.gradients(1.0)?;
            self.processes.average(&gradients.tensors.iter().flatten().collect::<Vec<_>>())?;
        }
        self.throughput.add_all_reduces(&self.processes.take_all_reduces()?);
        batch_loss.finish()
    }

    /// The loss of a microbatch in training, with self-conditioning if this step has it.
    fn training_terms(
        &self,
        batch: &TrainingBatch,
        range: &Range<usize>,
    ) -> Result<LossTerms, TrainError> {
        let network = self.network.as_ref();
        // A stand-in for a share without images stays out of the running statistics.
        let mode = match batch.share().counts || !network.params().has_batch_norm() {
            true => Mode::Train,
            false => Mode::Recompute,
        };
        let part = |tensor: &Tensor| TrainingBatch::part(tensor, range);
        let (x0, t, noise) = (part(&batch.x0)?, part(&batch.t)?, part(&batch.noise)?);
        let images = (&x0, &t, &noise);
        let mut conditioning = batch.conditioning(range)?;
        if network.is_self_conditioned() && self.config.self_conditions(self.step) {
            let earlier = self.objective.self_condition(network, images, &conditioning, mode)?;
            conditioning.self_condition = Some(earlier);
        }
        Ok(self.objective.terms(network, images, &conditioning, mode)?)
    }

    /// The loss of a network on a microbatch, without self-conditioning.
    pub(crate) fn loss_terms(
        &self,
        network: &dyn TrainableNetwork,
        batch: &TrainingBatch,
        range: &Range<usize>,
        mode: Mode,
    ) -> Result<LossTerms, TrainError> {
        let part = |tensor: &Tensor| TrainingBatch::part(tensor, range);
        let (x0, t, noise) = (part(&batch.x0)?, part(&batch.t)?, part(&batch.noise)?);
        let conditioning = batch.conditioning(range)?;
        Ok(self.objective.terms(network, (&x0, &t, &noise), &conditioning, mode)?)
    }

    /// Optimizer step, then the update of the network and of the EMA.
    ///
    /// - skip: one f32 on the device; if it is 1, the weights do not change
    fn update_weights(
        &mut self,
        gradients: &Gradients,
        lr: f64,
        skip: Option<&Tensor>,
    ) -> Result<(), TrainError> {
        self.optimizer.step_unless(gradients, lr, skip)?;
        if self.shards_optimizer() {
            self.optimizer.share_weights(&self.processes)?;
        }
        if !self.network.params().batch_norm_is_synchronized() {
            self.processes.average(&self.master.statistics())?;
        }
        self.master.sync_to_model()?;
        self.ema.update(&self.master, self.step, self.config.batch) // exponential moving average
    }

    /// True if each process keeps a share of the optimizer state.
    pub(crate) fn shards_optimizer(&self) -> bool {
        self.config.shard_optimizer && self.processes.count() > 1
    }

    fn complete_step(&mut self, batch: TrainingBatch) {
        self.last_batch = Some(batch);
        self.step += 1;
    }

    /// Images on the network's device, [B, C, H, W] in [-1, 1].
    pub(crate) fn to_device(&self, images: &Images) -> Result<Tensor, TrainError> {
        let device = self.network.params().device();
        Ok(match images.wide() {
            Some(wide) => pixels::wide_to_tensor(wide.iter().copied(), images.nhwc(), device)?,
            None => pixels::to_tensor(images.bytes(), images.nhwc(), device)?,
        })
    }

    /// [1, C, H, W] of zeros.
    fn blank_image(&self) -> Result<Tensor, TrainError> {
        let [height, width, channels] = self.loader.shape().map(|axis| axis as i64);
        let device = self.network.params().device();
        Ok(Tensor::f_zeros([1, channels, height, width], (Kind::Float, device))?)
    }
}

/// Stepping and metrics.
impl Trainer {
    /// Starts to build a trainer.
    ///
    /// - network: the network to train, built with [`Precision::torso`]
    /// - ema_network: a network of the same config in f32; it holds the first EMA
    /// - process: the diffusion process that the network is trained for
    /// - data: the training images
    pub fn builder(
        network: Box<dyn TrainableNetwork>,
        ema_network: Box<dyn TrainableNetwork>,
        process: impl Into<Box<dyn DiffusionProcess>>,
        data: impl Into<LabelledDataset>,
    ) -> TrainerBuilder {
        let data = data.into();
        TrainerBuilder {
            network,
            ema_network,
            process: process.into(),
            data,
            image_shape: None,
            labels: LabelUse::None,
            condition: None,
            class_names: Vec::new(),
            validation: None,
            data_parallel: None,
            teacher: None,
            checkpoint_metadata: BTreeMap::new(),
        }
    }

    /// Takes the next optimizer step and returns its metrics; `None` after the last step.
    ///
    /// On a GPU the metrics are read one step late, so that the device never waits for the host:
    /// the first call takes two steps, and [`Trainer::flush`] reads what is pending. With f16 or
    /// importance sampling of timesteps, which need them at once, they are not late.
    ///
    /// # Errors
    /// The loss or the gradient norm is NaN or infinite (in f16, the norm only after the loss scale
    /// has reached its minimum), or an image cannot be read.
    pub fn next_step(&mut self) -> Result<Option<StepMetrics>, TrainError> {
        while !self.is_finished() {
            if let Some(metrics) = self.take_step()? {
                return Ok(Some(metrics));
            }
        }
        self.flush()
    }

    /// An iterator over the remaining steps: [`Trainer::next_step`] until it returns `None`.
    pub fn steps(&mut self) -> impl Iterator<Item = Result<StepMetrics, TrainError>> {
        std::iter::from_fn(|| self.next_step().transpose())
    }

    /// Takes `steps` steps, or as many as are left, and returns their metrics.
    ///
    /// # Errors
    /// As for [`Trainer::next_step`].
    pub fn run_steps(&mut self, steps: usize) -> Result<Vec<StepMetrics>, TrainError> {
        let mut metrics = Vec::new();
        for _ in 0..steps.min(self.config.steps.saturating_sub(self.step)) {
            metrics.extend(self.take_step()?);
        }
        metrics.extend(self.flush()?);
        Ok(metrics)
    }

    /// Takes one optimizer step, and records the metrics that are on the host.
    pub(crate) fn take_step(&mut self) -> Result<Option<StepMetrics>, TrainError> {
        let metrics = self.train_step()?;
        metrics.map(|metrics| self.record(metrics)).transpose()
    }

    /// Waits for the device and returns the metrics of the last step, unless they were returned
    /// before.
    ///
    /// # Errors
    /// The loss or the gradient norm is NaN or infinite.
    pub fn flush(&mut self) -> Result<Option<StepMetrics>, TrainError> {
        let metrics = self.flush_metrics()?;
        metrics.map(|metrics| self.record(metrics)).transpose()
    }

    fn flush_metrics(&mut self) -> Result<Option<StepMetrics>, TrainError> {
        self.pending.take().map(PendingMetrics::read).transpose()
    }

    /// Adds the metrics of a step to the running means, after checking that they are finite.
    fn record(&mut self, metrics: StepMetrics) -> Result<StepMetrics, TrainError> {
        check_finite("loss", metrics.loss, metrics.step)?;
        if self.config.precision != Precision::F16 || self.loss_scaler.is_exhausted() {
            check_finite("gradient", metrics.grad_norm, metrics.step)?;
        }
        self.metrics.add(&metrics, self.process.training_levels());
        self.throughput.add(metrics.images());
        Ok(metrics)
    }

    /// Starts new running means, after a log line.
    pub(crate) fn reset_metrics(&mut self) {
        self.metrics = MetricsAccumulator::default();
        self.restart_throughput();
    }

    pub(crate) fn restart_throughput(&mut self) {
        self.throughput = Throughput::start(self.loader.waited());
    }

    /// The loss of the last batch with the current weights, in evaluation mode. It is finite only
    /// if the weights still work. `None` before the first step.
    pub(crate) fn sanity_loss(&self) -> Result<Option<f64>, TrainError> {
        let Some(batch) = &self.last_batch else { return Ok(None) };
        let _guard = no_grad_guard();
        let first = microbatches(batch.len(), self.config.microbatch).next().unwrap_or(0..0);
        let terms = self.loss_terms(self.network.as_ref(), batch, &first, Mode::Eval)?;
        // The sum over all processes, so that all of them stop where one is not finite.
        let loss = self.processes.sum(terms.loss.f_mean(Kind::Float)?.f_to_device(Device::Cpu)?)?;
        Ok(Some(loss.f_double_value(&[])? / self.processes.count() as f64))
    }

    /// The mean loss of the EMA network on the validation images; `None` without such images.
    ///
    /// Images, noise and timesteps are the same at every call, so that the losses of two steps or
    /// of two runs can be compared.
    ///
    /// # Errors
    /// An image cannot be read; libtorch failed.
    pub fn validate(&self) -> Result<Option<f64>, TrainError> {
        self.validation.as_ref().map(|validation| validation.loss(self)).transpose()
    }

    /// Examples of the image that the network is conditioned on, [N, C', H, W]: of the validation images, or of the
    /// training images without such. `None` for a network without a condition.
    ///
    /// The examples are the same at every call.
    ///
    /// - count: largest number of examples
    ///
    /// # Errors
    /// An image cannot be read; libtorch failed.
    pub fn image_condition_examples(&self, count: usize) -> Result<Option<Tensor>, TrainError> {
        let Some(condition) = self.condition else { return Ok(None) };
        let (images, crop) = &self.examples;
        let batches = BatchSampler::new(images.len(), count.min(images.len()), 0)?;
        let config = DataLoaderConfig { crop: *crop, ..DataLoaderConfig::default() };
        let loaded = DataLoader::new(images.clone(), batches, config)?.batch(0)?;
        let x = self.to_device(&loaded.images)?;
        let (examples, channels) = (x.size()[0], x.size()[1] - condition.paired_channels());
        let batch = examples as usize;
        let draws = ConditionDraws { seed: 0, positions: 0..batch, batch };
        let _generator = DefaultGenerator::seeded(0);
        Ok(Some(image_condition(condition.for_sampling(), &x, channels, &draws)?.1))
    }

    /// True in the process that writes files; always, if there is one alone.
    pub fn is_main_process(&self) -> bool {
        self.processes.is_main()
    }

    /// Waits until all processes of the run are here.
    ///
    /// # Errors
    /// A process ended.
    pub fn wait_for_all(&self) -> Result<(), TrainError> {
        self.processes.any(false).map(drop)
    }

    /// Number of steps done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// True after the last step.
    pub fn is_finished(&self) -> bool {
        self.step >= self.config.steps
    }

    /// True if the trainer has validation images.
    pub(crate) fn has_validation(&self) -> bool {
        self.validation.is_some()
    }

    /// The training configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The diffusion process that the network is trained for.
    pub fn process(&self) -> &dyn DiffusionProcess {
        self.process.as_ref()
    }

    /// The network with the EMA weights of the first decay.
    pub fn ema_network(&self) -> &dyn TrainableNetwork {
        self.ema.network()
    }

    /// The weights themselves in f32, without averaging.
    pub fn weights(&self) -> StateDict {
        self.master.weights()
    }

    /// The EMA weights with a decay; `None` without such an average.
    pub fn ema_weights(&self, decay: EmaDecay) -> Option<StateDict> {
        self.ema.weights(decay)
    }

    /// The step at which the EMA with a decay began as the weights; `None` without such an average.
    pub fn ema_begin(&self, decay: EmaDecay) -> Option<usize> {
        self.ema.begin(decay)
    }

    /// The loss over the run so far, by log line.
    pub fn loss_curve(&self) -> &LossCurve {
        &self.loss_curve
    }
}

/// Initial weights and state.
impl Trainer {
    /// Sets the initial weights of the network and of all EMAs.
    ///
    /// - optional: names that may be missing; their weights stay random
    ///
    /// # Errors
    /// Names or shapes differ from the network's.
    pub fn start_from(&mut self, weights: &StateDict, optional: &[&str]) -> Result<(), TrainError> {
        self.master.set(self.network.params(), weights, optional)?;
        self.ema.set(None, &self.master.weights())
    }

    /// Sets the initial EMA weights of one decay.
    ///
    /// # Errors
    /// Names or shapes differ from the network's, or the config has no such decay.
    pub fn start_ema_from(
        &mut self,
        decay: EmaDecay,
        weights: &StateDict,
    ) -> Result<(), TrainError> {
        if !self.ema.decays().any(|known| known == decay) {
            let known: Vec<String> = self.ema.decays().map(|decay| decay.to_string()).collect();
            return Err(TrainError::Average { given: decay.to_string(), known: known.join(", ") });
        }
        self.ema.set(Some(decay), weights)?;
        self.ema.set_begin(decay, None);
        Ok(())
    }

    /// Sets the initial optimizer state from PyTorch's. Files without a step count are taken to
    /// be from the step that [`Trainer::start_at`] has set.
    ///
    /// - order: names of the weights in PyTorch's order, such as [`StateDict::order`] of the
    ///   network's file
    ///
    /// # Errors
    /// The state is not that of the network.
    pub fn start_optimizer_from(
        &mut self,
        weights: &StateDict,
        order: &[String],
    ) -> Result<(), TrainError> {
        self.optimizer.start_from(weights, order, self.step)
    }

    /// Sets the number of steps done, for the learning rate, the EMA and the order of the images.
    ///
    /// # Errors
    /// The config has no such step.
    pub fn start_at(&mut self, step: usize) -> Result<(), TrainError> {
        if step >= self.config.steps {
            let (field, given) = ("step", step.to_string());
            return Err(TrainError::Field { field, given, expected: "fewer than train.steps" });
        }
        self.step = step;
        self.ema.begin_at(step);
        Ok(())
    }

    /// The source of the initial weights, in words; empty for random weights.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Names the source of the initial weights; checkpoints hold it.
    pub fn set_origin(&mut self, origin: impl Into<String>) {
        self.origin = origin.into();
    }
}

/// Returns an error if the value is NaN or infinite.
pub(crate) fn check_finite(what: &'static str, value: f64, step: usize) -> Result<(), TrainError> {
    if value.is_finite() {
        return Ok(());
    }
    let kept = "no checkpoint was saved before".to_string();
    Err(TrainError::NotFinite { what, step, value, kept })
}

/// Describes the training data: changes if images, classes or labels are added or removed.
fn describe(data: &LabelledDataset, class_names: &[String]) -> String {
    let [height, width, channels] = data.images.shape();
    let mut words = format!("{} images of {height} x {width} x {channels}", data.images.len());
    if data.images.depth() == Depth::Sixteen {
        words += " in 16 bits";
    }
    if !class_names.is_empty() {
        words += &format!(" of {}", class_names.join(", "));
    }
    match &data.labels {
        Labels::None => words,
        Labels::Classes { ids, .. } => {
            let labels = fnv1a(ids.iter().flat_map(|id| id.to_le_bytes()));
            format!("{words}, labels {labels:016x}")
        }
        Labels::Context(rows) => {
            let labels = fnv1a(rows.iter().flat_map(|weight| weight.to_le_bytes()));
            format!("{words}, labels {labels:016x}")
        }
    }
}

/// FNV-1a (Fowler, Noll & Vo): a hash that is the same on every platform.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns an error for importance sampling without timesteps.
fn check_timesteps(config: &TrainConfig, process: &dyn DiffusionProcess) -> Result<(), TrainError> {
    if config.timesteps == TimestepConfig::Uniform || process.timesteps().is_some() {
        return Ok(());
    }
    Err(TrainError::Field {
        field: "train.timesteps",
        given: "loss-second-moment with continuous noise levels".to_string(),
        expected: "uniform; train.noise_distribution weighs the noise levels",
    })
}

/// Returns an error if noise would be assigned to a share of the batch only.
fn check_immiscible(config: &TrainConfig, several: bool) -> Result<(), TrainError> {
    if !(config.immiscible && several) {
        return Ok(());
    }
    let (field, given) = ("train.immiscible", "true with several processes".to_string());
    let expected = "false: noise is assigned within the whole batch, by one process";
    Err(TrainError::Field { field, given, expected })
}

/// Returns an error unless all processes take equally many passes in every step, and each has images:
/// synchronised batch normalisation waits for all of them in each pass.
fn check_equal_passes(
    config: &TrainConfig,
    images: usize,
    processes: usize,
) -> Result<(), TrainError> {
    let last = match images % config.batch {
        0 => config.batch,
        rest => rest,
    };
    for batch in [config.batch, last] {
        let (least, most) = (batch / processes, batch.div_ceil(processes));
        let passes = |share| microbatches(share, config.microbatch).count();
        if least == 0 || passes(least) != passes(most) {
            let given = format!(
                "true with a batch of {batch} of {images} images for {processes} processes"
            );
            let expected = "equally many passes in each process; choose another train.batch, or \
                            train.sync_batch_norm = false";
            return Err(TrainError::Field { field: "train.sync_batch_norm", given, expected });
        }
    }
    Ok(())
}

/// The size of random crops; `None` if the images have the network's size.
fn crop_window(
    data: &LabelledDataset,
    [channels, height, width]: [usize; 3],
    crop: bool,
) -> Result<Option<[usize; 2]>, TrainError> {
    let [rows, columns, colours] = data.images.shape();
    let larger = crop && rows >= height && columns >= width;
    if colours == channels && (larger || [rows, columns] == [height, width]) {
        return Ok(larger.then_some([height, width]));
    }
    Err(TrainError::Data {
        given: format!("images of {rows} x {columns} pixels and {colours} channels"),
        expected: match crop {
            true => format!("at least {height} x {width} and {channels} channels"),
            false => format!("{height} x {width} and {channels} channels"),
        },
    })
}

#[cfg(test)]
mod tests;
