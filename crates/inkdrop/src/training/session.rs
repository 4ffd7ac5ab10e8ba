//! A training run in progress.

use std::cell::OnceCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inkdrop_checkpoint::StateDict;
use inkdrop_data::output::write_atomic;
use inkdrop_data::picture::encode_png;
use inkdrop_data::{Dataset, Images, LabelledDataset};
use inkdrop_dist::{DistributedDataParallel, FailureReport, World};
use inkdrop_nn::CompileOptions;
use inkdrop_process::{
    ContinuousProcess, DiffusionConfig, LossType, Process, SigmaProcess, Teacher, TeacherGuidance,
};
use inkdrop_report::{EventWriter, RunRequest};
use inkdrop_sampler::Sampler;
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_train::{
    EmaDecay, OtherData, RunFolder, RunStep, StepMetrics, TrainError, Trainer, TrainingRun,
};
use inkdrop_unet::ModelConfig;
use serde_json::{Value, json};

use super::colours::DataColours;
use super::{Callback, TrainedRun, Training};
use crate::config::{DataConfig, Loaded, RunConfig, ValidatedData, validate};
use crate::error::{Context, bail, ensure, invalid};
use crate::model::{
    BuildOptions, Condition, Model, ModelMetadata, ModelOverrides, SamplingDefaults,
};
use crate::pipeline::default_levels;
use crate::{Error, Pipeline, Result, samples};

/// Number of points of the loss curve in a model file.
const CURVE_POINTS: usize = 200;

/// A training run that has started; made by [`Training::start`].
pub struct TrainingSession {
    trainer: Trainer,
    folder: RunFolder,
    metadata: ModelMetadata,
    config: RunConfig,
    /// The training images.
    data: Arc<dyn Dataset>,
    notes: Vec<String>,
    callback: Option<Callback>,
    /// Tells the other processes of the run why this one ends.
    failure: Option<FailureReport>,
}

/// Tells the other processes of an error.
fn report_failure<T>(failure: Option<&FailureReport>, result: Result<T>) -> Result<T> {
    if let (Some(failure), Err(error)) = (failure, &result) {
        failure.send(&error.report());
    }
    result
}

impl TrainingSession {
    pub(super) fn start(training: Training, out: &Path) -> Result<Self> {
        let failure = training.world.as_ref().map(World::failure_report);
        let started = Self::start_alone_or_with_others(training, out);
        report_failure(failure.as_ref(), started).map(|session| Self { failure, ..session })
    }

    fn start_alone_or_with_others(mut training: Training, out: &Path) -> Result<Self> {
        let config = training.config()?;
        let mut notes = std::mem::take(&mut training.notes);
        let (world, callback) = (training.world.take(), training.callback.take());
        let Built { mut trainer, metadata, data } = build(&training, world, &config, &mut notes)?;
        if !trainer.is_main_process() {
            // Process 0 sends its state when the run starts.
            let folder = RunFolder::unlocked(out);
            return Ok(Self {
                trainer,
                folder,
                metadata,
                config,
                data,
                notes: Vec::new(),
                callback,
                failure: None,
            });
        }
        let folder = if training.resume {
            resume(&mut trainer, &config, out, &training, &mut notes)?
        } else {
            let given = training.init.apply(&mut trainer, &metadata, &mut notes)?;
            let folder = RunFolder::create(out)?;
            if given {
                trainer.save(&folder)?; // a resumed run takes no initial weights
            }
            folder
        };
        let text = config.to_toml()?;
        write_atomic(&folder.config(), |file| file.write_all(text.as_bytes()))?;
        // Requests of an earlier process are void.
        RunRequest::ALL.iter().for_each(|request| _ = request.take(folder.path()));
        Ok(Self { trainer, folder, metadata, config, data, notes, callback, failure: None })
    }

