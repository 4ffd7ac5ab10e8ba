//! A GPU's results against those of the CPU in f32, with the presets of all families.
//!
//! Without a GPU, small networks on the CPU are compared with themselves, which tests these checks. With
//! `INKDROP_DEVICE=cuda` a missing GPU is an error.
#![allow(missing_docs, clippy::unwrap_used)]

use inkdrop_benches::Result;
use inkdrop_benches::cases::{self, Case, Given, build, checkpointed};
use inkdrop_benches::step::TrainingStep;
use inkdrop_nn::{CudaGraphNetwork, Network};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{DefaultGenerator, allow_tf32, cuda_graphs};
use inkdrop_train::Precision;

const BATCH: i64 = 2;

/// Prints the largest relative error of each network, and fails if one is above the bound or NaN.
///
/// - error: `None` if the network or the device lacks what is checked
fn check(what: &str, bound: f64, error: impl Fn(&Case, Device) -> Result<Option<f64>>) {
    // One at a time: TF32 is a setting of the process.
    let _alone = DefaultGenerator::lock();
    let device = cases::device().unwrap();
    allow_tf32(false).unwrap();
    let mut wrong = Vec::new();
    for case in cases::all(device == Device::Cpu) {
        let line = match error(&case, device) {
            Ok(Some(error)) if error <= bound => format!("{error:.2e}, at most {bound:.0e}"),
            Ok(None) => "skipped".to_string(),
            other => {
                wrong.push(format!("{}: {other:?}, expected at most {bound:e}", case.name));
                "WRONG".to_string()
            }
        };
        println!("{device:?} {:<18} {what:<34} {line}", case.name);
    }
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}

/// `cargo xtask gpu-check` runs this test first.
#[test]
fn the_device_exists() {
    if let Err(reason) = cases::device() {
        panic!("no GPU to check: {reason}");
    }
}

#[test]
fn forward_passes_in_f32() {
    let expected = |case: &Case| output(case, Kind::Float, Device::Cpu);
    check("forward, f32 without TF32", 1e-4, |case, device| {
        difference(&output(case, Kind::Float, device)?, &expected(case)?).map(Some)
    });
    check("forward, f32 with TF32", 5e-3, |case, device| {
        allow_tf32(true)?;
        difference(&output(case, Kind::Float, device)?, &expected(case)?).map(Some)
    });
}

#[test]
fn forward_passes_in_half_precision() {
    for (what, kind, bound) in
        [("forward, bf16", Kind::BFloat16, 5e-2), ("forward, f16", Kind::Half, 2e-2)]
    {
        check(what, bound, |case, device| {
            let expected = output(case, Kind::Float, Device::Cpu)?;
            difference(&output(case, kind, device)?, &expected).map(Some)
        });
    }
}

#[test]
fn cuda_graphs_equal_ordinary_passes() {
    for (what, kind) in [("recorded, f32", Kind::Float), ("recorded, bf16", Kind::BFloat16)] {
        check(what, 1e-6, |case, device| recorded(case, kind, device));
    }
}

#[test]
fn sampling() {
    check("10 steps of DDIM, f32", 2e-2, |case, device| {
        let plain = build(&case.config, Kind::Float, Device::Cpu)?;
        let expected = case.sample_ddim(plain.as_ref(), Device::Cpu, BATCH, 10)?;
        let network = CudaGraphNetwork::new(build(&case.config, Kind::Float, device)?);
        difference(&case.sample_ddim(&network, device, BATCH, 10)?, &expected).map(Some)
    });
}

#[test]
fn gradients_and_checkpointing() {
    let gradients =
        |case: &Case, device| TrainingStep::new(case, Precision::F32, device, BATCH)?.gradients();
    check("gradients, f32", 1e-3, |case, device| {
        difference(&gradients(case, device)?, &gradients(case, Device::Cpu)?).map(Some)
    });
    check("checkpointed against ordinary", 1e-4, |case, device| {
        let Some(config) = checkpointed(&case.config) else {
            return Ok(None); // the family has no gradient checkpointing
        };
        let with = case.with(config);
        difference(&gradients(&with, device)?, &gradients(case, device)?).map(Some)
    });
}

#[test]
fn losses_before_and_after_a_step() {
    let losses = |case: &Case, precision, device| {
        TrainingStep::new(case, precision, device, BATCH)?.losses()
    };
    for (precision, bound) in
        [(Precision::F32, 1e-3), (Precision::Bf16, 5e-2), (Precision::F16, 2e-2)]
    {
        check(&format!("losses, {precision:?}"), bound, |case, device| {
            let expected = losses(case, Precision::F32, Device::Cpu)?;
            difference(&losses(case, precision, device)?, &expected).map(Some)
        });
    }
}

#[test]
fn nan_is_no_small_difference() {
    let (one, nan) = (Tensor::from_slice(&[1.0]), Tensor::from_slice(&[f64::NAN]));
    assert_eq!(difference(&one, &one).unwrap(), 0.0);
    for (a, b) in [(&nan, &one), (&one, &nan), (&nan, &nan)] {
        assert!(difference(a, b).unwrap().is_nan());
    }
}

fn pass(network: &dyn Network, given: &Given) -> Result<Tensor> {
    Ok(network.forward(&given.x, &given.t, &given.conditioning)?)
}

fn output(case: &Case, kind: Kind, device: Device) -> Result<Tensor> {
    let _guard = no_grad_guard();
    pass(build(&case.config, kind, device)?.as_ref(), &case.given(BATCH, 11, device)?)
}

/// The largest difference between a CUDA graph and ordinary passes, over several inputs.
fn recorded(case: &Case, kind: Kind, device: Device) -> Result<Option<f64>> {
    let _guard = no_grad_guard();
    let plain = build(&case.config, kind, device)?;
    let recorded = CudaGraphNetwork::new(build(&case.config, kind, device)?);
    let mut worst = 0.0;
    // On the CPU, where bf16 is slow and nothing is recorded, two inputs will do.
    for seed in 11..(if device.is_cuda() { 16 } else { 13 }) {
        let given = case.given(BATCH, seed, device)?;
        let expected = pass(plain.as_ref(), &given)?;
        let error = difference(&pass(&recorded, &given)?, &expected)?;
        worst = if error > worst || error.is_nan() { error } else { worst };
    }
    if let Some(trouble) = recorded.trouble() {
        return Err(format!("nothing was recorded: {trouble}").into());
    }
    match cuda_graphs() {
        Err(reason) if device.is_cuda() => {
            println!("no CUDA graphs: {reason}");
            Ok(None)
        }
        Ok(()) if device.is_cuda() && recorded.recorded() != 1 => {
            Err("nothing was recorded".into())
        }
        _ => Ok(Some(worst)),
    }
}

/// max|a − b| / max|b| in f64 on b's device; NaN or infinite if a value is not finite.
fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    let b = b.f_to_kind(Kind::Double)?;
    let a = a.f_to_device(b.device())?.f_to_kind(Kind::Double)?;
    if a.size() != b.size() {
        return Err(format!("shape {:?}, expected {:?}", a.size(), b.size()).into());
    }
    let scale = f64::try_from(b.f_abs()?.f_max()?)?;
    let error = f64::try_from(a.f_sub(&b)?.f_abs()?.f_max()?)?;
    Ok(if error == 0.0 { 0.0 } else { error / scale })
}
