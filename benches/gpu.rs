//! Time and peak memory of forward passes, sampling and training steps on a GPU, with TF32. Without a GPU
//! it prints the reason and ends.
#![allow(missing_docs)]

use std::time::Instant;

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use inkdrop_benches::cases::{self, Case, build};
use inkdrop_benches::step::TrainingStep;
use inkdrop_benches::{Result, cases::device};
use inkdrop_nn::{CudaGraphNetwork, Network};
use inkdrop_torch::tch::{Cuda, Device, Kind, no_grad_guard};
use inkdrop_torch::{allow_tf32, cuda_graphs, gpu_memory, reset_peak, torch_config};
use inkdrop_train::Precision;

/// Name, dtype, and true for CUDA graphs.
const FORMS: [(&str, Kind, bool); 4] = [
    ("f32", Kind::Float, false),
    ("f32_graph", Kind::Float, true),
    ("bf16", Kind::BFloat16, false),
    ("bf16_graph", Kind::BFloat16, true),
];

fn gpu(c: &mut Criterion) {
    let index = match device() {
        Ok(Device::Cuda(index)) => index,
        Ok(_) => return println!("no GPU to time: cargo xtask doctor says why"),
        Err(error) => return println!("no GPU to time: {error}"),
    };
    println!("{}", torch_config().unwrap_or_default());
    if let Err(reason) = cuda_graphs() {
        println!("no CUDA graphs: {reason}");
    }
    for case in cases::all(false) {
        if let Err(error) = all_of(c, &case, index) {
            println!("{}: {error}", case.name); // such as too little memory
        }
    }
}

fn all_of(c: &mut Criterion, case: &Case, index: usize) -> Result<()> {
    allow_tf32(true)?;
    let device = Device::Cuda(index);
    for (form, kind, graph) in FORMS {
        let network = build(&case.config, kind, device)?;
        let network: Box<dyn Network> =
            if graph { Box::new(CudaGraphNetwork::new(network)) } else { network };
        for batch in [1, 8, 64] {
            let _guard = no_grad_guard();
            let given = case.given(batch, 11, device)?;
            let pass = || network.forward(&given.x, &given.t, &given.conditioning).map(drop);
            pass()?;
            time(c, &format!("{}/forward/{form}/{batch}", case.name), index, pass);
        }
        for batch in [1, 64] {
            let run = || case.sample_ddim(network.as_ref(), device, batch, 25).map(drop);
            run()?;
            time(c, &format!("{}/ddim25/{form}/{batch}", case.name), index, run);
        }
    }
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let mut step = TrainingStep::new(case, precision, device, 64)?;
        let name = format!("{}/training/{precision:?}/64", case.name);
        time(c, &name, index, || step.step().map(drop));
    }
    Ok(())
}

/// Times a run. The GPU is waited for at the ends of a sample only: a wait after each run would drain its
/// queue.
fn time<E>(
    c: &mut Criterion,
    name: &str,
    index: usize,
    mut run: impl FnMut() -> std::result::Result<(), E>,
) {
    let device = Device::Cuda(index);
    let mut failed = false;
    let _ = reset_peak(device);
    let mut group = c.benchmark_group("gpu");
    group.sample_size(10).bench_function(name, |b: &mut Bencher| {
        b.iter_custom(|runs| {
            Cuda::synchronize(index as i64);
            let begun = Instant::now();
            for _ in 0..runs {
                failed |= run().is_err();
            }
            Cuda::synchronize(index as i64);
            begun.elapsed()
        });
    });
    group.finish();
    let peak = gpu_memory(device).map_or(0, |memory| memory.peak >> 20);
    println!("{name}: peak {peak} MiB{}", if failed { "; a run FAILED" } else { "" });
}

criterion_group!(benches, gpu);
criterion_main!(benches);
