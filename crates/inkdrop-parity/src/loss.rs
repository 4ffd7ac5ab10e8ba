//! Loss terms of improved-diffusion and their gradients.

use anyhow::{Context, Result};
use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_process::{LossTerms, LossType, Objective, ObjectiveConfig, Process};
use inkdrop_torch::tch::{Kind, Tensor};
use serde::Deserialize;

use crate::improved::Improved;
use crate::report::{Distance, Status, Tolerance};
use crate::toy_network::{Form, ToyNetwork};
use crate::{Case, Comparison};

#[derive(Debug, Deserialize)]
struct Arguments {
    #[serde(flatten)]
    process: Improved,
    loss_type: Loss,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loss {
    Mse,
    RescaledMse,
    Kl,
    RescaledKl,
}

impl Loss {
    pub(crate) fn config(self) -> ObjectiveConfig {
        let loss = match self {
            Self::Mse => LossType::Mse,
            Self::RescaledMse => LossType::RescaledMse,
            Self::Kl => LossType::Kl,
            Self::RescaledKl => LossType::RescaledKl,
        };
        ObjectiveConfig { loss, ..ObjectiveConfig::default() }
    }
}

pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let config: Arguments = case.config()?;
    let process = config.process.process().with_context(|| case.name.clone())?;
    let objective = config.loss_type.config();

    let single = ToyNetwork::of(&case.weights.below("weight:"), Form::Plain, Kind::Float)?;
    let terms = terms(case, &process, &objective, &single)?;
    let mut rows = Vec::new();
    for (key, ours) in named(case, &terms)? {
        rows.push(case.compare(&key, ours, Tolerance::Scaled(2e-5))?);
    }
    terms.loss.f_mean(Kind::Float)?.f_backward()?;
    let ours = |key: &str| single.params().get(key).map(|param| param.tensor.grad());
    rows.extend(case.compare_group("grad:", Tolerance::Scaled(1e-4), |_| true, ours)?);

    rows.extend(in_double(case, &process, &objective)?);
    Ok(rows)
}

/// The comparison in f64, without the bound at t = 0.
///
/// The likelihood of the pixels is a difference of two nearly equal probabilities. There the
/// rounding of the f32 reference exceeds the tolerance.
fn in_double(
    case: &Case,
    process: &Process,
    objective: &ObjectiveConfig,
) -> Result<Vec<Comparison>> {
    let network = ToyNetwork::of(&case.weights.below("weight:"), Form::Plain, Kind::Double)?;
    let terms = terms(case, process, objective, &network)?;
    let with_bound = terms.bound.is_some() || terms.error.is_none();
    let later = case.tensor("t")?.f_ne(0)?.f_nonzero()?.f_view(-1)?;
    let mut rows = Vec::new();
    for (key, ours) in named(case, &terms)? {
        let theirs = case.tensor(&key)?;
        let (ours, theirs) = match with_bound && key != "term:mse" {
            true => (ours.f_index_select(0, &later)?, theirs.f_index_select(0, &later)?),
            false => (ours.shallow_clone(), theirs.shallow_clone()),
        };
        let distance = Distance::between(&ours, &theirs, Tolerance::Scaled(1e-6))?;
        rows.push(case.row(format!("{key} in f64"), Status::Compared(distance)));
    }
    Ok(rows)
}

fn terms(
    case: &Case,
    process: &Process,
    objective: &ObjectiveConfig,
    network: &ToyNetwork,
) -> Result<LossTerms> {
    let kind = network.params().kind();
    let x0 = case.tensor("x_start")?.f_to_kind(kind)?;
    let noise = case.tensor("noise")?.f_to_kind(kind)?;
    let batch = (&x0, case.tensor("t")?, &noise);
    let objective = Objective::new(process, objective)?;
    Ok(objective.terms(network, batch, &Conditioning::none(), Mode::Eval)?)
}

/// Every loss term of the case, with its key.
fn named<'a>(case: &Case, ours: &'a LossTerms) -> Result<Vec<(String, &'a Tensor)>> {
    let mut terms = Vec::new();
    for (name, _) in case.weights.below("term:").iter() {
        let ours: Option<&Tensor> = match name {
            "loss" => Some(&ours.loss),
            "mse" => ours.error.as_ref(),
            "vb" => ours.bound.as_ref(),
            _ => None,
        };
        let ours =
            ours.with_context(|| format!("{}: inkdrop has no loss term `{name}`", case.name))?;
        terms.push((format!("term:{name}"), ours));
    }
    Ok(terms)
}
