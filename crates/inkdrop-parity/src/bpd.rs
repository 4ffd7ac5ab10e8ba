//! Bits per dimension of improved-diffusion at every timestep, with recorded noise.

use anyhow::{Context, Result};
use inkdrop_nn::Conditioning;
use inkdrop_process::{BitsPerDim, Process, bits_per_dim};
use inkdrop_torch::tch::{Kind, Tensor};

use crate::improved::Improved;
use crate::report::{Distance, Status, Tolerance};
use crate::toy_network::{Form, ToyNetwork};
use crate::{Case, Comparison};

pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let config: Improved = case.config()?;
    let process = config.process().with_context(|| case.name.clone())?;
    let single = metrics(case, &process, Kind::Float)?;
    let mut rows = Vec::new();
    for (key, ours) in &single {
        rows.push(case.compare(key, ours, Tolerance::Scaled(2e-5))?);
    }
    rows.extend(in_double(case, &process)?);
    Ok(rows)
}

/// The comparison in f64, without the term at t = 0.
///
/// The likelihood of the pixels is a difference of two nearly equal probabilities. The f32 reference
/// is off by 2e-5 there; PyTorch in f64 differs from it by as much.
fn in_double(case: &Case, process: &Process) -> Result<Vec<Comparison>> {
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
        let distance = Distance::between(&value, &reference, Tolerance::Scaled(1e-6))?;
        rows.push(case.row(format!("{key} in f64"), Status::Compared(distance)));
    }
    Ok(rows)
}

fn metrics(case: &Case, process: &Process, kind: Kind) -> Result<[(&'static str, Tensor); 5]> {
    let network = ToyNetwork::of(&case.weights.below("weight:"), Form::Plain, kind)?;
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
