//! Time of a training step.
//!
//! The compared outputs are the losses on given batches, computed step by step with the components
//! of a [`Trainer`]. The timed code is the [`Trainer`] itself, including the data loader, the noise
//! and the timesteps. PyTorch has neither: its batches are prepared.

use inkdrop_checkpoint::StateDict;
use inkdrop_data::sprites;
use inkdrop_nn::{Conditioning, Mode};
use inkdrop_process::Objective;
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_train::{Adam, EmaSet, LabelUse, MasterWeights, TrainConfig, Trainer};

use crate::inference::process;
use crate::job::{Job, named};
use inkdrop_benches::Result;

/// Number of training images.
const IMAGES: usize = 4000;

/// Seconds per step.
pub fn run(job: &Job) -> Result<Vec<f64>> {
    if job.model != "sprites" {
        return Err(format!("given the model `{}`, expected sprites", job.model).into());
    }
    job.write_outputs(|| Ok(vec![("losses", losses(job)?)]))?;
    if job.least == 0 {
        return Ok(Vec::new());
    }
    let mut trainer = trainer(job)?;
    job.measure(|| Ok(trainer.run_steps(1).map(drop)?))
}

/// The default training config, with so many steps that the learning rate stays at its initial value.
fn recipe(job: &Job) -> TrainConfig {
    TrainConfig { steps: 1_000_000, batch: job.batch as usize, ..TrainConfig::default() }
}

fn trainer(job: &Job) -> Result<Trainer> {
    let (network, ema_network) = (job.network()?, job.network()?);
    let process = process(job)?;
    let builder = Trainer::builder(network, ema_network, process, sprites::dataset(0, IMAGES));
    Ok(builder.labels(LabelUse::Context).build(recipe(job))?)
}

/// The loss before each step, on the given batches.
fn losses(job: &Job) -> Result<Tensor> {
    let inputs = job.inputs()?.ok_or("given no inputs, expected a file of batches")?;
    let (live, average) = (job.network()?, job.network()?);
    let (process, recipe) = (process(job)?, recipe(job));
    let mut master = MasterWeights::new(live.params())?;
    let mut averages = EmaSet::new(average, &master, &recipe.ema)?;
    let mut adam = Adam::new(&master, recipe.adam())?;
    let objective = Objective::new(&process, &recipe.objective())?;
    let mut losses = Vec::new();
    for step in 0..named(&inputs, "t")?.size()[0] as usize {
        let (x0, t, noise) =
            (at(&inputs, "x0", step)?, at(&inputs, "t", step)?, at(&inputs, "noise", step)?);
        let context = Conditioning::context(at(&inputs, "context", step)?);
        let terms = objective.terms(live.as_ref(), (&x0, &t, &noise), &context, Mode::Train)?;
        let loss = terms.loss.f_mean(Kind::Float)?;
        master.zero_grad();
        loss.f_backward()?;
        adam.step(&master.gradients(1.0)?, recipe.lr)?;
        averages.update(&master, step)?;
        losses.push(loss.f_detach()?);
    }
    Ok(Tensor::f_stack(&losses, 0)?)
}

/// The tensor of one step.
fn at(inputs: &StateDict, name: &str, step: usize) -> Result<Tensor> {
    Ok(named(inputs, name)?.f_get(step as i64)?)
}