    /// What the start has to say: files that were left out, changes of the config, where it resumes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The trainer.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The steps of the run, from where it stands.
    ///
    /// # Errors
    /// The log or the event file cannot be opened.
    pub fn steps(&mut self) -> Result<TrainingSteps<'_>> {
        let failure = self.failure.clone();
        report_failure(failure.as_ref(), self.start_steps())
    }

    fn start_steps(&mut self) -> Result<TrainingSteps<'_>> {
        let Self { trainer, folder, metadata, config, data, callback, failure, .. } = self;
        let (callback, failure, mut events) = (callback.as_mut(), failure.as_ref(), None);
        let colours = OnceCell::new();
        if !trainer.is_main_process() {
            let run = trainer.start_run(None)?;
            return Ok(TrainingSteps {
                run,
                events,
                folder,
                metadata,
                data: &**data,
                colours,
                callback,
                failure,
            });
        }
        let writer = events.insert(EventWriter::open(folder.events(), trainer.step() as u64)?);
        if writer.is_first() {
            writer.text("config", 0, &format!("```toml\n{}\n```", config.to_toml()?))?;
        }
        let run = trainer.start_run(Some(folder))?;
        let data = &**data;
        Ok(TrainingSteps { run, events, folder, metadata, data, colours, callback, failure })
    }

    /// Writes final.safetensors, the EMA weights with the first decay and the metadata of the run, and
    /// final-DECAY.safetensors for each further decay.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn finish(self) -> Result<TrainedRun> {
        let failure = self.failure.clone();
        report_failure(failure.as_ref(), self.write_models())
    }

    fn write_models(self) -> Result<TrainedRun> {
        let Self { trainer, folder, metadata, config, .. } = self;
        let (steps, writes) = (trainer.step(), trainer.is_main_process());
        let curve = trainer.loss_curve().downsampled(CURVE_POINTS);
        let loss = curve.last().map_or(f64::NAN, |(_, loss)| *loss);
        let curve = rounded(curve);
        let save = |mut weights: StateDict, average: Option<EmaDecay>, path: &Path| -> Result<()> {
            if !writes {
                return Ok(());
            }
            metadata.write(&mut weights)?;
            let mut training = training_record(&config);
            training["average"] = serde_json::to_value(average)?;
            training["began_with"] = serde_json::to_value(trainer.origin())?;
            training["steps"] = steps.into();
            training["loss_curve"] = serde_json::to_value(&curve)?;
            if let LossType::ConsistencyPhases(phases) = config.train.loss {
                let before = phases.mid_training_steps(steps);
                training["phases"] = json!([
                    { "loss": "consistency-mid-training", "steps": before },
                    { "loss": "consistency-tuning", "steps": steps - before },
                ]);
            }
            weights.set_metadata("training", &training)?;
            Ok(weights.save(path)?)
        };
        let mut models = Vec::new();
        for (number, &decay) in config.train.ema.iter().enumerate() {
            let path = match number {
                0 => folder.finished(),
                _ => folder.finished_average(decay),
            };
            let weights = trainer.ema_weights(decay).context("the EMA of a decay of train.ema")?;
            save(weights, Some(decay), &path)?;
            models.push(path);
        }
        let raw = folder.finished_raw();
        let notes: Vec<String> = config
            .train
            .ema
            .iter()
            .filter_map(|decay| {
                let begin = trainer.ema_begin(*decay).unwrap_or(0);
                young(*decay, (begin..steps, config.train.batch), &raw)
            })
            .collect();
        let raw = (!notes.is_empty()).then_some(raw);
        if let Some(path) = &raw {
            save(trainer.weights(), None, path)?;
        }
        trainer.wait_for_all()?; // the files are there for every process
        Ok(TrainedRun { folder, loss, steps, models, raw, notes })
    }
}

/// The part of a model's training record that is known before the first step.
fn training_record(config: &RunConfig) -> Value {
    json!({
        "inkdrop": env!("CARGO_PKG_VERSION"),
        "data": config.data,
        "train": config.train,
    })
}

/// A note if an average still holds more than 1 % of the initial weights.
fn young(decay: EmaDecay, (steps, batch): (Range<usize>, usize), raw: &Path) -> Option<String> {
    let share = 100.0 * decay.initial_share(steps.clone(), batch);
    let count = steps.len();
    let shorter = match decay {
        EmaDecay::Constant { warmup: false, .. } => format!("a smaller decay or {decay}:warm-up"),
        _ => "a shorter average".to_string(),
    };
    (share > 1.0).then(|| {
        format!(
            "note: after {count} steps the average {decay} is still {share:.0} % the initial weights; {} contains the weights without averaging. Train longer, or choose {shorter}",
            raw.display()
        )
    })
}

