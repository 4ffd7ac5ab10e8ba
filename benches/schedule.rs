//! Time of noise schedules and their derived tables.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use inkdrop_schedule::{Schedule, ScheduleConfig, TimestepSpacing};
use std::hint::black_box;

fn tables(schedule: &Schedule) -> f64 {
    schedule.sqrt_alphas_cumprod().sum()
        + schedule.sqrt_one_minus_alphas_cumprod().sum()
        + schedule.sqrt_recip_alphas_cumprod().sum()
        + schedule.sqrt_recipm1_alphas_cumprod().sum()
        + schedule.posterior_log_variance_clipped().sum()
}

fn schedules(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedule");
    for (name, config) in [
        ("sprites_500", ScheduleConfig::SPRITES),
        ("linear_1000", ScheduleConfig::linear(1000)),
        ("cosine_4000", ScheduleConfig::Cosine { steps: 4000 }),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| black_box(&config).build().map(|schedule| tables(&schedule)))
        });
    }
    group.bench_function("sections_100_of_4000", |b| {
        b.iter(|| black_box(TimestepSpacing::Sections(vec![100])).timesteps(4000))
    });
    group.finish();
}

criterion_group!(benches, schedules);
criterion_main!(benches);
