//! Time of a training step.
//!
//! The compared outputs are the losses on given batches and the gradients of the first, computed step by
//! step with the components of a [`Trainer`]. The timed code is the [`Trainer`] itself, including the data loader, the noise
//! and the timesteps. PyTorch has neither: its batches are prepared.

use std::sync::Arc;

use inkdrop_checkpoint::StateDict;
use inkdrop_data::{Images, LabelledDataset, Labels, sprites};
use inkdrop_nn::{Conditioning, Mode, Param, TrainableNetwork};
use inkdrop_process::{Objective, TrainingObjective};
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_train::{Adam, EmaSet, LabelUse, MasterWeights, TrainConfig, Trainer};
use ndarray::Array4;

use crate::inference::process;
use crate::job::{Job, named};
use inkdrop_benches::Result;

/// Number of training images.
const IMAGES: usize = 4000;

/// Seconds per step.
pub fn run(job: &Job) -> Result<Vec<f64>> {
    job.write_outputs(|| outputs(job))?;
    if job.least == 0 {
        return Ok(Vec::new());
    }
    let mut trainer = trainer(job)?;
    job.measure(|| Ok(trainer.run_steps(1).map(drop)?))
}

fn is_sprites(job: &Job) -> bool {
    job.model == "sprites"
}

/// The default training config, with so many steps that the learning rate stays at its initial value; with
/// the learning rate and the clipping of Ho et al. 2020 for their networks.
fn recipe(job: &Job) -> TrainConfig {
    let (steps, batch) = (1_000_000, job.batch as usize);
    let config = TrainConfig { steps, batch, ..TrainConfig::default() };
    match is_sprites(job) {
        true => config,
        false => TrainConfig { lr: 2e-4, clip_norm: Some(1.0), ..config },
    }
}

fn trainer(job: &Job) -> Result<Trainer> {
    let (network, ema_network) = (job.network()?, job.network()?);
    let process = process(job)?;
    if is_sprites(job) {
        let builder = Trainer::builder(network, ema_network, process, sprites::dataset(0, IMAGES));
        return Ok(builder.labels(LabelUse::Context).build(recipe(job))?);
    }
    let [channels, height, width] = job.config()?.image_shape().map(|length| length as usize);
    let shape = (IMAGES, height, width, channels);
    let pixels =
        Array4::from_shape_fn(shape, |(n, y, x, c)| (n * 7 + y * 5 + x * 3 + c * 11) as u8);
    let data = LabelledDataset { images: Arc::new(Images::new(pixels)?), labels: Labels::None };
    Ok(Trainer::builder(network, ema_network, process, data).build(recipe(job))?)
}

/// The loss before each step on the given batches, and the gradients of the first, in the order of their
/// names and in units of the largest.
fn outputs(job: &Job) -> Result<Vec<(&'static str, Tensor)>> {
    let inputs = job.inputs()?.ok_or("given no inputs, expected a file of batches")?;
    let (live, average) = (job.network()?, job.network()?);
    let (process, recipe) = (process(job)?, recipe(job));
    let mut master = MasterWeights::new(live.params())?;
    let mut averages = EmaSet::new(average, &master, &recipe.ema)?;
    let mut adam = Adam::new(&master, recipe.adam())?;
    let objective = Objective::new(&process, &recipe.objective())?;
    let (mut losses, mut first) = (Vec::new(), None);
    for step in 0..named(&inputs, "t")?.size()[0] as usize {
        let (x0, t, noise) =
            (at(&inputs, "x0", step)?, at(&inputs, "t", step)?, at(&inputs, "noise", step)?);
        let conditioning = match is_sprites(job) {
            true => Conditioning::context(at(&inputs, "context", step)?),
            false => Conditioning::none(),
        };
        let terms =
            objective.terms(live.as_ref(), (&x0, &t, &noise), &conditioning, Mode::Train)?;
        let loss = terms.loss.f_mean(Kind::Float)?;
        master.zero_grad()?;
        loss.f_backward()?;
        if first.is_none() {
            first = Some(gradients(live.as_ref())?);
        }
        let mut gradients = master.gradients(1.0)?;
        if let Some(largest) = recipe.clip_norm {
            let norm = gradients.norm()?;
            gradients.clip(&norm, largest)?;
        }
        adam.step(&gradients, recipe.lr)?;
        averages.update(&master, step, recipe.batch)?;
        losses.push(loss.f_detach()?);
    }
    let first = first.ok_or("given no batches, expected at least one")?;
    Ok(vec![("losses", Tensor::f_stack(&losses, 0)?), ("gradients", first)])
}

fn gradients(network: &dyn TrainableNetwork) -> Result<Tensor> {
    let mut params: Vec<_> = network.params().trained().collect();
    params.sort_by(|one, other| one.name.cmp(&other.name));
    let flat = |param: &Param| -> Result<Tensor> { Ok(param.tensor.f_grad()?.f_reshape([-1])?) };
    let all = params.into_iter().map(flat).collect::<Result<Vec<_>>>()?;
    let all = Tensor::f_cat(&all, 0)?;
    Ok(all.f_div(&all.f_abs()?.f_max()?)?)
}

/// The tensor of one step.
fn at(inputs: &StateDict, name: &str, step: usize) -> Result<Tensor> {
    Ok(named(inputs, name)?.f_get(step as i64)?)
}
