//! Many images in batches.

use std::ops::Range;

use inkdrop_nn::FnNetwork;
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{DiffusionProcess, NetworkDenoiser, Process, ProcessConfig};
use inkdrop_sampler::{
    BatchModel, BoxedDenoiser, Rng, SaSolver, SampleBatches, SampleConfig, Sampler, SamplerError,
};
use inkdrop_schedule::{SamplingSchedule, ScheduleConfig, ScheduleError, TimestepSpacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{NoiseSource, TorchNoise};
use inkdrop_unet::{ContextConfig, ModelConfig};

/// A network whose output is NaN at the last timesteps.
fn broken() -> impl Network {
    FnNetwork::new(|x, t, _| {
        Ok(if t.double_value(&[0]) < 0.5 { x * f64::NAN } else { x.zeros_like() })
    })
}

fn request(count: usize, batch: usize) -> SampleConfig {
    let (schedule, rng) = (steps(4).unwrap(), Rng::PerImage);
    let sampler = Sampler::DDIM;
    SampleConfig { images: 0..count, batch, sampler, schedule, seed: 1, rng, discarded_draws: 0 }
}

struct Unconditional<'a> {
    process: Process,
    network: &'a dyn Network,
}

impl BatchModel for Unconditional<'_> {
    fn process(&self) -> &dyn DiffusionProcess {
        &self.process
    }

    fn image_shape(&self) -> [i64; 3] {
        [3, 16, 16]
    }

    fn denoiser(&self, _: Range<usize>) -> Result<BoxedDenoiser<'_>, SamplerError> {
        let none = Conditioning::none();
        Ok(Box::new(NetworkDenoiser::new(&self.process, self.network, none)))
    }
}

fn run(network: &dyn Network, config: &SampleConfig) -> Result<Tensor, SamplerError> {
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap();
    let model = Unconditional { process, network };
    let mut parts = Vec::new();
    for batch in SampleBatches::new(&model, config.clone())? {
        let batch = batch?;
        assert_eq!(batch.images.len() as i64, batch.x.size()[0]);
        parts.push(batch.x);
    }
    Ok(Tensor::cat(&parts, 0))
}

fn steps(count: usize) -> Result<SamplingSchedule, ScheduleError> {
    let schedule = ScheduleConfig::SPRITES.build()?;
    let timesteps = TimestepSpacing::Trailing(count).timesteps(schedule.num_timesteps())?;
    SamplingSchedule::from_timesteps(&schedule, &timesteps)
}

#[test]
fn nan_stops_at_the_step_where_it_appears() {
    let broken = broken();
    let error = run(&broken, &request(2, 2)).unwrap_err();
    // t is 1, 0.75, 0.5, 0.25: the fourth step breaks.
    assert!(matches!(error, SamplerError::NotFinite { number: 4, total: 4 }), "{error}");
}

/// Samplers of all kinds: with fresh noise, with two calls in a step, with a memory of steps. The step size
/// of dpm-adaptive is that of the batch.
fn independent() -> impl Iterator<Item = Sampler> {
    ["ddim", "ddpm", "heun", "sa-solver", "dpm++3s", "dpm2-ancestral", "lcm", "tcd"]
        .into_iter()
        .map(|name| name.parse().unwrap())
}

