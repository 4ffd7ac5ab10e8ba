//! Time of each sampler, with the sprites network and with a network that returns at once.
#![allow(missing_docs)]

use criterion::{
    BatchSize, Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use inkdrop_benches::{idle, inputs, network, process};
use inkdrop_nn::Conditioning;
use inkdrop_process::{Denoiser, NetworkDenoiser};
use inkdrop_sampler::Sampler;
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::PerImageNoise;
use inkdrop_torch::tch::Tensor;

const STEPS: usize = 10;

/// Times a run of 10 steps from noise, without the setup.
fn time(b: &mut Bencher, sampler: Sampler, model: &dyn Denoiser, batch: i64) {
    let process = process();
    let schedule = process.schedule();
    let levels: LevelSpacing = format!("trailing{STEPS}").parse().expect("a spacing");
    let path = levels.sampling_schedule(schedule).expect("10 of 500 steps");
    let start = || (inputs(batch).0, PerImageNoise::new(0, 0..batch as u64));
    let walk = |(x, mut noise): (Tensor, PerImageNoise)| {
        let walked = sampler.sample(model, schedule, &path, x, &mut noise);
        walked.expect("every step is finite")
    };
    b.iter_batched(start, walk, BatchSize::LargeInput);
}

/// Every sampler with the sprites network. The number of calls differs, so compare calls per second.
fn samplers(c: &mut Criterion) {
    let (network, process) = (network(), process());
    let mut group = c.benchmark_group("samplers_10_steps");
    group.sample_size(10);
    for batch in [1, 64] {
        let (_, _, context) = inputs(batch);
        let conditioning = Conditioning::context(context);
        let denoiser = NetworkDenoiser::new(&process, network.as_ref(), conditioning);
        for (name, sampler) in Sampler::all() {
            group.throughput(Throughput::Elements(sampler.calls(STEPS) as u64));
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                time(b, sampler, &denoiser, batch)
            });
        }
    }
    group.finish();
}

/// Every sampler with a network that returns at once: the cost of the samplers themselves.
fn overhead(c: &mut Criterion) {
    let (network, process) = (idle(), process());
    let mut group = c.benchmark_group("overhead_10_steps");
    group.sample_size(20);
    for batch in [1, 64] {
        for (name, sampler) in Sampler::all() {
            let denoiser = NetworkDenoiser::new(&process, &network, Conditioning::none());
            group.throughput(Throughput::Elements(sampler.calls(STEPS) as u64));
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                time(b, sampler, &denoiser, batch)
            });
        }
    }
    group.finish();
}

criterion_group!(benches, samplers, overhead);
criterion_main!(benches);
