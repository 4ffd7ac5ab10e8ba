//! Whole trainings by the recipes of lucidrains' Trainer and of EDM: the loss curves, and the average of the weights.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use inkdrop_nn::TrainableNetwork;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use inkdrop_train::{Adam, AdamConfig, EmaDecay, EmaSet, MasterWeights};
use inkdrop_unet::ModelConfig;
use serde::Deserialize;

use crate::report::Tolerance;
use crate::unet::network;
use crate::{Case, Comparison, edm, lucid};

/// The arguments of a recipe beside those of its process and network.
#[derive(Debug, Deserialize)]
struct Recipe {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    /// Largest norm of the gradients (lucidrains' `max_grad_norm`).
    max_grad_norm: Option<f64>,
    /// The learning rate rises over so many thousand images (EDM's `lr_rampup_kimg`).
    lr_rampup_kimg: Option<f64>,
    /// Number of steps that a point of the loss curve averages.
    window: i64,
    /// The average of the weights; without it, only the loss curve is compared.
    ema: Option<EmaDecay>,
}

impl Recipe {
    /// The learning rate of a step, counted from 0. EDM counts the images before the step, so its first rate is 0.
    fn lr(&self, step: i64, batch: i64) -> f64 {
        let share = self.lr_rampup_kimg.map_or(1.0, |kimg| (step * batch) as f64 / (kimg * 1000.0));
        self.lr * share.min(1.0)
    }
}

/// Compares the losses of the first steps, the curve, and the loss of the average.
pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let recipe: Recipe = case.config()?;
    let loss = match case.family.as_str() {
        "edm" => edm::training_loss(case)?,
        _ => lucid::training_loss(case)?,
    };
    let weights = case.weights.below("weight:");
    let [network, averaged] = [(); 2].map(|()| network(&loss.model, &weights, Kind::Float));
    let (network, averaged) = (network?, averaged?);
    let mut master = MasterWeights::new(network.params())?;
    let adam = AdamConfig { betas: recipe.betas, eps: recipe.eps, ..AdamConfig::default() };
    let mut adam = Adam::new(&master, adam)?;
    let mut average =
        recipe.ema.map(|decay| EmaSet::new(averaged, &master, &[decay])).transpose()?;
    let images = case.tensor("x_start")?;
    let [steps, batch, ..] = images.size()[..] else {
        anyhow::bail!("{}: x_start of {:?}", case.name, images.size())
    };
    let mut losses = Vec::new();
    for step in 0..steps {
        let value = (loss.of)(network.as_ref(), step)?;
        master.zero_grad()?;
        value.f_backward()?;
        let mut gradients = master.gradients(1.0)?;
        if let Some(most) = recipe.max_grad_norm {
            let norm = gradients.norm()?;
            gradients.clip(&norm, most)?;
        }
        adam.step(&gradients, recipe.lr(step, batch))?;
        if let Some(average) = &mut average {
            average.update(&master, step as usize, batch as usize)?;
        }
        losses.push(value.detach());
    }
    let losses = Tensor::f_stack(&losses, 0)?;
    let first = losses.f_narrow(0, 0, case.tensor("losses")?.size()[0])?;
    let mut rows = vec![case.compare("losses", &first, Tolerance::Scaled(1e-4))?];
    rows.push(curve(case, &losses, recipe.window)?);
    if let Some(average) = &average {
        rows.push(averaged_loss(case, &loss, average, steps - recipe.window..steps)?);
    }
    Ok(rows)
}

/// The mean loss of the average on the batches of some steps.
fn averaged_loss(
    case: &Case,
    loss: &TrainingLoss<'_>,
    average: &EmaSet,
    steps: Range<i64>,
) -> Result<Comparison> {
    let _guard = no_grad_guard();
    let losses: Vec<Tensor> =
        steps.clone().map(|step| (loss.of)(average.network(), step)).collect::<Result<_>>()?;
    let mean = Tensor::f_stack(&losses, 0)?.f_mean(Kind::Float)?.f_view([1])?;
    let value = mean.f_double_value(&[0])?;
    println!(
        "{}: mean loss of the average on the last {} batches: {value:.7}",
        case.name,
        steps.count()
    );
    case.compare("average", &mean, CURVE)
}

/// The means over windows of steps, each as a row of its own.
fn curve(case: &Case, losses: &Tensor, window: i64) -> Result<Comparison> {
    let means =
        |losses: &Tensor| losses.f_view([-1, window])?.f_mean_dim([1i64].as_slice(), false, None);
    let (ours, theirs) = (means(losses)?, case.tensor("curve")?);
    ensure!(ours.size() == theirs.size(), "{}: a curve of {:?}", case.name, theirs.size());
    let row = case.compare("curve", &ours, CURVE)?;
    let points: Vec<f64> = Vec::try_from(ours.f_to_kind(Kind::Double)?)?;
    for (number, point) in points.iter().enumerate() {
        let last = (number as i64 + 1) * window;
        println!("{}: mean loss of the {window} steps to step {last}: {point:.7}", case.name);
    }
    Ok(row)
}

/// The bound of every point of a curve, as for improved-diffusion's.
const CURVE: Tolerance = Tolerance::Relative(1e-4);

/// The loss of a network at a step.
type StepLoss<'a> = Box<dyn Fn(&dyn TrainableNetwork, i64) -> Result<Tensor> + 'a>;

/// The network of a recipe, and the loss of a step.
pub(crate) struct TrainingLoss<'a> {
    /// The network that is trained.
    pub(crate) model: ModelConfig,
    /// The loss that is minimised at a step.
    pub(crate) of: StepLoss<'a>,
}

/// A tensor of a step.
pub(crate) fn at(case: &Case, key: &str, step: i64) -> Result<Tensor> {
    case.tensor(key)?.f_get(step).with_context(|| format!("{}: {key}", case.name))
}