/// Rounds the losses to five decimals.
fn rounded(curve: Vec<(usize, f64)>) -> Vec<(usize, f64)> {
    curve.into_iter().map(|(step, loss)| (step, (loss * 1e5).round() / 1e5)).collect()
}

/// The result of one step of a run.
#[derive(Debug)]
pub struct TrainingStep {
    /// Number of steps done.
    pub step: usize,
    /// The metrics that were read: usually those of this step; on a GPU they come one step late.
    pub metrics: Vec<StepMetrics>,
    /// Samples of the EMA network, every `train.sample_every` steps: 8 images per class.
    pub samples: Option<Images>,
    /// Unreadable images that were left out, and samples that failed; neither stops the run.
    pub problems: Vec<Error>,
}

/// The steps of a run; made by [`TrainingSession::steps`].
pub struct TrainingSteps<'a> {
    run: TrainingRun<'a>,
    /// `None` if another process writes the files of the run.
    events: Option<EventWriter>,
    folder: &'a RunFolder,
    metadata: &'a ModelMetadata,
    data: &'a dyn Dataset,
    /// Those of the data; computed with the first samples.
    colours: OnceCell<DataColours>,
    callback: Option<&'a mut Callback>,
    failure: Option<&'a FailureReport>,
}

impl TrainingSteps<'_> {
    /// Takes the next optimizer step, and writes log, events, samples and checkpoints that are due.
    /// Returns `None` after the last step.
    ///
    /// # Errors
    /// The loss is NaN or infinite, an image cannot be read, or a file cannot be written.
    pub fn next_step(&mut self) -> Result<Option<TrainingStep>> {
        let step = report_failure(self.failure, self.take_step())?;
        if let (Some(callback), Some(step)) = (&mut self.callback, &step) {
            callback(step);
        }
        Ok(step)
    }

    fn take_step(&mut self) -> Result<Option<TrainingStep>> {
        let Some(step) = self.run.next_step()? else { return Ok(None) };
        let RunStep { step, metrics, log_line, skipped, sample_due } = step;
        if let (Some(line), Some(events)) = (&log_line, &mut self.events) {
            for (tag, value) in line.numbers() {
                events.scalar(tag, line.step as u64, value)?;
            }
            events.flush()?;
        }
        let mut problems: Vec<Error> = skipped.into_iter().map(Error::from).collect();
        // A super-resolution network samples only from low-resolution images.
        let samples = match sample_due && !self.is_upscaler() {
            false => None,
            true => self.write_samples(step, &mut problems)?,
        };
        Ok(Some(TrainingStep { step, metrics, samples, problems }))
    }

    /// Samples a grid into the run directory; a failure is no reason to stop training.
    fn write_samples(&mut self, step: usize, problems: &mut Vec<Error>) -> Result<Option<Images>> {
        if self.events.is_none() {
            return Ok(None);
        }
        let drawn = self.draw_samples(step);
        let Some(events) = &mut self.events else { return Ok(None) };
        match drawn {
            Ok((images, png)) => {
                events.image("samples", step as u64, &png)?;
                events.flush()?;
                Ok(Some(images))
            }
            Err(error) => {
                problems.push(invalid!("no samples after step {step}: {}", error.report()));
                Ok(None)
            }
        }
    }

    /// True if the flag is true in any process of the run: to stop all of them after the same step.
    ///
    /// # Errors
    /// A process ended.
    pub fn any_process(&self, flag: bool) -> Result<bool> {
        Ok(self.run.any_process(flag)?)
    }

    /// Saves a checkpoint now, to stop and to resume later. Returns true if the run is finished.
    ///
    /// # Errors
    /// The loss is NaN or infinite, or the checkpoint cannot be written.
    pub fn save(&mut self) -> Result<bool> {
        let saved = self.run.save().map_err(Error::from);
        report_failure(self.failure, saved)?;
        Ok(self.run.trainer().is_finished())
    }

    /// Obeys the [`RunRequest`]s that were sent to the run since the last step. Returns true to stop: then a
    /// checkpoint is saved, to resume later.
    ///
    /// - interrupted: true to stop without a request, such as after Ctrl-C
    /// - problems: samples that failed do not stop the run
    ///
    /// # Errors
    /// As for [`TrainingSteps::save`].
    pub fn obey_requests(&mut self, interrupted: bool, problems: &mut Vec<Error>) -> Result<bool> {
        let folder = self.events.as_ref().map(|_| self.folder.path());
        let sent = |request: RunRequest| folder.is_some_and(|folder| request.take(folder));
        let (stop, checkpoint) = (sent(RunRequest::Stop), sent(RunRequest::Checkpoint));
        let (stop, sample) = (stop || interrupted, sent(RunRequest::Sample));
        if sample && !self.is_upscaler() {
            self.write_samples(self.run.trainer().step(), problems)?;
        }
        if !self.any_process(stop || checkpoint)? {
            return Ok(false);
        }
        let finished = self.save()?;
        Ok(self.any_process(stop)? && !finished)
    }

    fn is_upscaler(&self) -> bool {
        matches!(self.metadata.model, ModelConfig::ImprovedSuperRes(_))
    }

    /// Samples a grid, and writes it to the samples folder; returns the images and the PNG.
    fn draw_samples(&self, step: usize) -> Result<(Images, Vec<u8>)> {
        const COLUMNS: usize = 8;
        let (images, names) = preview(self.run.trainer(), self.metadata, COLUMNS)?;
        let png = encode_png(&samples::rows(&images, COLUMNS, &names)?)?;
        write_atomic(&self.folder.sample(step), |file| file.write_all(&png))?;
        let colours = self.colours.get_or_init(|| DataColours::of(self.data));
        colours.compare(&images, step, self.folder.path())?;
        Ok((images, png))
    }
}

