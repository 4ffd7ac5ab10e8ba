//! One step: microbatches, mixed precision, labels, validation.

use std::sync::{Arc, Mutex};

use inkdrop_data::{InMemoryDataset, Labels, sprites};
use inkdrop_nn::FnNetwork;
use inkdrop_nn::{Init, Params, TrainableNetwork};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_train::{
    CallbackError, GroupConfig, LogLine, MasterWeights, NoCallback, Precision, TrainConfig,
    Trainer, TrainerCallback,
};
use inkdrop_unet::{DdpmConfig, ImageSize, ModelConfig};

use super::support::{Losses, apart, builder, classes, config, equal, sprites_process, trainer};

/// A small network without batch statistics and dropout, conditioned on six classes.
fn model(classes: Option<i64>) -> ModelConfig {
    let base = DdpmConfig::cifar10();
    ModelConfig::Ddpm(DdpmConfig {
        size: ImageSize::square(16),
        features: 16,
        multipliers: vec![1, 2],
        blocks: 1,
        time_features: Some(32),
        attention: vec![1],
        groups: 8,
        dropout: 0.0,
        classes,
        ..base
    })
}

/// Twenty sprites, each with its class.
fn labelled() -> InMemoryDataset {
    let data = sprites::dataset(0, 20);
    let Labels::Context(rows) = &data.labels else { panic!("sprites have contexts") };
    let id = |row: ndarray::ArrayView1<f32>| row.iter().position(|&w| w == 1.0).unwrap() as u32;
    let ids = rows.rows().into_iter().map(id).collect();
    InMemoryDataset::new(data.images.clone(), Labels::Classes { ids, count: 5 }).unwrap()
}

fn run(config: TrainConfig) -> Trainer {
    let mut trainer = classes(config, &model(Some(6)), labelled().into());
    trainer.run(None, &mut NoCallback).unwrap();
    trainer
}

#[test]
fn microbatches_have_the_gradients_of_the_batch() {
    // A large ε keeps Adam from blowing up gradients that are nothing but rounding.
    let config = TrainConfig { eps: 1.0, lr: 0.1, ..config(3) };
    let whole = run(config.clone());
    for microbatch in [1, 4, 6] {
        let parts = run(TrainConfig { microbatch: Some(microbatch), ..config.clone() });
        let apart = apart(whole.ema_network().params(), parts.ema_network().params());
        assert!(apart < 1e-6, "parts of {microbatch}: {apart}");
    }
    let other = run(TrainConfig { batch: 5, ..config });
    assert!(apart(whole.ema_network().params(), other.ema_network().params()) > 1e-5);
}

/// Masks follow from the index in the batch. Five images in parts of three leave a smaller last part.
#[test]
fn the_dropout_of_a_step_does_not_depend_on_microbatches() {
    let ModelConfig::Ddpm(base) = model(Some(6)) else { panic!("a ddpm network") };
    for (checkpoint, batch) in [(false, 6), (true, 5)] {
        let model = ModelConfig::Ddpm(DdpmConfig { dropout: 0.3, checkpoint, ..base.clone() });
        let run = |microbatch, seed| {
            let mut losses = Losses::default();
            let config = TrainConfig { batch, microbatch, seed, eps: 1.0, lr: 0.1, ..config(3) };
            let mut trainer = classes(config, &model, labelled().into());
            trainer.run(None, &mut losses).unwrap();
            (losses.0, trainer)
        };
        let (whole, trained) = run(None, 0);
        for microbatch in [1, 3] {
            let (parts, trainer) = run(Some(microbatch), 0);
            for (a, b) in whole.iter().zip(&parts) {
                assert!((a - b).abs() < 1e-6 * a, "parts of {microbatch}: {a} and {b}");
            }
            let apart = apart(trained.ema_network().params(), trainer.ema_network().params());
            assert!(apart < 1e-6, "parts of {microbatch}: {apart}");
        }
        assert_ne!(run(None, 1).0, whole);
        let ModelConfig::Ddpm(config) = &model else { continue };
        let without = ModelConfig::Ddpm(DdpmConfig { dropout: 0.0, ..config.clone() });
        let mut losses = Losses::default();
        let config = TrainConfig { batch, eps: 1.0, lr: 0.1, ..self::config(3) };
        classes(config, &without, labelled().into()).run(None, &mut losses).unwrap();
        assert_ne!(losses.0, whole, "nothing was dropped");
    }
}