#[test]
fn images_do_not_depend_on_the_batch() {
    let config = ContextConfig { features: 8, ..ContextConfig::sprites() };
    let network = ModelConfig::Context(config).build(Kind::Float, Device::Cpu).unwrap();
    for sampler in independent() {
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
    for sampler in
        [Sampler::DDIM, Sampler::Ddpm, Sampler::Heun, Sampler::SaSolver(SaSolver::IMAGES)]
    {
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

/// Image i of a Brownian tree is the same in any batch, and ends alike with more steps.
#[test]
fn brownian_trees_belong_to_images() {
    let config = ContextConfig { features: 8, ..ContextConfig::sprites() };
    let network = ModelConfig::Context(config).build(Kind::Float, Device::Cpu).unwrap();
    let (sampler, rng) = (Sampler::Ddim { eta: 1.0 }, Rng::BrownianTree);
    let of = |request: SampleConfig| {
        run(network.as_ref(), &SampleConfig { sampler, rng, ..request }).unwrap()
    };
    let (all, parts) = (of(request(5, 5)), of(request(5, 2)));
    assert!(f64::try_from((&parts - &all).abs().max()).unwrap() < 1e-4);
    let of_steps = |count, rng| {
        let config =
            SampleConfig { schedule: steps(count).unwrap(), rng, sampler, ..request(2, 2) };
        run(network.as_ref(), &config).unwrap()
    };
    let distance = |rng| {
        let difference = (of_steps(50, rng) - of_steps(100, rng)).square().mean(Kind::Float);
        f64::try_from(difference).unwrap().sqrt()
    };
    assert!(distance(Rng::BrownianTree) < 0.5 * distance(Rng::PerImage));
}

#[test]
fn torch_noise_is_drawn_in_the_originals_order() {
    let network = broken();
    let config = SampleConfig {
        rng: Rng::Torch,
        sampler: Sampler::Ddpm,
        schedule: steps(1).unwrap(),
        ..request(2, 2)
    };
    // One step at t = 1, no noise: x0 = x/√ᾱ, from torch.randn(2, 3, 16, 16).
    let ours = run(&network, &config).unwrap();
    let drawn = TorchNoise::seeded(1).unwrap().normal(&[2, 3, 16, 16], Device::Cpu).unwrap();
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
    assert!(text(inside).starts_with("first image 3: expected a multiple of the batch size, 2"));
    let later = SampleConfig { images: 2..4, rng: Rng::Torch, ..request(4, 2) };
    assert!(text(later).starts_with("first image 2: expected 0, since one torch generator"));
    let of = |count| steps(count).unwrap_err().to_string();
    assert!(of(0).contains("0 sampling steps: expected 1 to 500"));
    assert!(of(501).contains("501 sampling steps: expected 1 to 500"));
    for (text, rng) in
        [("per-sample", Rng::PerImage), ("brownian-tree", Rng::BrownianTree), ("torch", Rng::Torch)]
    {
        assert_eq!(text.parse::<Rng>().unwrap(), rng);
    }
    assert!(
        "numpy"
            .parse::<Rng>()
            .unwrap_err()
            .to_string()
            .contains("per-sample, brownian-tree or torch")
    );
}

/// The originals sample whole batches and cut the last one.
#[test]
fn a_smaller_last_batch_has_its_part_of_a_whole_ones_noise() {
    let network = broken();
    let of = |count| {
        let sampler = Sampler::Ddpm;
        let config = SampleConfig {
            rng: Rng::Torch,
            schedule: steps(1).unwrap(),
            sampler,
            ..request(count, 4)
        };
        run(&network, &config).unwrap()
    };
    assert_eq!(of(6), of(8).narrow(0, 0, 6));
}

/// The original draws noise that it does not use; with as many discarded draws the next batch has its.
#[test]
fn discarded_draws_move_the_noise_of_the_next_batch() {
    let network = broken();
    let config = SampleConfig {
        rng: Rng::Torch,
        schedule: steps(1).unwrap(),
        discarded_draws: 2,
        ..request(4, 2)
    };
    let ours = run(&network, &config).unwrap();
    let mut noise = TorchNoise::seeded(1).unwrap();
    let draws = [(); 4].map(|()| noise.normal(&[2, 3, 16, 16], Device::Cpu).unwrap());
    let expected = Tensor::cat(&[&draws[0], &draws[3]], 0);
    let ratio = ours / expected;
    let spread = f64::try_from(ratio.std(false)).unwrap();
    assert!(spread < 1e-4 * f64::try_from(ratio.mean(Kind::Float)).unwrap());
}