/// Number of steps of sample grids.
const PREVIEW_STEPS: usize = 25;

/// Some images per context or class, by DDIM, with the name of each row.
fn preview(
    trainer: &Trainer,
    metadata: &ModelMetadata,
    columns: usize,
) -> Result<(Images, Vec<String>)> {
    const ROWS: usize = 10;
    let network = trainer.ema_network();
    let names = match metadata.conditions() {
        none if none.is_empty() => vec![String::new(); 4],
        conditions => conditions.into_iter().take(ROWS).collect(),
    };
    let mut conditions = Vec::new();
    for name in &names {
        let condition = match name.is_empty() {
            true => Condition::none(metadata),
            false => Condition::class(metadata, name)?,
        };
        conditions.extend(vec![condition; columns]);
    }
    let process = metadata.process.build(network.device())?;
    let spacing = match &metadata.sampling.spacing {
        Some(own) => own.parse()?,
        None => default_levels(PREVIEW_STEPS, process.as_ref()),
    };
    let levels = process.spaced(&spacing)?;
    let network = network.compile(&CompileOptions::at(process.network_times(&levels)))?;
    let count = conditions.len();
    let mut pipeline = Pipeline::from_network(metadata.clone(), network)?.conditions(conditions);
    if let Some(examples) = trainer.image_condition_examples(count)? {
        pipeline = pipeline.prepared_condition(examples);
    }
    let samples = pipeline.spacing(spacing.to_string()).batch(count).sample(count)?;
    Ok((samples.to_images(), names))
}

/// What a config is built to.
struct Built {
    trainer: Trainer,
    metadata: ModelMetadata,
    /// The training images.
    data: Arc<dyn Dataset>,
}

