//! Is what the device computes what the CPU computes in f32?

use inkdrop_nn::{CudaGraphNetwork, Network};
use inkdrop_process::NetworkDenoiser;
use inkdrop_sampler::ddim;
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{PerImageNoise, allow_tf32, cuda_graphs};
use inkdrop_train::Precision;

use crate::Result;
use crate::cases::{Case, Given, build, checkpointed};
use crate::step::Lesson;
use crate::tally::{Found, Tally, difference};

const BATCH: i64 = 2;

/// All checks of one network.
pub fn check(case: &Case, device: Device, tally: &mut Tally) {
    println!();
    forwards(case, device, tally);
    let mut take = |what: &str, bound, found| tally.take(case.name, what, bound, found);
    take("10 steps of DDIM, f32", 2e-2, sampling(case, device));
    take("gradients, f32", 1e-3, gradients(case, device));
    take("checkpointed against ordinary", 1e-4, checkpointing(case, device));
    let wanted = training(case, Precision::F32, Device::Cpu);
    let precisions = [(Precision::F32, 1e-3), (Precision::Bf16, 5e-2), (Precision::F16, 2e-2)];
    for (precision, bound) in precisions {
        let what = format!("loss before and after a step, {}", word(precision));
        let found = against(&wanted, || training(case, precision, device));
        take(&what, bound, found);
    }
}

/// `f32`, `bf16` or `f16`.
pub fn word(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
        Precision::F16 => "f16",
    }
}

/// One pass in every precision, and recorded.
fn forwards(case: &Case, device: Device, tally: &mut Tally) {
    let wanted = output(case, Kind::Float, Device::Cpu);
    let mut take = |what, bound, out: Result<Tensor>| {
        tally.take(case.name, what, bound, against(&wanted, || out));
    };
    take("forward, f32 without TF32", 1e-4, strictly(|| output(case, Kind::Float, device)));
    take("forward, f32 with TF32", 5e-3, loosely(|| output(case, Kind::Float, device)));
    take("forward, bf16", 5e-2, output(case, Kind::BFloat16, device));
    take("forward, f16", 2e-2, output(case, Kind::Half, device));
    for (kind, what) in [(Kind::Float, "recorded, f32"), (Kind::BFloat16, "recorded, bf16")] {
        tally.take(case.name, what, 1e-6, strictly(|| graphed(case, kind, device)));
    }
}

/// With full f32 in convolutions and products.
fn strictly<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    allow_tf32(false)?;
    body()
}

fn loosely<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    allow_tf32(true)?;
    body()
}

fn pass(network: &dyn Network, given: &Given) -> Result<Tensor> {
    Ok(network.forward(&given.x, &given.t, &given.conditioning)?)
}

fn output(case: &Case, kind: Kind, device: Device) -> Result<Tensor> {
    let _guard = no_grad_guard();
    pass(build(&case.config, kind, device)?.as_ref(), &case.given(BATCH, 11, device)?)
}

/// The largest difference between a recorded pass and an ordinary one, over other inputs than those
/// that it was recorded with.
fn graphed(case: &Case, kind: Kind, device: Device) -> Result<Found> {
    let _guard = no_grad_guard();
    let plain = build(&case.config, kind, device)?;
    let recorded = CudaGraphNetwork::new(build(&case.config, kind, device)?);
    let mut worst = 0.0;
    for seed in 11..16 {
        let given = case.given(BATCH, seed, device)?;
        let wanted = pass(plain.as_ref(), &given)?;
        let error = difference(&pass(&recorded, &given)?, &wanted)?;
        worst = if error > worst || error.is_nan() { error } else { worst };
    }
    if let Some(trouble) = recorded.trouble() {
        return Err(format!("nothing was recorded: {trouble}").into());
    }
    match cuda_graphs() {
        Err(reason) if device.is_cuda() => Ok(Found::LeftOut(reason)),
        Ok(()) if device.is_cuda() && recorded.recorded() != 1 => {
            Err("nothing was recorded".into())
        }
        _ => Ok(Found::Error(worst)),
    }
}

fn sampling(case: &Case, device: Device) -> Result<Found> {
    allow_tf32(false)?;
    let wanted = sample(case, Device::Cpu, false)?;
    Ok(Found::Error(difference(&sample(case, device, true)?, &wanted)?))
}

fn sample(case: &Case, device: Device, recorded: bool) -> Result<Tensor> {
    let network = build(&case.config, Kind::Float, device)?;
    let network: Box<dyn Network> =
        if recorded { Box::new(CudaGraphNetwork::new(network)) } else { network };
    walk(case, network.as_ref(), device, BATCH, 10)
}

/// Samples by DDIM, from the same noise every time.
pub fn walk(
    case: &Case,
    network: &dyn Network,
    device: Device,
    batch: i64,
    steps: usize,
) -> Result<Tensor> {
    let process = case.process(device)?;
    let path = format!("trailing{steps}")
        .parse::<LevelSpacing>()?
        .sampling_schedule(process.schedule())?;
    let denoiser = NetworkDenoiser::new(&process, network, case.conditioning(batch, device)?);
    let mut noise = PerImageNoise::new(0, 0..batch.unsigned_abs());
    let x = case.noise(batch, 21, device)?;
    Ok(ddim(&denoiser, &path, x, 0.0, &mut noise)?)
}

fn gradients(case: &Case, device: Device) -> Result<Found> {
    allow_tf32(false)?;
    let of = |device| Lesson::new(case, Precision::F32, device, BATCH)?.gradients();
    Ok(Found::Error(difference(&of(device)?, &of(Device::Cpu)?)?))
}

fn checkpointing(case: &Case, device: Device) -> Result<Found> {
    allow_tf32(false)?;
    let Some(config) = checkpointed(&case.config) else {
        return Ok(Found::LeftOut("the family has none".to_string()));
    };
    let with = case.with(config);
    let of = |case| Lesson::new(case, Precision::F32, device, BATCH)?.gradients();
    Ok(Found::Error(difference(&of(&with)?, &of(case)?)?))
}

fn training(case: &Case, precision: Precision, device: Device) -> Result<Tensor> {
    allow_tf32(false)?;
    Lesson::new(case, precision, device, BATCH)?.losses()
}

/// The difference from what the CPU has computed, if it has.
fn against(wanted: &Result<Tensor>, given: impl FnOnce() -> Result<Tensor>) -> Result<Found> {
    match wanted {
        Ok(wanted) => Ok(Found::Error(difference(&given()?, wanted)?)),
        Err(error) => Err(format!("on the CPU: {error}").into()),
    }
}
