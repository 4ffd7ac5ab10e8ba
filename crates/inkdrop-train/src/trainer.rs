//! A training run in memory: the network, its average, the optimiser, and one step.

use inkdrop_data::batches::Batches;
use inkdrop_data::{Dataset, Labels};
use inkdrop_nn::{Conditioning, Mode, Network};
use inkdrop_process::{Objective, Process, pixels};
use tch::{Kind, Tensor};

use crate::{Adam, Ema, TrainConfig, TrainError};

/// A training run. Everything random in step s follows from (seed, s), so a
/// run that was stopped goes on as if it had not been.
pub struct Trainer {
    pub(crate) config: TrainConfig,
    pub(crate) network: Box<dyn Network>,
    pub(crate) ema: Ema,
    pub(crate) adam: Adam,
    pub(crate) step: usize,
    process: Process,
    data: Dataset,
    batches: Batches,
    contexts: Option<Tensor>,
}

impl Trainer {
    /// A run at step 0; `network` is trained, `average` (built from the same
    /// config) holds the moving average.
    ///
    /// # Errors
    /// A config or data that cannot be.
    pub fn new(
        network: Box<dyn Network>,
        average: Box<dyn Network>,
        process: Process,
        data: Dataset,
        config: TrainConfig,
    ) -> Result<Self, TrainError> {
        config.check()?;
        Objective::new(&process, &config.objective())?;
        let ema = Ema::new(average, network.params(), config.ema_decay)?;
        Ok(Self {
            ema: if config.ema_warm_up { ema } else { ema.without_warm_up() },
            adam: Adam::new(network.params())?.with_weight_decay(config.weight_decay),
            batches: Batches::new(data.len(), config.batch, config.seed)?,
            contexts: contexts(&data.labels)?,
            step: 0,
            network,
            process,
            data,
            config,
        })
    }

    /// How many steps are done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The recipe.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The network with the averaged weights.
    pub fn average(&self) -> &dyn Network {
        self.ema.network()
    }

    /// How many images a step takes (the last of an epoch may take fewer).
    pub(crate) fn images_at(&self, step: usize) -> usize {
        self.batches.indices(step).len()
    }

    /// One optimiser step; the loss before it. Where that is no number, nothing is updated.
    pub(crate) fn advance(&mut self) -> Result<f64, TrainError> {
        let loss = self.loss(Mode::Train)?;
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Ok(value);
        }
        self.adam.zero_grad();
        loss.f_backward()?;
        if let Some(most) = self.config.clip_norm {
            self.adam.clip_gradients(most)?;
        }
        self.adam.step(self.config.lr_at(self.step))?;
        self.ema.update(self.step)?;
        self.step += 1;
        Ok(value)
    }

    /// The loss of the batch to come, in evaluation mode and without learning
    /// from it: finite only where the weights of the last step still work.
    pub(crate) fn probe(&self) -> Result<f64, TrainError> {
        let _guard = tch::no_grad_guard();
        Ok(self.loss(Mode::Eval)?.f_double_value(&[])?)
    }

    /// The loss of this step's batch. All that is random in it follows from (seed, step).
    fn loss(&self, mode: Mode) -> Result<Tensor, TrainError> {
        tch::manual_seed(step_seed(self.config.seed, self.step));
        let indices = self.batches.indices(self.step);
        let x0 = self.images(&indices)?;
        let options = (Kind::Int64, x0.device());
        let steps = self.process.schedule().steps() as i64;
        let t = Tensor::f_randint(steps, [indices.len() as i64], options)?;
        let noise = x0.f_randn_like()?;
        let conditioning = self.conditioning(&indices)?;
        let objective = Objective::new(&self.process, &self.config.objective())?;
        let batch = (&x0, &t, &noise);
        let loss = objective.terms(self.network.as_ref(), batch, &conditioning, mode)?.loss;
        Ok(loss.f_mean(loss.kind())?)
    }

    /// - returns [B, C, H, W] in [-1, 1]
    fn images(&self, indices: &[usize]) -> Result<Tensor, TrainError> {
        let images = &self.data.images;
        let bytes: Vec<u8> = indices.iter().flat_map(|&i| images.image(i)).copied().collect();
        let shape = [indices.len(), images.height(), images.width(), images.channels()];
        let device = self.network.params().device();
        Ok(pixels::to_tensor(&bytes, shape.map(|axis| axis as i64), device)?)
    }

    /// The context rows of a batch, each kept with probability `context_keep`, else zeros.
    fn conditioning(&self, indices: &[usize]) -> Result<Conditioning, TrainError> {
        let Some(contexts) = &self.contexts else { return Ok(Conditioning::none()) };
        let indices: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        let rows = contexts.f_index_select(0, &Tensor::from_slice(&indices))?;
        let keep = Tensor::f_ones([indices.len() as i64, 1], (Kind::Float, tch::Device::Cpu))?;
        let keep = keep.f_mul_scalar(self.config.context_keep)?.f_bernoulli()?;
        let rows = rows.f_mul(&keep)?.f_to_device(self.network.params().device())?;
        Ok(Conditioning::context(rows))
    }
}

/// Labels as context rows, [N, K] in f32; classes become one-hot rows.
fn contexts(labels: &Labels) -> Result<Option<Tensor>, TrainError> {
    match labels {
        Labels::None => Ok(None),
        Labels::Context(rows) => {
            let (n, k) = rows.dim();
            let values: Vec<f32> = rows.iter().copied().collect();
            Ok(Some(Tensor::f_from_slice(&values)?.f_view([n as i64, k as i64])?))
        }
        Labels::Classes { ids, count } => {
            let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
            let rows = Tensor::f_from_slice(&ids)?.f_one_hot(*count as i64)?;
            Ok(Some(rows.f_to_kind(Kind::Float)?))
        }
    }
}

/// A seed for all that is random in one step (SplitMix64's finaliser, Steele et al. 2014).
fn step_seed(seed: u64, step: usize) -> i64 {
    let mut z = seed.wrapping_add((step as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as i64
}
