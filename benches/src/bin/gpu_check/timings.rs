//! Times and peak memory of forward passes, sampling and training steps.

use std::time::{Duration, Instant};

use inkdrop_nn::{CudaGraphNetwork, Network};
use inkdrop_torch::tch::{Cuda, Device, Kind, no_grad_guard};
use inkdrop_torch::{allow_tf32, gpu_memory, reset_peak};
use inkdrop_train::Precision;

use crate::cases::{Case, build};
use crate::checks::{sample_ddim, word};
use crate::step::TrainingStep;
use inkdrop_benches::Result;

/// Minimum time of a measurement, so that clocks settle.
const AT_LEAST: Duration = Duration::from_millis(500);
const MOST_RUNS: u32 = 200;

/// The columns: name, dtype, and true for CUDA graphs.
const COLUMNS: [(&str, Kind, bool); 4] = [
    ("f32", Kind::Float, false),
    ("f32 graph", Kind::Float, true),
    ("bf16", Kind::BFloat16, false),
    ("bf16 graph", Kind::BFloat16, true),
];

/// Prints all tables, with TF32. A failed measurement shows its error in its cell.
pub fn tables(cases: &[Case], device: Device) -> Result<()> {
    allow_tf32(true)?;
    println!("\nmilliseconds, and MiB of tensors at the peak; TF32 is on\n");
    let names = COLUMNS.map(|(name, ..)| format!("{name:>20}")).concat();
    println!("{:<18} {:<20}{names}", "", "");
    for case in cases {
        for batch in [1, 8, 64] {
            let row = |kind, graph| forward(case, kind, graph, device, batch);
            line(case, &format!("forward, {batch}"), row, device);
        }
        for batch in [1, 64] {
            let row = |kind, graph| sampling(case, kind, graph, device, batch);
            line(case, &format!("25 steps of DDIM, {batch}"), row, device);
        }
    }
    println!();
    for case in cases {
        let mut cells = String::new();
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            let cell = cell(device, || training(case, precision, device, 64));
            cells += &format!("  {} {cell}", word(precision));
        }
        println!("{:<18} {:<20}{cells}", case.name, "training step, 64");
    }
    Ok(())
}

fn line(case: &Case, what: &str, mut time: impl FnMut(Kind, bool) -> Result<f64>, device: Device) {
    let cells = COLUMNS.map(|(_, kind, graph)| cell(device, || time(kind, graph)));
    println!("{:<18} {what:<20}{}", case.name, cells.concat());
}

/// Milliseconds and peak memory, 20 characters wide.
fn cell(device: Device, time: impl FnOnce() -> Result<f64>) -> String {
    let peak = || gpu_memory(device).map(|memory| memory.peak >> 20);
    let _ = reset_peak(device);
    match time() {
        Ok(time) => match peak() {
            Ok(peak) => format!("{time:>11.3} {peak:>8}"),
            Err(_) => format!("{time:>11.3} {:>8}", "-"),
        },
        Err(error) => {
            let words: String = error.to_string().chars().take(16).collect();
            format!("  ! {words:>16}")
        }
    }
}

/// Mean milliseconds of a run. The first three runs are warm-up: libraries make their plans, and CUDA
/// graphs are recorded.
fn mean(device: Device, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..3 {
        run()?;
    }
    wait(device);
    let (begun, mut runs) = (Instant::now(), 0);
    // In groups of four: a synchronization after each run would drain the queue.
    while runs < MOST_RUNS && begun.elapsed() < AT_LEAST {
        for _ in 0..4 {
            run()?;
        }
        runs += 4;
        wait(device);
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3 / f64::from(runs))
}

fn wait(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

fn network(case: &Case, kind: Kind, graph: bool, device: Device) -> Result<Box<dyn Network>> {
    let network = build(&case.config, kind, device)?;
    Ok(if graph { Box::new(CudaGraphNetwork::new(network)) } else { network })
}

fn forward(case: &Case, kind: Kind, graph: bool, device: Device, batch: i64) -> Result<f64> {
    let _guard = no_grad_guard();
    let (network, given) = (network(case, kind, graph, device)?, case.given(batch, 11, device)?);
    mean(device, || {
        let _ = network.forward(&given.x, &given.t, &given.conditioning)?;
        Ok(())
    })
}

fn sampling(case: &Case, kind: Kind, graph: bool, device: Device, batch: i64) -> Result<f64> {
    let network = network(case, kind, graph, device)?;
    mean(device, || sample_ddim(case, network.as_ref(), device, batch, 25).map(drop))
}

fn training(case: &Case, precision: Precision, device: Device, batch: i64) -> Result<f64> {
    let mut step = TrainingStep::new(case, precision, device, batch)?;
    mean(device, || step.step().map(drop))
}