/// Builds the trainer at step 0, and the metadata of its model files.
fn build(
    training: &Training,
    world: Option<World>,
    config: &RunConfig,
    notes: &mut Vec<String>,
) -> Result<Built> {
    let device = training.device.parse::<DeviceChoice>()?;
    let device = match &world {
        Some(world) => device.for_local_rank(world.local_rank()).resolve()?,
        None => device.resolve()?,
    };
    let shape = config.model.image_shape();
    let loaded = match &training.data {
        Some(data) => {
            Loaded { data: data.clone(), classes: training.class_names.clone(), notes: Vec::new() }
        }
        None => load(&config.data, config, notes)?,
    };
    let ValidatedData { data, label_use, contexts, classes } = validate(config, loaded)?;
    let metadata = ModelMetadata {
        model: config.model.clone(),
        process: config.process.clone(),
        contexts,
        classes,
        sampling: sampling(config).context("train.loss")?,
        condition: config.condition,
        depth: data.images.depth(),
    };
    let validation = load_validation(config, &metadata, notes)?;
    let network_config = config.network()?;
    let network = {
        let _generator = DefaultGenerator::seeded(config.train.seed as i64);
        metadata.wrap(network_config.build(config.train.precision.torso(), device)?)
    };
    let ema_network = metadata.wrap(network_config.build_uninitialized(Kind::Float, device)?);
    let process = config.process.build(device)?;
    let images = data.images.clone();
    let mut entries = metadata.entries()?;
    entries.insert("training".to_string(), training_record(config).to_string());
    let mut builder = Trainer::builder(network, ema_network, process, data)
        .image_shape(shape.map(|axis| axis as usize))
        .labels(label_use)
        .class_names(metadata.names().to_vec())
        .checkpoint_metadata(entries);
    if let Some(validation) = validation {
        builder = builder.validation(validation);
    }
    if let Some(condition) = config.condition {
        builder = builder.image_condition(condition);
    }
    if let Some(path) = &config.train.teacher {
        let guidance = config.train.teacher_guidance;
        let teacher = teacher(path, guidance, &metadata, device).context("train.teacher")?;
        builder = builder.teacher(teacher);
    }
    if let Some(world) = world {
        builder = builder.data_parallel(Box::new(DistributedDataParallel::new(world)));
    }
    Ok(Built { trainer: builder.build(config.train.clone())?, metadata, data: images })
}

/// How the model is sampled unless told otherwise: a progressively distilled one and one of several segments by
/// DDIM over the noise levels of its training.
fn sampling(config: &RunConfig) -> Result<SamplingDefaults> {
    let spacing = match (&config.process, config.train.loss) {
        (DiffusionConfig::Continuous(process), LossType::ProgressiveDistillation(progressive)) => {
            progressive.spacing(process.sigma_range())?
        }
        (process, LossType::ConsistencyDistillation(grid)) if grid.segments > 1 => {
            let Some(range) = process.consistency() else { return Ok(SamplingDefaults::default()) };
            grid.spacing((range.sigma_min, range.sigma_max))?
        }
        _ => return Ok(SamplingDefaults::default()),
    };
    Ok(SamplingDefaults {
        sampler: Some(Sampler::DDIM.to_string()),
        spacing: Some(spacing.to_string()),
    })
}

/// The conditions of a network, for messages.
fn labels(model: &ModelConfig) -> String {
    match (model.contexts(), model.classes()) {
        (0, None) => "no conditions".to_string(),
        (contexts, None) => format!("{contexts} contexts"),
        (_, Some(classes)) => format!("{classes} classes"),
    }
}

/// Opens the teacher of a distillation.
///
/// - guidance: scale of classifier-free guidance
/// - student: has the teacher's images and conditions
fn teacher(
    path: &Path,
    guidance: Option<f64>,
    student: &ModelMetadata,
    device: Device,
) -> Result<Teacher> {
    let mut model = Model::open(path, &ModelOverrides::default())?;
    ensure!(
        model.metadata.process.consistency().is_none(),
        "{} is a consistency model, expected a diffusion model",
        model.name
    );
    let teacher = &model.metadata.model;
    let (given, expected) = (teacher.image_shape(), student.model.image_shape());
    ensure!(
        given == expected,
        "{} has images of shape {given:?} (channels, height, width), the student {expected:?}",
        model.name
    );
    let (given, expected) = (labels(teacher), labels(&student.model));
    ensure!(
        given == expected,
        "{} has {given}, the student {expected}: expected the same",
        model.name
    );
    let (theirs, names) = (model.metadata.names(), student.names());
    ensure!(
        theirs.is_empty() || names.is_empty() || theirs == names,
        "{} has the classes {}, the data has {}: expected the same in the same order",
        model.name,
        theirs.join(", "),
        names.join(", ")
    );
    let process = match &model.metadata.process {
        DiffusionConfig::Continuous(config) => ContinuousProcess::new(config, device)?.into(),
        DiffusionConfig::Timesteps(config) => SigmaProcess::try_from(Process::new(config, device)?)
            .with_context(|| model.name.clone())?,
    };
    let network = model.build(&BuildOptions { device, ..BuildOptions::default() })?;
    let network = network.compile(&CompileOptions::default())?;
    let teacher = Teacher::new(network, process);
    let Some(scale) = guidance else { return Ok(teacher) };
    let (null_class, labels) = (model.metadata.classes.null, model.metadata.conditions().len());
    ensure!(labels > 0, "{} has no conditions: leave train.teacher_guidance out", model.name);
    Ok(teacher.guided(TeacherGuidance { scale, null_class }))
}

