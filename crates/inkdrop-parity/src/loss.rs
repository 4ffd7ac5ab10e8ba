//! Losses of improved-diffusion, term by term, and their gradients.

use anyhow::{Context, Result};
use inkdrop_nn::{Conditioning, Mode, Network};
use inkdrop_process::{LossTerms, LossType, Objective, ObjectiveConfig, Process};
use inkdrop_torch::tch::{Kind, Tensor};
use serde::Deserialize;

use crate::improved::Improved;
use crate::report::Tolerance;
use crate::standin::{Form, StandIn};
use crate::{Case, Row};

#[derive(Debug, Deserialize)]
struct Arguments {
    #[serde(flatten)]
    process: Improved,
    loss_type: Loss,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Loss {
    Mse,
    RescaledMse,
    Kl,
    RescaledKl,
}

impl Loss {
    fn config(self) -> ObjectiveConfig {
        let loss = match self {
            Self::Mse => LossType::Mse,
            Self::RescaledMse => LossType::RescaledMse,
            Self::Kl => LossType::Kl,
            Self::RescaledKl => LossType::RescaledKl,
        };
        ObjectiveConfig { loss, ..ObjectiveConfig::default() }
    }
}

pub(crate) fn check(case: &Case) -> Result<Vec<Row>> {
    let config: Arguments = case.config()?;
    let process = config.process.process().with_context(|| case.name.clone())?;
    let objective = config.loss_type.config();

    let single = StandIn::of(&case.weights.below("weight:"), Form::Plain, Kind::Float)?;
    let terms = terms(case, &process, &objective, &single)?;
    let mut rows = compare(case, &terms, Tolerance::Scaled(2e-5), "")?;
    terms.loss.f_mean(Kind::Float)?.f_backward()?;
    let ours = |key: &str| single.params().get(key).map(|param| param.tensor.grad());
    rows.extend(case.compare_group("grad:", Tolerance::Scaled(1e-4), |_| true, ours)?);

    let double = StandIn::of(&case.weights.below("weight:"), Form::Plain, Kind::Double)?;
    let terms = self::terms(case, &process, &objective, &double)?;
    rows.extend(compare(case, &terms, Tolerance::Scaled(1e-6), " in f64")?);
    Ok(rows)
}

fn terms(
    case: &Case,
    process: &Process,
    objective: &ObjectiveConfig,
    network: &StandIn,
) -> Result<LossTerms> {
    let kind = network.params().kind();
    let x0 = case.tensor("x_start")?.f_to_kind(kind)?;
    let noise = case.tensor("noise")?.f_to_kind(kind)?;
    let batch = (&x0, case.tensor("t")?, &noise);
    let objective = Objective::new(process, objective)?;
    Ok(objective.terms(network, batch, &Conditioning::none(), Mode::Eval)?)
}

/// Every term that the case holds.
fn compare(case: &Case, ours: &LossTerms, tolerance: Tolerance, note: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, _) in case.weights.below("term:").iter() {
        let ours: Option<&Tensor> = match name {
            "loss" => Some(&ours.loss),
            "mse" => ours.error.as_ref(),
            "vb" => ours.bound.as_ref(),
            _ => None,
        };
        let ours = ours.with_context(|| format!("{}: we have no term `{name}`", case.name))?;
        rows.push(case.compare(&format!("term:{name}"), ours, tolerance)?.noted(note));
    }
    Ok(rows)
}
