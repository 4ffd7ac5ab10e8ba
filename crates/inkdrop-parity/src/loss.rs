//! Loss terms of improved-diffusion and their gradients, and its bits per dimension.

use anyhow::{Context, Result};
use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_process::{
    BitsPerDim, LossTerms, LossType, Objective, ObjectiveConfig, Process, TrainingObjective,
    bits_per_dim,
};
use inkdrop_torch::tch::{Kind, Tensor};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer};

use crate::improved::Improved;
use crate::report::Tolerance;
use crate::toy_network::{Form, toy_network};
use crate::{Case, Comparison};

#[derive(Debug, Deserialize)]
struct Arguments {
    #[serde(flatten)]
    process: Improved,
    #[serde(deserialize_with = "objective")]
    loss_type: ObjectiveConfig,
}

/// Reads a loss by improved-diffusion's name.
pub(crate) fn objective<'de, D: Deserializer<'de>>(name: D) -> Result<ObjectiveConfig, D::Error> {
    let name = String::deserialize(name)?.replace('_', "-");
    let loss = LossType::deserialize(IntoDeserializer::<D::Error>::into_deserializer(name))?;
    Ok(ObjectiveConfig { loss, ..ObjectiveConfig::default() })
}

pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let config: Arguments = case.config()?;
    let process = config.process.process().with_context(|| case.name.clone())?;
    let objective = config.loss_type;
    let single = toy_network(case, Form::Plain, Kind::Float)?;
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
    let network = toy_network(case, Form::Plain, Kind::Double)?;
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
        rows.push(case.compare_double(&key, &ours, &theirs)?);
    }
    Ok(rows)
}

fn terms(
    case: &Case,
    process: &Process,
    objective: &ObjectiveConfig,
    network: &dyn TrainableNetwork,
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

/// Compares bits per dimension at every timestep, with recorded noise.
pub(crate) fn check_bpd(case: &Case) -> Result<Vec<Comparison>> {
    let config: Improved = case.config()?;
    let process = config.process().with_context(|| case.name.clone())?;
    let single = metrics(case, &process, Kind::Float)?;
    let mut rows = Vec::new();
    for (key, ours) in &single {
        rows.push(case.compare(key, ours, Tolerance::Scaled(2e-5))?);
    }
    rows.extend(bpd_in_double(case, &process)?);
    Ok(rows)
}

/// The comparison in f64, without the term at t = 0.
///
/// The likelihood of the pixels is a difference of two nearly equal probabilities. The f32 reference
/// is off by 2e-5 there; PyTorch in f64 differs from it by as much.
fn bpd_in_double(case: &Case, process: &Process) -> Result<Vec<Comparison>> {
    let ours = metrics(case, process, Kind::Double)?;
    let theirs = |key: &str| Ok::<_, anyhow::Error>(case.tensor(key)?.f_to_kind(Kind::Double)?);
    let last = process.schedule().num_timesteps() as i64 - 1;
    let pixels = |vb: &Tensor| vb.f_select(1, last);
    let (our_bound, bound) = (&ours[2].1, theirs("vb")?);
    let mut rows = Vec::new();
    for (key, value) in &ours {
        let (value, reference) = match *key {
            "vb" => (value.f_narrow(1, 0, last)?, bound.f_narrow(1, 0, last)?),
            "total_bpd" => {
                (value.f_sub(&pixels(our_bound)?)?, theirs(key)?.f_sub(&pixels(&bound)?)?)
            }
            _ => (value.shallow_clone(), theirs(key)?),
        };
        rows.push(case.compare_double(key, &value, &reference)?);
    }
    Ok(rows)
}

fn metrics(case: &Case, process: &Process, kind: Kind) -> Result<[(&'static str, Tensor); 5]> {
    let network = toy_network(case, Form::Plain, kind)?;
    let x0 = case.tensor("x_start")?.f_to_kind(kind)?;
    let conditioning = Conditioning::none();
    let ours = bits_per_dim(process, &network, &x0, &conditioning, &mut case.noise()?)?;
    let BitsPerDim { total, prior, bound, x0_mse, eps_mse } = ours;
    Ok([
        ("total_bpd", total),
        ("prior_bpd", prior),
        ("vb", bound),
        ("xstart_mse", x0_mse),
        ("mse", eps_mse),
    ])
}
