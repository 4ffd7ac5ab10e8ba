//! How long one pass of a network takes.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inkdrop_benches::{inputs, network};
use inkdrop_nn::{Conditioning, Mode};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::ModelConfig;

fn forward(c: &mut Criterion) {
    let network = network();
    let _guard = no_grad_guard();
    let mut group = c.benchmark_group("context_forward");
    for batch in [1, 16, 64] {
        let (x, t, context) = inputs(batch);
        let conditioning = Conditioning::context(context);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |b| {
            b.iter(|| network.forward(&x, &t, &conditioning, Mode::Eval))
        });
    }
    group.finish();
}

/// One CIFAR-10 image through the larger families.
fn families(c: &mut Criterion) {
    let _guard = no_grad_guard();
    let mut group = c.benchmark_group("forward");
    group.sample_size(20);
    for name in ["ddpm_cifar10", "improved_cifar10", "unet2d_cifar10"] {
        let config = ModelConfig::preset(name).expect("a preset");
        let network = config.build(Kind::Float, Device::Cpu).expect("a network");
        let x = Tensor::randn([1, 3, 32, 32], (Kind::Float, Device::Cpu));
        let t = Tensor::from_slice(&[500i64]);
        let conditioning = Conditioning::none();
        group.bench_function(name, |b| {
            b.iter(|| network.forward(&x, &t, &conditioning, Mode::Eval))
        });
    }
    group.finish();
}

criterion_group!(benches, forward, families);
criterion_main!(benches);
