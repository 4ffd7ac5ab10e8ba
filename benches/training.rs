//! Time of a training step of the sprites network, batch size 100.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inkdrop_benches::{network, process};
use inkdrop_data::sprites;
use inkdrop_train::{LabelUse, TrainConfig, Trainer};

fn training(c: &mut Criterion) {
    let config = TrainConfig { steps: 1_000_000, batch: 100, ..TrainConfig::default() };
    let images = config.batch as u64;
    let builder = Trainer::builder(network(), network(), process(), sprites::dataset(0, 4000));
    let trainer = builder.labels(LabelUse::Context).build(config);
    let mut trainer = trainer.expect("the sprites config is valid");
    let mut group = c.benchmark_group("context_training");
    group.throughput(Throughput::Elements(images)).sample_size(10);
    group.bench_function("step_of_100", |b| b.iter(|| trainer.run_steps(1)));
    group.finish();
}

criterion_group!(benches, training);
criterion_main!(benches);
