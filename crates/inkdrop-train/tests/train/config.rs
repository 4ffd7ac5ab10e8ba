//! Validation of configs, and the learning rate schedule.

use inkdrop_train::{EmaDecay, GroupConfig, LrSchedule, TrainConfig, TrainError};

use super::support::{builder, config};

#[test]
fn learning_rates_follow_warmup_and_schedule() {
    let rates = |lr_schedule, warm_up| {
        let config = TrainConfig { steps: 4, lr: 0.8, lr_schedule, warm_up, ..config(4) };
        (0..=4).map(|step| config.lr_at(step)).collect::<Vec<f64>>()
    };
    let near = |ours: Vec<f64>, theirs: [f64; 5]| {
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-12), "{ours:?}");
    };
    near(rates(LrSchedule::Linear, 0), [0.8, 0.6, 0.4, 0.2, 0.0]);
    near(rates(LrSchedule::Constant, 0), [0.8; 5]);
    near(rates(LrSchedule::Constant, 4), [0.2, 0.4, 0.6, 0.8, 0.8]);
    near(rates(LrSchedule::Linear, 2), [0.4, 0.6, 0.4, 0.2, 0.0]);
    let half = 0.4 * (1.0 + std::f64::consts::FRAC_1_SQRT_2);
    near(rates(LrSchedule::Cosine, 0), [0.8, half, 0.4, 0.8 - half, 0.0]);
}

#[test]
fn invalid_configs_name_the_field() {
    let text = |config: TrainConfig| config.check().unwrap_err().to_string();
    assert_eq!(text(config(0)), "train.steps = 0: expected at least 1");
    let group = |names: Vec<String>, lr| GroupConfig { names, lr, weight_decay: None };
    let bias = || vec!["*.bias".to_string()];
    for (config, words) in [
        (TrainConfig { batch: 0, ..config(1) }, "train.batch = 0"),
        (TrainConfig { microbatch: Some(0), ..config(1) }, "train.microbatch = 0"),
        (TrainConfig { lr: -1.0, ..config(1) }, "train.lr = -1"),
        (TrainConfig { lr: f64::NAN, ..config(1) }, "train.lr = NaN"),
        (TrainConfig { betas: [0.9, 1.0], ..config(1) }, "train.betas = 1"),
        (TrainConfig { eps: 0.0, ..config(1) }, "train.eps = 0"),
        (TrainConfig { clip_norm: Some(0.0), ..config(1) }, "train.clip_norm = 0"),
        (TrainConfig { weight_decay: -0.1, ..config(1) }, "train.weight_decay = -0.1"),
        (TrainConfig { groups: vec![group(vec![], 1.0)], ..config(1) }, "train.groups.names"),
        (TrainConfig { groups: vec![group(bias(), -1.0)], ..config(1) }, "train.groups.lr = -1"),
        (TrainConfig { ema: vec![], ..config(1) }, "train.ema = []"),
        (TrainConfig { ema: vec![EmaDecay::constant(0.9); 2], ..config(1) }, "each decay once"),
        (TrainConfig { label_dropout: 1.5, ..config(1) }, "train.label_dropout = 1.5"),
        (TrainConfig { keep_every: 3, ..config(1) }, "train.keep_every = 3"),
        (TrainConfig { validation_images: 0, ..config(1) }, "train.validation_images = 0"),
        (TrainConfig { workers: 257, ..config(1) }, "train.workers = 257"),
        (TrainConfig { low_res: Some(0), ..config(1) }, "train.low_res = 0"),
        (TrainConfig { lr: 0.0, ..config(1) }, "train.lr = 0"),
        (TrainConfig { lr: f64::INFINITY, ..config(1) }, "train.lr = inf"),
        (TrainConfig { weight_decay: f64::INFINITY, ..config(1) }, "train.weight_decay = inf"),
        (TrainConfig { groups: vec![group(bias(), f64::NAN)], ..config(1) }, "train.groups.lr"),
    ] {
        assert!(text(config.clone()).contains(words), "{words}: {}", text(config));
    }
    config(1).check().unwrap();
    let zeros = GroupConfig { weight_decay: Some(0.0), ..group(bias(), 0.0) };
    let least = TrainConfig {
        betas: [0.0; 2],
        weight_decay: 0.0,
        groups: vec![zeros],
        label_dropout: 0.0,
        workers: 256,
        low_res: Some(1),
        ..config(1)
    };
    least.check().unwrap();
    TrainConfig { label_dropout: 1.0, ..least }.check().unwrap();
}

#[test]
fn images_of_another_size_are_refused() {
    let refused = |image, crop| {
        let error = builder().image_shape(image).build(TrainConfig { crop, ..config(1) });
        match error.err() {
            Some(error @ TrainError::Data { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(refused([3, 8, 8], false).contains("16 x 16 pixels and 3 channels"));
    assert!(refused([1, 16, 16], true).contains("1 channels"));
    assert!(refused([3, 32, 32], true).contains("at least 32 x 32"));
}
