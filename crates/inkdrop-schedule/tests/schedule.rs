//! Laws of schedules, spacings, noise levels and weights.
#![allow(missing_docs, clippy::unwrap_used)]

use inkdrop_schedule::ScheduleConfig;
use proptest::prelude::*;

#[path = "schedule/betas.rs"]
mod betas;
#[path = "schedule/level_spacing.rs"]
mod level_spacing;
#[path = "schedule/levels.rs"]
mod levels;
#[path = "schedule/loss_weights.rs"]
mod loss_weights;
#[path = "schedule/sigmas.rs"]
mod sigmas;
#[path = "schedule/spacing.rs"]
mod spacing;
#[path = "schedule/steps.rs"]
mod steps;
#[path = "schedule/tables.rs"]
mod tables;
#[path = "schedule/terminal.rs"]
mod terminal;

/// Any named schedule that ends with a little of the data.
fn open_configs() -> impl Strategy<Value = ScheduleConfig> {
    let ends = || (1e-5..1e-3, 1e-3..0.03);
    let scaled = (1usize..800, ends());
    let sigmoid = (1usize..800, ends());
    let cumprod = (1usize..1500, -4.0..0.0, 1.0..4.0, 0.5..2.0);
    let lucid = 1usize..1500;
    prop_oneof![
        // Below 21 steps the scaled linear schedule would need a beta above 1.
        (21usize..1500).prop_map(ScheduleConfig::linear),
        (1usize..1500).prop_map(ScheduleConfig::cosine),
        (1usize..800, 1e-5..1e-3, 1e-3..0.05).prop_map(|(steps, beta_start, beta_end)| {
            ScheduleConfig::Sprites { steps, beta_start, beta_end }
        }),
        (1usize..800, ends()).prop_map(|(steps, (start, end))| ScheduleConfig::Linear {
            steps,
            beta_start: Some(start),
            beta_end: Some(end),
        }),
        scaled.prop_map(|(steps, (beta_start, beta_end))| {
            ScheduleConfig::ScaledLinear { steps, beta_start, beta_end }
        }),
        sigmoid.prop_map(|(steps, (beta_start, beta_end))| {
            ScheduleConfig::Sigmoid { steps, beta_start, beta_end }
        }),
        lucid.prop_map(|steps| ScheduleConfig::SigmoidLucid {
            steps,
            start: -3.0,
            end: 3.0,
            tau: 1.0,
        }),
        cumprod.prop_map(|(steps, start, end, tau)| {
            ScheduleConfig::SigmoidCumprod { steps, start, end, tau }
        }),
        (1usize..500, 1e-4..0.04)
            .prop_map(|(steps, beta)| ScheduleConfig::Constant { steps, beta }),
        prop::collection::vec(1e-4..0.2, 1..60).prop_map(|betas| ScheduleConfig::Betas { betas }),
    ]
}

/// Any named schedule.
fn configs() -> impl Strategy<Value = ScheduleConfig> {
    let zero = open_configs()
        .prop_filter("no zero terminal can be made of these", |config| {
            config.num_timesteps() > 1 && !matches!(config, ScheduleConfig::Sprites { .. })
        })
        .prop_map(|of| ScheduleConfig::ZeroTerminalSnr { of: Box::new(of) });
    prop_oneof![2 => open_configs(), 1 => zero]
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-15 + 1e-12 * b.abs(), "{a} is not {b}");
}