/// 1 + 256·2⁻⁹ = 1.5, of which 16 bits would keep the 1 alone.
#[test]
fn sums_of_sixteen_bit_gradients_keep_the_small_ones() {
    let mut params = Params::new(Kind::BFloat16, Device::Cpu);
    params.root().weight("w", &[1], Init::Constant(1.0)).unwrap();
    let mut master = MasterWeights::new(&params).unwrap();
    let gradients = std::iter::once(1.0).chain(std::iter::repeat_n(2f64.powi(-9), 256));
    for gradient in gradients {
        (&params.get("w").unwrap().tensor * gradient).sum(Kind::BFloat16).backward();
        master.collect_gradients().unwrap();
    }
    let norm =
        |master: &MasterWeights| master.gradients(1.0).unwrap().norm().unwrap().double_value(&[]);
    assert_eq!(norm(&master), 1.5);
    master.zero_grad().unwrap();
    assert_eq!(norm(&master), 0.0);
}

#[test]
fn microbatches_in_sixteen_bits_are_near_the_whole_batch() {
    let config = TrainConfig { precision: Precision::Bf16, eps: 1.0, lr: 0.1, ..config(3) };
    let whole = run(config.clone());
    let start = classes(config.clone(), &model(Some(6)), labelled().into());
    let learnt = apart(start.ema_network().params(), whole.ema_network().params());
    let parts = run(TrainConfig { microbatch: Some(1), ..config });
    let apart = apart(whole.ema_network().params(), parts.ema_network().params());
    // 0.0010; with sums in 16 bits 0.0030.
    assert!(apart < 0.002 * learnt, "{apart} of {learnt}");
}

#[test]
fn frozen_weights_do_not_count_in_the_gradient_norm() {
    let norm = |frozen: &[&str]| {
        let names = frozen.iter().map(ToString::to_string).collect();
        let group = GroupConfig { names, lr: 0.0, weight_decay: None };
        let groups = if frozen.is_empty() { Vec::new() } else { vec![group] };
        let mut trainer = trainer(TrainConfig { groups, ..config(1) });
        trainer.run_steps(1).unwrap()[0].grad_norm
    };
    let (all, some) = (norm(&[]), norm(&["out.*"]));
    assert!(0.0 < some && some < all, "{some} of {all}");
    assert_eq!(norm(&["*"]), 0.0);
}

#[test]
fn sixteen_bits_learn_as_thirty_two_do() {
    let losses = |precision| {
        let mut losses = Losses::default();
        let config = TrainConfig { precision, ..config(12) };
        let mut trainer = classes(config, &model(Some(6)), labelled().into());
        trainer.run(None, &mut losses).unwrap();
        let kinds = trainer.ema_network().params().iter().map(|param| param.tensor.kind());
        assert!(kinds.into_iter().all(|kind| kind == Kind::Float), "the average is in f32");
        losses.0
    };
    let full = losses(Precision::F32);
    let half = losses(Precision::Bf16);
    assert_ne!(half, full, "bf16 is f32");
    for (a, b) in full.iter().zip(&half) {
        assert!((a - b).abs() < 0.02 * a, "bf16: {a} and {b}");
    }
    // The first steps of f16 are left out until the scale fits: the first losses are those of the
    // same weights, the last are of fewer steps.
    let half = losses(Precision::F16);
    assert_ne!(half[0], full[0], "f16 is f32");
    assert!((full[0] - half[0]).abs() < 0.002 * full[0], "f16: {} and {}", full[0], half[0]);
    assert!(half[11] < 0.98 * half[0], "f16 learns nothing: {half:?}");
}

/// Keeps the lines of the log.
#[derive(Default)]
struct Lines(Vec<LogLine>);

impl TrainerCallback for Lines {
    fn on_log(&mut self, line: &LogLine) -> Result<(), CallbackError> {
        self.0.push(*line);
        Ok(())
    }
}

/// Each line has the mean loss of the steps since the line before.
#[test]
fn lines_are_means_since_the_line_before() {
    #[derive(Default)]
    struct Both(Losses, Lines);
    impl TrainerCallback for Both {
        fn on_step(&mut self, metrics: &inkdrop_train::StepMetrics) {
            self.0.on_step(metrics);
        }

        fn on_log(&mut self, line: &LogLine) -> Result<(), CallbackError> {
            self.1.on_log(line)
        }
    }
    let mut both = Both::default();
    trainer(TrainConfig { log_every: 2, ..config(5) }).run(None, &mut both).unwrap();
    let Both(Losses(losses), Lines(lines)) = both;
    assert_eq!(lines.iter().map(|line| line.step).collect::<Vec<_>>(), [2, 4, 5]);
    for (line, losses) in lines.iter().zip(losses.chunks(2)) {
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        assert!((line.loss - mean).abs() < 1e-12, "{} and {mean}", line.loss);
        assert!(line.images_per_s > 0.0 && line.seconds > 0.0);
    }
}

