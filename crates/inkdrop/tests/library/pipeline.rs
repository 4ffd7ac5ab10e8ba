//! Opening, settings and sampling.

use inkdrop::data::Depth;
use inkdrop::model::{Classes, Condition, ModelMetadata, SamplingDefaults};
use inkdrop::nn::FnNetwork;
use inkdrop::process::{ContinuousConfig, Preconditioning};
use inkdrop::sampler::{GuidanceInterval, Trace};
use inkdrop::torch::tch::{Kind, Tensor};
use inkdrop::unet::ModelConfig;
use inkdrop::{Error, Pipeline, Rng};

fn sprites() -> Pipeline {
    Pipeline::open("sprites").unwrap().steps(3)
}

fn message<T>(result: inkdrop::Result<T>) -> String {
    result.err().expect("an error").report()
}

#[test]
fn an_image_depends_on_its_seed_and_index_alone() {
    let all = sprites().class("hero").sample(5).unwrap();
    let batches = sprites().class("hero").batch(5);
    let again: Vec<_> = batches.batches(5).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].images(), all.images());
    let other = sprites().class("hero").seed(1).sample(5).unwrap();
    assert_ne!(other.images(), all.images());
}

#[test]
fn batches_are_as_large_as_asked_for() {
    let sizes = |pipeline: Pipeline| -> Vec<usize> {
        pipeline.batches(5).unwrap().map(|batch| batch.unwrap().len()).collect()
    };
    assert_eq!(sizes(sprites().batch(2)), [2, 2, 1]);
    assert_eq!(sizes(sprites()), [5]);
    assert_eq!(sizes(sprites().rng(Rng::Torch)), [5]);
}

#[test]
fn classes_go_round() {
    let each = sprites().class("each").sample(7).unwrap();
    let classes: Vec<_> = each.conditions().iter().map(Condition::one_hot).collect();
    assert_eq!(classes, [0, 1, 2, 3, 4, 0, 1].map(Some));
    let two = sprites().class("food, spell").sample(3).unwrap();
    let names = ["food", "spell", "food"].map(|name| {
        let pipeline = sprites();
        Condition::class(pipeline.metadata(), name).unwrap()
    });
    assert_eq!(two.conditions(), names);
}

#[test]
fn an_image_of_a_round_is_that_of_its_class() {
    let each = sprites().class("each").sample(5).unwrap();
    let food = sprites().class("food").sample(5).unwrap();
    let place = each.conditions().iter().position(|c| *c == food.conditions()[0]).unwrap();
    let image = |samples: &inkdrop::Samples| samples.to_images().image(place).to_vec();
    assert_eq!(image(&each), image(&food));
}

#[test]
fn settings_that_do_not_fit_say_what_is_expected() {
    for (pipeline, expected) in [
        (sprites().class("dragon"), "expected one of hero, non-hero, food"),
        (sprites().class("hero,dragon"), "unknown context `dragon`"),
        (sprites().context([("hero", f32::NAN)]), "expected a finite weight"),
        (sprites().context([("hero", 1.0), ("hero", 0.5)]), "given twice"),
        (sprites().steps(0), "expected"),
        (sprites().spacing("nowhere"), "nowhere"),
        (sprites().spacing("karras20"), "leave --steps out"),
        (sprites().batch(0), "1 to 65536 images per batch"),
        (sprites().guidance(2.0), "expected a condition to guide towards"),
        (sprites().class("hero").guidance(-1.0), "expected 0 or more"),
        (sprites().class("hero").threshold(2.0), "expected 0 to 1"),
        (sprites().autoguide(sprites()), "--autoguide without --guidance"),
        (sprites().null_class(1), "--null-class without --guidance"),
        (sprites().guidance_rescale(0.5), "--guidance-rescale without --guidance"),
        (sprites().guidance_parallel(0.5), "--guidance-parallel without --guidance"),
        (
            sprites().guidance_interval(GuidanceInterval { low: 0.1, high: 1.0 }),
            "--guidance-interval without --guidance",
        ),
    ] {
        let text = message(pipeline.sample(1));
        assert!(text.contains(expected), "{text}");
    }
    assert!(message(sprites().sample(0)).contains("at least 1 image"));
    let missing = message(Pipeline::open("nowhere.safetensors"));
    assert!(missing.contains("no file and no built-in model nowhere.safetensors"), "{missing}");
    let error = Pipeline::builder("sprites").device("tpu").build().err().unwrap();
    assert!(matches!(error, Error::Device(_)), "{error:?}");
}

#[test]
fn a_trajectory_ends_at_the_sample_and_can_be_left() {
    let pipeline = sprites().class("hero");
    let sampled = pipeline.sample(2).unwrap();
    let last = pipeline.trajectory(2).unwrap().map(Result::unwrap).last().unwrap();
    assert_eq!((last.index, last.count), (2, 3));
    assert!(last.x.equal(sampled.tensor()));
    let first = pipeline.trajectory(2).unwrap().next().unwrap().unwrap();
    assert_eq!(first.x0.size(), [2, 3, 16, 16]);
}

