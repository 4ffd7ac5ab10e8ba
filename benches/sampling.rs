//! How long a run of 25 DDIM steps takes.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inkdrop_benches::{inputs, network, process};
use inkdrop_nn::Conditioning;
use inkdrop_process::Denoiser;
use inkdrop_sampler::ddim;
use inkdrop_schedule::Spacing;

fn sampling(c: &mut Criterion) {
    let network = network();
    let process = process().respaced(&Spacing::Trailing(25)).expect("25 divides 500");
    let mut group = c.benchmark_group("ddim_25");
    group.sample_size(10);
    for batch in [1, 16] {
        let (x, _, context) = inputs(batch);
        let conditioning = Conditioning::context(context);
        let denoiser = Denoiser::new(&process, network.as_ref(), conditioning);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |b| {
            b.iter(|| ddim(&denoiser, x.shallow_clone(), &mut |_| {}))
        });
    }
    group.finish();
}

criterion_group!(benches, sampling);
criterion_main!(benches);