/// A loss of about 1 times 2²⁰ overflows in f16: the scale falls, steps are left out, and then
/// the network learns.
#[test]
fn the_scale_of_f16_finds_its_place() {
    let mut lines = Lines::default();
    let config = TrainConfig { precision: Precision::F16, log_every: 1, ..config(12) };
    let mut trainer = classes(config, &model(Some(6)), labelled().into());
    trainer.run(None, &mut lines).unwrap();
    let scales: Vec<f64> = lines.0.iter().map(|line| line.loss_scale.unwrap()).collect();
    assert!(scales.windows(2).all(|w| w[1] == w[0] - 1.0 || (w[1] - w[0] - 1e-3).abs() < 1e-9));
    assert!(scales.last().unwrap() > &0.0 && scales[0] <= 20.0 + 1e-3, "{scales:?}");
}

#[test]
fn labels_are_left_out_as_often_as_configured() {
    let with = |label_dropout| run(TrainConfig { label_dropout, ..config(2) });
    let (all, none) = (with(0.0), with(1.0));
    assert!(apart(all.ema_network().params(), none.ema_network().params()) > 1e-4);
    // Without labels, nothing is learned of the five classes, and all of the sixth.
    let start = classes(config(2), &model(Some(6)), labelled().into());
    let table = "downs.0.class_bias.weight";
    let rows = |trainer: &Trainer| trainer.ema_network().params().get(table).unwrap().tensor.copy();
    let moved = (rows(&none) - rows(&start)).abs().amax([1i64].as_slice(), false);
    let moved = Vec::<f64>::try_from(moved.to_kind(Kind::Double)).unwrap();
    assert!(moved[..5].iter().all(|&m| m == 0.0) && moved[5] > 0.0, "{moved:?}");
    let moved = (rows(&all) - rows(&start)).abs().amax([1i64].as_slice(), false);
    assert_eq!(moved.double_value(&[5]), 0.0);
}

/// Rows of zeros teach the layer that they go into nothing.
#[test]
fn contexts_are_left_out_as_often_as_configured() {
    let moved = |label_dropout| {
        let mut run = trainer(TrainConfig { label_dropout, ..config(2) });
        let weight = |run: &Trainer| {
            let param = run.ema_network().params().get("contextembed1.model.0.weight").unwrap();
            param.tensor.copy()
        };
        let before = weight(&run);
        run.run(None, &mut NoCallback).unwrap();
        (weight(&run) - before).abs().max().double_value(&[])
    };
    assert_eq!(moved(1.0), 0.0);
    assert!(moved(0.0) > 0.0);
}

/// A network of one weight that keeps the low-resolution images of its last pass.
fn spy(seen: &Arc<Mutex<Option<Tensor>>>) -> Box<dyn TrainableNetwork> {
    let mut params = Params::new(Kind::Float, Device::Cpu);
    let weight = params.root().weight("w", &[1], Init::Constant(1.0)).unwrap();
    let seen = seen.clone();
    let network = FnNetwork::new(move |x, _, conditioning| {
        *seen.lock().unwrap() = conditioning.low_res.as_ref().map(Tensor::copy);
        Ok(x * &*weight)
    });
    Box::new(network.trainable(params))
}

#[test]
fn low_resolution_images_are_means_over_squares() {
    // Black in the left 6 of 16 columns, white in the others.
    let pixels =
        ndarray::Array4::from_shape_fn((4, 16, 16, 3), |(_, _, x, _)| if x < 6 { 0 } else { 255 });
    let images = inkdrop_data::Images::new(pixels).unwrap();
    let seen = Arc::new(Mutex::new(None));
    let data = InMemoryDataset::new(images, Labels::None).unwrap();
    let config = TrainConfig { batch: 4, low_res: Some(4), ..config(1) };
    let (network, ema_network) = (spy(&seen), spy(&Arc::default()));
    let builder = Trainer::builder(network, ema_network, sprites_process(), data);
    builder.build(config).unwrap().run(None, &mut NoCallback).unwrap();
    let small = seen.lock().unwrap().take().expect("small images");
    assert_eq!(small.size(), [4, 3, 4, 4]);
    let row = Vec::<f64>::try_from(small.select(0, 1).select(0, 2).select(0, 3)).unwrap();
    assert_eq!(row, [-1.0, 0.0, 1.0, 1.0]);
}

