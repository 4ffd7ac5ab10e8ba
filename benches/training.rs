//! How long one training step of the sprites network takes, batch 100.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inkdrop_benches::{network, process};
use inkdrop_data::sprites;
use inkdrop_train::{LabelUse, NoCallback, TrainConfig, Trainer, TrainerBuilder};

fn training(c: &mut Criterion) {
    let config = TrainConfig { steps: 1_000_000, batch: 100, ..TrainConfig::default() };
    let images = config.batch as u64;
    let parts = TrainerBuilder {
        network: network(),
        average: network(),
        process: process(),
        image: [3, 16, 16],
        data: sprites::dataset(0, 4000).into(),
        labels: LabelUse::Context,
        names: Vec::new(),
        validation: None,
    };
    let mut trainer = Trainer::new(parts, config).expect("the sprites recipe is valid");
    let mut group = c.benchmark_group("context_training");
    group.throughput(Throughput::Elements(images)).sample_size(10);
    group.bench_function("step_of_100", |b| b.iter(|| trainer.run_steps(1, &mut NoCallback)));
    group.finish();
}

criterion_group!(benches, training);
criterion_main!(benches);
