//! Time of one forward pass, for the trained and for the compiled network.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inkdrop_benches::{inputs, network};
use inkdrop_nn::{CompileOptions, Conditioning, Network, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::ModelConfig;

/// The trained and the compiled network, with the names of their benchmarks.
fn forms(
    name: &str,
    network: Box<dyn TrainableNetwork>,
    time: f64,
) -> [(String, Box<dyn Network>); 2] {
    let ready = network.compile(&CompileOptions::at([time])).expect("a compiled network");
    [(format!("{name}_forward"), network), (format!("{name}_inference"), ready)]
}

fn forward(c: &mut Criterion) {
    let _guard = no_grad_guard();
    for (name, network) in forms("context", network(), 0.5) {
        let mut group = c.benchmark_group(name);
        for batch in [1, 16, 64] {
            let (x, _, context) = inputs(batch);
            let t = Tensor::full([batch], 0.5, (Kind::Float, Device::Cpu));
            let conditioning = Conditioning::context(context);
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::from_parameter(batch), |b| {
                b.iter(|| network.forward(&x, &t, &conditioning))
            });
        }
        group.finish();
    }
}

/// One CIFAR-10 image through the larger families.
fn families(c: &mut Criterion) {
    let _guard = no_grad_guard();
    for name in ["ddpm_cifar10", "improved_cifar10", "unet2d_cifar10"] {
        let config = ModelConfig::preset(name).expect("a preset");
        let network = config.build(Kind::Float, Device::Cpu).expect("a network");
        let x = Tensor::randn([1, 3, 32, 32], (Kind::Float, Device::Cpu));
        let t = Tensor::from_slice(&[500i64]);
        for (name, network) in forms(name, network, 500.0) {
            let mut group = c.benchmark_group(name);
            group.sample_size(20);
            group
                .bench_function("1", |b| b.iter(|| network.forward(&x, &t, &Conditioning::none())));
            group.finish();
        }
    }
}

criterion_group!(benches, forward, families);
criterion_main!(benches);