#[test]
fn every_line_says_how_the_loss_lies_over_the_process() {
    let mut lines = Lines::default();
    let config = TrainConfig { batch: 20, log_every: 5, validate_every: 5, ..config(10) };
    let held_out = sprites::dataset(7, 33);
    let mut trainer = builder().validation(held_out).build(config).unwrap();
    trainer.run(None, &mut lines).unwrap();
    assert_eq!(lines.0.len(), 2);
    for line in &lines.0 {
        let quarters = [line.loss_q0, line.loss_q1, line.loss_q2, line.loss_q3].map(Option::unwrap);
        let mean = quarters.iter().sum::<f64>() / 4.0;
        assert!((mean / line.loss - 1.0).abs() < 0.5, "{quarters:?} and {}", line.loss);
        assert!(line.grad_norm.unwrap() > 0.0 && line.validation.unwrap() > 0.0);
        assert!(line.error.is_none() && line.loss_scale.is_none());
    }
    assert!(lines.0[1].validation < lines.0[0].validation, "it learns");
}

/// Looking at the validation images changes nothing.
#[test]
fn validation_leaves_the_run_as_it_is() {
    let mut plain = trainer(config(4));
    plain.run(None, &mut NoCallback).unwrap();
    let looking = TrainConfig { validate_every: 1, ..config(4) };
    let mut watched = builder().validation(sprites::dataset(7, 9)).build(looking).unwrap();
    watched.run(None, &mut NoCallback).unwrap();
    assert!(equal(plain.ema_network().params(), watched.ema_network().params()));
    let once = watched.validate().unwrap().unwrap();
    assert_eq!(once, watched.validate().unwrap().unwrap(), "the same images, noise and steps");
}

#[test]
fn flips_and_crops_are_learned() {
    let run = |flip, crop: bool| {
        let side = if crop { 8 } else { 16 };
        let ModelConfig::Ddpm(config) = model(None) else { panic!("a network of this family") };
        let model = ModelConfig::Ddpm(DdpmConfig { size: ImageSize::square(side), ..config });
        let _generator = DefaultGenerator::seeded(11);
        let network = model.build(Kind::Float, Device::Cpu).unwrap();
        let ema_network = model.build_uninitialized(Kind::Float, Device::Cpu).unwrap();
        let data = sprites::dataset(0, 20);
        let builder = Trainer::builder(network, ema_network, sprites_process(), data);
        let builder = builder.image_shape([3, side as usize, side as usize]);
        let builder = builder.validation(sprites::dataset(7, 5));
        let config = TrainConfig { flip, crop, ..super::support::config(2) };
        let mut losses = Losses::default();
        let mut trainer = builder.build(config).unwrap();
        trainer.run(None, &mut losses).unwrap();
        // Validation takes windows as well, always the same ones.
        let looked = trainer.validate().unwrap();
        assert!(looked.is_some_and(f64::is_finite) && looked == trainer.validate().unwrap());
        losses.0
    };
    assert_ne!(run(false, false), run(true, false), "nothing is mirrored");
    let cropped = run(false, true);
    assert!(cropped.iter().all(|loss| loss.is_finite()));
    assert_ne!(cropped, run(true, true));
}

/// With importance sampling, too, error and bound have the weight of the loss.
#[test]
fn error_and_bound_are_the_loss() {
    let mut lines = Lines::default();
    let loss = inkdrop_process::LossType::RescaledMse;
    let everything = super::resume::everything(Precision::F32);
    let config = TrainConfig { loss, log_every: 1, steps: 16, ..everything };
    super::resume::improved(config).run(None, &mut lines).unwrap();
    for line in &lines.0 {
        let sum = line.error.unwrap() + line.bound.unwrap();
        assert!((sum - line.loss).abs() < 1e-6 * line.loss, "{sum} and {}", line.loss);
    }
}

/// The validation loss of the same weights does not depend on the training batch.
#[test]
fn validation_does_not_depend_on_batches() {
    let measured = [2, 6].map(|batch| {
        let config = TrainConfig { batch, microbatch: Some(batch / 2), ..config(1) };
        let trainer = builder().validation(sprites::dataset(7, 40)).build(config).unwrap();
        trainer.validate().unwrap().unwrap()
    });
    assert_eq!(measured[0], measured[1]);
}