#[test]
fn a_setting_after_a_run_counts() {
    let pipeline = sprites().class("hero");
    let three = pipeline.sample(1).unwrap();
    let pipeline = pipeline.steps(10);
    let ten = pipeline.sample(1).unwrap();
    assert_ne!(three.images(), ten.images());
    assert_eq!(pipeline.steps(3).sample(1).unwrap().images(), three.images());
}

#[test]
fn guidance_of_scale_one_is_no_guidance() {
    let plain = sprites().class("hero").sample(2).unwrap();
    let one = sprites().class("hero").guidance(1.0).sample(2).unwrap();
    let difference = (plain.tensor() - one.tensor()).abs().max();
    assert!(difference.double_value(&[]) < 1e-4);
    let three = sprites().class("hero").guidance(3.0).sample(2).unwrap();
    assert_ne!(plain.images(), three.images());
    let weaker = sprites().class("hero").guidance(3.0).autoguide(sprites()).sample(2).unwrap();
    let difference = (plain.tensor() - weaker.tensor()).abs().max();
    assert!(difference.double_value(&[]) < 1e-4, "guidance away from itself changes nothing");
}

#[test]
fn samples_are_saved_by_ending() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let samples = sprites().class("hero").sample(3).unwrap();
    samples.save(path("x.png")).unwrap();
    let grid = inkdrop::data::read::read_picture(path("x.png")).unwrap();
    assert!(grid.width() >= 2 * 16 * 4 && grid.height() >= 2 * 16 * 4);
    samples.save(path("x.npz")).unwrap();
    let read = inkdrop::data::npz::load(path("x.npz")).unwrap();
    assert_eq!(read.images.view(), samples.images());
    assert_eq!(read.labels.len(), Some(3));
    samples.save(folder.path().join("all/")).unwrap();
    assert_eq!(std::fs::read_dir(path("all")).unwrap().count(), 3);
    let error = message(samples.save(path("x.webp")));
    assert!(error.contains(".png, .tiff, .npz, .npy or /"), "{error}");
}

/// What a method does not use is refused, not ignored.
#[test]
fn settings_without_effect_are_refused() {
    let images = sprites().class("hero").sample(1).unwrap().to_images();
    for pipeline in [
        sprites().guidance(2.0),
        sprites().threshold(0.9),
        sprites().spacing("karras20"),
        sprites().sampler("dpm++2m".parse().unwrap()),
    ] {
        let error = message(pipeline.class("hero").bits_per_dim(&images, Trace::Hutchinson));
        assert!(error.contains("likelihood") && error.contains("leave it out"), "{error}");
    }
    let error = message(sprites().steps(5).fit_schedule(5, 2));
    assert!(error.contains("a number of steps"), "{error}");
    let interval = GuidanceInterval { low: 5.0, high: 0.3 };
    let guided = sprites().class("hero").guidance(3.0).guidance_interval(interval);
    let error = message(guided.sample(1));
    assert!(error.contains("--guidance-interval 5,0.3"), "{error}");
}

/// The bytes of a family are rounded as its program does: EDM adds a half before it cuts off, `ddpm` does not.
#[test]
fn bytes_are_rounded_as_in_the_original() {
    for (preset, half) in [("ddpm_cifar10", 0.0), ("edm_cifar10", 0.5), ("unet2d_cifar10", 0.5)] {
        let metadata = ModelMetadata {
            model: ModelConfig::preset(preset).unwrap(),
            process: ContinuousConfig::new(Preconditioning::Edm { sigma_data: 0.5 }).into(),
            contexts: Vec::new(),
            classes: Classes::default(),
            sampling: SamplingDefaults::default(),
            condition: None,
            depth: Depth::Eight,
        };
        let network = FnNetwork::new(|x: &Tensor, _: &Tensor, _| Ok(x * 0.5));
        let pipeline = Pipeline::from_network(metadata, Box::new(network)).unwrap();
        let samples = pipeline.steps(2).sample(1).unwrap();
        let x = samples.tensor().permute([0, 2, 3, 1]).contiguous();
        let expected = ((x + 1.0) * 127.5 + half).clamp(0.0, 255.0).to_kind(Kind::Uint8);
        let expected = Vec::<u8>::try_from(&expected.flatten(0, -1)).unwrap();
        assert_eq!(samples.to_images().bytes(), expected);
    }
}

/// A likelihood is that of the bins of 8 bits.
#[test]
fn likelihoods_of_16_bits_are_refused() {
    let pipeline = sprites().class("hero");
    let images = pipeline.sample(1).unwrap().to_images();
    assert!(pipeline.bits_per_dim(&images, Trace::Hutchinson).is_ok());
    let wide = images.with_depth(Depth::Sixteen);
    let error = message(pipeline.bits_per_dim(&wide, Trace::Hutchinson));
    assert!(error.contains("the images have 16 bits, the model 8: expected 8"), "{error}");
}