/// Loads images; the notes get those on the data, such as files that were left out.
///
/// - config: of the network that is trained on them
fn load(data: &DataConfig, config: &RunConfig, notes: &mut Vec<String>) -> Result<Loaded> {
    let paired = config.condition.map_or(0, |condition| condition.paired_channels());
    let loaded = data.load(config.model.image_shape()[0], paired)?;
    notes.extend(loaded.notes.iter().map(ToString::to_string));
    Ok(loaded)
}

/// Loads the validation images; their classes must be those of the training images.
///
/// - metadata: of the model that is trained
fn load_validation(
    config: &RunConfig,
    metadata: &ModelMetadata,
    notes: &mut Vec<String>,
) -> Result<Option<LabelledDataset>> {
    let Some(validation) = &config.validation else { return Ok(None) };
    let loaded = load(validation, config, notes).context("[validation]")?;
    let valid = validate(config, loaded).context("[validation]")?;
    let names = metadata.names();
    let theirs = if metadata.contexts.is_empty() { valid.classes.names } else { valid.contexts };
    ensure!(
        names.is_empty() || theirs.is_empty() || names == theirs,
        "[validation] has the classes {}, [data] has {}: expected the same",
        theirs.join(", "),
        names.join(", ")
    );
    Ok(Some(valid.data))
}

/// Restores the newest checkpoint of a run directory, if its config equals the given one.
fn resume(
    trainer: &mut Trainer,
    config: &RunConfig,
    out: &Path,
    training: &Training,
    notes: &mut Vec<String>,
) -> Result<RunFolder> {
    let allow_changes = training.allow_changes;
    let folder = RunFolder::open(out)?;
    let saved = RunConfig::open(&folder.config())?;
    let changes = config.diff(&saved)?;
    let listed = changes.join("\n  ");
    match (changes.is_empty(), allow_changes) {
        (true, _) => {}
        (false, true) => notes.push(format!("continuing with another config:\n  {listed}")),
        (false, false) => bail!(
            "{} contains a run with another config; give the same config to resume it, choose another directory, or continue anyway with --allow-changes. Differences:\n  {listed}",
            out.display()
        ),
    }
    let Some(path) = restore_newest(trainer, &folder, training, notes)? else {
        notes.push("no checkpoint was saved yet: starting from step 0".to_string());
        return Ok(folder);
    };
    let (done, steps, before) = (trainer.step(), config.train.steps, saved.train.steps);
    ensure!(
        done <= steps,
        "train.steps = {steps}, but the run in {} has taken {done} steps already; expected at least {done}",
        out.display()
    );
    notes.push(format!("resuming after step {done} from {}", path.display()));
    if steps != before {
        notes.push(format!(
            "train.steps: {before} → {steps}; the learning rate now follows its schedule to step {steps}"
        ));
    }
    Ok(folder)
}

/// Restores the newest checkpoint that is not damaged; returns its path.
fn restore_newest(
    trainer: &mut Trainer,
    folder: &RunFolder,
    training: &Training,
    notes: &mut Vec<String>,
) -> Result<Option<PathBuf>> {
    let other_data = if training.allow_changes { OtherData::Allowed } else { OtherData::Refused };
    let mut damaged = Vec::new();
    for path in folder.checkpoints_newest_first() {
        match trainer.restore(&path, other_data) {
            Ok(()) if training.strict_resume && !damaged.is_empty() => bail!(
                "{}; the newest good checkpoint is {}: --resume without =strict continues from it",
                damaged.join("; "),
                path.display()
            ),
            Ok(()) => {
                notes.extend(damaged.iter().map(|error| format!("note: {error}")));
                return Ok(Some(path));
            }
            Err(TrainError::Checkpoint(error)) if error.is_damage() => {
                damaged.push(format!("a damaged checkpoint: {error}"));
            }
            Err(error @ TrainError::DataChanged { .. }) => {
                bail!("{error}. Restore the data, or continue anyway with --allow-changes")
            }
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(
        damaged.is_empty(),
        "{}; there is no earlier checkpoint that is whole: remove these files to start from step 0",
        damaged.join("; ")
    );
    Ok(None)
}
