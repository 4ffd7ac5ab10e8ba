//! Many images in batches.

use std::ops::Range;

use inkdrop_nn::testing::FnNetwork;
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Denoiser, Process, ProcessConfig};
use inkdrop_sampler::{
    Batch, BoxedPredictor, Rng, SampleConfig, Sampler, SamplerError, Source, sample,
};
use inkdrop_schedule::{Levels, Spacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextConfig, ModelConfig};

/// A network whose output is NaN near the end.
fn broken() -> impl Network {
    FnNetwork::new(|x, t, _| {
        Ok(if t.double_value(&[0]) < 0.5 { x * f64::NAN } else { x.zeros_like() })
    })
}

fn request(count: usize, batch: usize) -> SampleConfig {
    let (levels, rng) = (Levels::Steps(Spacing::Trailing(4)), Rng::PerImage);
    let sampler = Sampler::DDIM;
    SampleConfig { images: 0..count, batch, sampler, levels, seed: 1, rng, idle_draws: 0 }
}

fn run(network: &dyn Network, config: &SampleConfig) -> Result<Tensor, SamplerError> {
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap();
    let predictor = |_: Range<usize>| -> Result<BoxedPredictor, SamplerError> {
        Ok(Box::new(Denoiser::new(&process, network, Conditioning::none())))
    };
    let source = Source { process: &process, image_shape: [3, 16, 16], predictor: &predictor };
    let mut parts = Vec::new();
    let keep = |batch: Batch| -> Result<(), SamplerError> {
        assert_eq!(batch.images.len() as i64, batch.x.size()[0]);
        parts.push(batch.x);
        Ok(())
    };
    sample(&source, config, &mut |_| {}, keep)?;
    Ok(Tensor::cat(&parts, 0))
}

fn steps(count: usize) -> Levels {
    Levels::Steps(Spacing::Trailing(count))
}

#[test]
fn nan_stops_at_the_step_where_it_appears() {
    let broken = broken();
    let error = run(&broken, &request(2, 2)).unwrap_err();
    // t is 1, 0.75, 0.5, 0.25: the fourth step breaks.
    assert!(matches!(error, SamplerError::NotFinite { number: 4, total: 4 }), "{error}");
}

#[test]
fn images_do_not_depend_on_the_batch() {
    let config = ContextConfig { features: 8, ..ContextConfig::sprites() };
    let network = ModelConfig::Context(config).build(Kind::Float, Device::Cpu).unwrap();
    for sampler in [Sampler::DDIM, Sampler::Ddpm, Sampler::Heun] {
        let all = run(network.as_ref(), &SampleConfig { sampler, ..request(5, 5) }).unwrap();
        for (count, batch) in [(5, 2), (3, 1)] {
            let parts =
                run(network.as_ref(), &SampleConfig { sampler, ..request(count, batch) }).unwrap();
            let difference = (parts - all.narrow(0, 0, count as i64)).abs().max();
            assert!(f64::try_from(difference).unwrap() < 1e-4);
        }
    }
}

#[test]
fn a_part_of_the_images_is_that_part_of_all_to_the_bit() {
    let config = ContextConfig { features: 8, ..ContextConfig::sprites() };
    let network = ModelConfig::Context(config).build(Kind::Float, Device::Cpu).unwrap();
    for sampler in [Sampler::DDIM, Sampler::Ddpm, Sampler::Heun] {
        let of = |images| {
            run(network.as_ref(), &SampleConfig { images, sampler, ..request(7, 2) }).unwrap()
        };
        let all = of(0..7);
        for images in [0..4, 2..6, 4..7, 6..7] {
            let (start, length) = (images.start as i64, images.len() as i64);
            assert!(of(images.clone()).equal(&all.narrow(0, start, length)), "{images:?}");
        }
    }
}

#[test]
fn torch_noise_is_drawn_in_the_originals_order() {
    let network = broken();
    let config =
        SampleConfig { rng: Rng::Torch, sampler: Sampler::Ddpm, levels: steps(1), ..request(2, 2) };
    // One step at t = 1, no noise: x0 = x/√ᾱ, from torch.randn(2, 3, 16, 16).
    let ours = run(&network, &config).unwrap();
    inkdrop_torch::tch::manual_seed(1);
    let drawn = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
    let ratio = ours / drawn;
    assert!(
        f64::try_from(ratio.std(false)).unwrap()
            < 1e-4 * f64::try_from(ratio.mean(Kind::Float)).unwrap()
    );
}

#[test]
fn requests_that_cannot_be_name_the_field() {
    let network = broken();
    let text = |config: SampleConfig| run(&network, &config).unwrap_err().to_string();
    assert!(text(request(0, 1)).starts_with("count 0"));
    assert!(text(request(1, 0)).starts_with("batch 0"));
    let inside = SampleConfig { images: 3..8, ..request(8, 2) };
    assert!(text(inside).starts_with("first image 3: expected a multiple of 2"));
    let later = SampleConfig { images: 2..4, rng: Rng::Torch, ..request(4, 2) };
    assert!(text(later).starts_with("first image 2: expected 0, since one torch generator"));
    let of = |count| SampleConfig { levels: steps(count), ..request(1, 1) };
    assert!(text(of(0)).contains("0 sampling steps were asked for: expected 1 to 500"));
    assert!(text(of(501)).contains("501 sampling steps were asked for: expected 1 to 500"));
    assert!("numpy".parse::<Rng>().unwrap_err().to_string().contains("per-sample or torch"));
}

/// The originals sample whole batches and cut the last one.
#[test]
fn a_smaller_last_batch_has_its_part_of_a_whole_ones_noise() {
    let network = broken();
    let of = |count| {
        let sampler = Sampler::Ddpm;
        let config =
            SampleConfig { rng: Rng::Torch, levels: steps(1), sampler, ..request(count, 4) };
        run(&network, &config).unwrap()
    };
    assert_eq!(of(6), of(8).narrow(0, 0, 6));
}

/// The original draws noise that it does not use; with as many idle draws the next batch has its.
#[test]
fn idle_draws_move_the_noise_of_the_next_batch() {
    let network = broken();
    let config = SampleConfig { rng: Rng::Torch, levels: steps(1), idle_draws: 2, ..request(4, 2) };
    let ours = run(&network, &config).unwrap();
    inkdrop_torch::tch::manual_seed(1);
    let draws: Vec<Tensor> =
        (0..4).map(|_| Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu))).collect();
    let expected = Tensor::cat(&[&draws[0], &draws[3]], 0);
    let ratio = ours / expected;
    let spread = f64::try_from(ratio.std(false)).unwrap();
    assert!(spread < 1e-4 * f64::try_from(ratio.mean(Kind::Float)).unwrap());
}
