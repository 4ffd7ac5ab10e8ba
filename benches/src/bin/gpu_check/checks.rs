//! Compares the results of a device with those of the CPU in f32.

use std::fmt::Write;

use inkdrop_nn::{CudaGraphNetwork, Network};
use inkdrop_process::NetworkDenoiser;
use inkdrop_sampler::ddim;
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{PerImageNoise, allow_tf32, cuda_graphs};
use inkdrop_train::Precision;

use crate::cases::{Case, Given, build, checkpointed};
use crate::step::TrainingStep;
use inkdrop_benches::Result;

const BATCH: i64 = 2;

/// Runs all checks of a network.
pub fn check(case: &Case, device: Device, tally: &mut Tally) {
    println!();
    forwards(case, device, tally);
    let mut take = |what: &str, bound, result| tally.add(case.name, what, bound, result);
    take("10 steps of DDIM, f32", 2e-2, sampling(case, device));
    take("gradients, f32", 1e-3, gradients(case, device));
    take("checkpointed against ordinary", 1e-4, checkpointing(case, device));
    let expected = training(case, Precision::F32, Device::Cpu);
    let precisions = [(Precision::F32, 1e-3), (Precision::Bf16, 5e-2), (Precision::F16, 2e-2)];
    for (precision, bound) in precisions {
        let what = format!("loss before and after a step, {}", word(precision));
        let result = compare(&expected, || training(case, precision, device));
        take(&what, bound, result);
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

/// Checks a forward pass in every precision, and as a CUDA graph.
fn forwards(case: &Case, device: Device, tally: &mut Tally) {
    let expected = output(case, Kind::Float, Device::Cpu);
    let mut take = |what, bound, out: Result<Tensor>| {
        tally.add(case.name, what, bound, compare(&expected, || out));
    };
    take("forward, f32 without TF32", 1e-4, tf32(false, || output(case, Kind::Float, device)));
    take("forward, f32 with TF32", 5e-3, tf32(true, || output(case, Kind::Float, device)));
    take("forward, bf16", 5e-2, output(case, Kind::BFloat16, device));
    take("forward, f16", 2e-2, output(case, Kind::Half, device));
    for (kind, what) in [(Kind::Float, "recorded, f32"), (Kind::BFloat16, "recorded, bf16")] {
        tally.add(case.name, what, 1e-6, tf32(false, || cuda_graph(case, kind, device)));
    }
}

/// Runs `body` with TF32 in convolutions and matrix products, or with full f32 precision.
fn tf32<T>(allowed: bool, body: impl FnOnce() -> Result<T>) -> Result<T> {
    allow_tf32(allowed)?;
    body()
}

fn pass(network: &dyn Network, given: &Given) -> Result<Tensor> {
    Ok(network.forward(&given.x, &given.t, &given.conditioning)?)
}

fn output(case: &Case, kind: Kind, device: Device) -> Result<Tensor> {
    let _guard = no_grad_guard();
    pass(build(&case.config, kind, device)?.as_ref(), &case.given(BATCH, 11, device)?)
}

/// The largest difference between a CUDA graph and ordinary passes, over several inputs.
fn cuda_graph(case: &Case, kind: Kind, device: Device) -> Result<CheckResult> {
    let _guard = no_grad_guard();
    let plain = build(&case.config, kind, device)?;
    let recorded = CudaGraphNetwork::new(build(&case.config, kind, device)?);
    let mut worst = 0.0;
    for seed in 11..16 {
        let given = case.given(BATCH, seed, device)?;
        let expected = pass(plain.as_ref(), &given)?;
        let error = difference(&pass(&recorded, &given)?, &expected)?;
        worst = if error > worst || error.is_nan() { error } else { worst };
    }
    if let Some(trouble) = recorded.trouble() {
        return Err(format!("nothing was recorded: {trouble}").into());
    }
    match cuda_graphs() {
        Err(reason) if device.is_cuda() => Ok(CheckResult::Skipped(reason)),
        Ok(()) if device.is_cuda() && recorded.recorded() != 1 => {
            Err("nothing was recorded".into())
        }
        _ => Ok(CheckResult::Error(worst)),
    }
}

fn sampling(case: &Case, device: Device) -> Result<CheckResult> {
    allow_tf32(false)?;
    let expected = sample(case, Device::Cpu, false)?;
    Ok(CheckResult::Error(difference(&sample(case, device, true)?, &expected)?))
}

fn sample(case: &Case, device: Device, recorded: bool) -> Result<Tensor> {
    let network = build(&case.config, Kind::Float, device)?;
    let network: Box<dyn Network> =
        if recorded { Box::new(CudaGraphNetwork::new(network)) } else { network };
    sample_ddim(case, network.as_ref(), device, BATCH, 10)
}

/// Samples by DDIM, always from the same noise.
pub fn sample_ddim(
    case: &Case,
    network: &dyn Network,
    device: Device,
    batch: i64,
    steps: usize,
) -> Result<Tensor> {
    let process = case.process(device)?;
    let schedule = format!("trailing{steps}")
        .parse::<LevelSpacing>()?
        .sampling_schedule(process.schedule())?;
    let denoiser = NetworkDenoiser::new(&process, network, case.conditioning(batch, device)?);
    let mut noise = PerImageNoise::new(0, 0..batch.unsigned_abs());
    let x = case.noise(batch, 21, device)?;
    Ok(ddim(&denoiser, &schedule, x, 0.0, &mut noise)?)
}

fn gradients(case: &Case, device: Device) -> Result<CheckResult> {
    allow_tf32(false)?;
    let of = |device| TrainingStep::new(case, Precision::F32, device, BATCH)?.gradients();
    Ok(CheckResult::Error(difference(&of(device)?, &of(Device::Cpu)?)?))
}

fn checkpointing(case: &Case, device: Device) -> Result<CheckResult> {
    allow_tf32(false)?;
    let Some(config) = checkpointed(&case.config) else {
        return Ok(CheckResult::Skipped("the family has no gradient checkpointing".to_string()));
    };
    let with = case.with(config);
    let of = |case| TrainingStep::new(case, Precision::F32, device, BATCH)?.gradients();
    Ok(CheckResult::Error(difference(&of(&with)?, &of(case)?)?))
}

fn training(case: &Case, precision: Precision, device: Device) -> Result<Tensor> {
    allow_tf32(false)?;
    TrainingStep::new(case, precision, device, BATCH)?.losses()
}

/// The difference from the CPU's result, if there is one.
fn compare(
    expected: &Result<Tensor>,
    given: impl FnOnce() -> Result<Tensor>,
) -> Result<CheckResult> {
    match expected {
        Ok(expected) => Ok(CheckResult::Error(difference(&given()?, expected)?)),
        Err(error) => Err(format!("on the CPU: {error}").into()),
    }
}

/// Counts checks and prints a line for each.
#[derive(Default)]
pub struct Tally {
    good: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// Adds a check and prints its line. NaN is a failure.
    pub fn add(&mut self, case: &str, what: &str, bound: f64, result: Result<CheckResult>) {
        let mut line = format!("{case:<18} {what:<34} ");
        let good = match result {
            Ok(CheckResult::Error(error)) => {
                let good = error <= bound;
                let verdict = if good { "ok" } else { "WRONG" };
                let _ = write!(line, "{error:9.2e} (at most {bound:.0e})  {verdict}");
                good
            }
            Ok(CheckResult::Skipped(reason)) => {
                println!("{line}skipped: {reason}");
                return;
            }
            Err(error) => {
                let _ = write!(line, "FAILED: {error}");
                false
            }
        };
        println!("{line}");
        match good {
            true => self.good += 1,
            false => self.wrong.push(format!("{case}: {what}")),
        }
    }

    /// Prints the number of passed checks and the names of the failed ones.
    pub fn sum_up(&self) {
        println!("\n{} checks passed, {} failed", self.good, self.wrong.len());
        self.wrong.iter().for_each(|what| println!("  WRONG  {what}"));
    }

    /// True if there was at least one check and all passed.
    pub fn is_good(&self) -> bool {
        self.good > 0 && self.wrong.is_empty()
    }
}

/// Result of a check.
pub enum CheckResult {
    /// Largest difference, relative to the largest value.
    Error(f64),
    /// Skipped, with the reason.
    Skipped(String),
}

/// max|a − b| / max|b| in f64 on b's device; NaN or infinite if a value is not finite.
pub fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    let b = b.f_to_kind(Kind::Double)?;
    let a = a.f_to_device(b.device())?.f_to_kind(Kind::Double)?;
    if a.size() != b.size() {
        return Err(format!("shape {:?}, expected {:?}", a.size(), b.size()).into());
    }
    let scale = f64::try_from(b.f_abs()?.f_max()?)?;
    let error = f64::try_from(a.f_sub(&b)?.f_abs()?.f_max()?)?;
    Ok(if error == 0.0 { 0.0 } else { error / scale })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_a_failure() {
        let (one, nan) = (Tensor::from_slice(&[1.0]), Tensor::from_slice(&[f64::NAN]));
        assert_eq!(difference(&one, &one).unwrap(), 0.0);
        for (a, b) in [(&nan, &one), (&one, &nan), (&nan, &nan)] {
            let mut tally = Tally::default();
            tally.add("case", "what", 1.0, difference(a, b).map(CheckResult::Error));
            assert!(!tally.is_good());
        }
    }

    #[test]
    fn nothing_checked_is_not_good() {
        let mut tally = Tally::default();
        tally.add("case", "what", 1.0, Ok(CheckResult::Skipped("a reason".to_string())));
        assert!(!tally.is_good());
    }
}
