//! How long one pass of the sprites network takes.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inkdrop_benches::{inputs, network};
use inkdrop_nn::{Conditioning, Mode};
use inkdrop_torch::tch::no_grad_guard;

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

criterion_group!(benches, forward);
criterion_main!(benches);
