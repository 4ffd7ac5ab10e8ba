//! Samplers against data whose exact score is known.
#![allow(missing_docs, clippy::unwrap_used)]

use std::ops::Range;

use inkdrop_nn::{Conditioning, Mode, Network, NetworkError, Params};
use inkdrop_process::{Prediction, Process, ProcessConfig, ProcessError, TimeInput, Variance};
use inkdrop_sampler::{
    Batch, Predictor, Rng, SampleConfig, Sampler, SamplerError, ddim, ddpm, sample,
};
use inkdrop_schedule::{ScheduleConfig, Spacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{NoiseSource, PerImageNoise};
use inkdrop_unet::{ContextConfig, ModelConfig};

const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Data N(mean, deviation²) in every pixel: the best prediction is known exactly.
struct Gaussian {
    process: Process,
    mean: f64,
    deviation: f64,
}

impl Gaussian {
    fn new(schedule: ScheduleConfig, spacing: &Spacing, variance: Variance) -> Self {
        let config = ProcessConfig { schedule, time: TimeInput::Index, variance, clip: false };
        let process = Process::new(&config, Device::Cpu).unwrap().respaced(spacing).unwrap();
        Self { process, mean: 0.3, deviation: 0.5 }
    }

    /// The probability flow takes each x at noise level 1 − ᾱ to this image.
    fn exact(&self, x: &Tensor) -> Tensor {
        let bar = *self.process.schedule().alphas_cumprod().last().unwrap();
        let spread = (bar * self.deviation.powi(2) + 1.0 - bar).sqrt();
        (x - bar.sqrt() * self.mean) * (self.deviation / spread) + self.mean
    }
}

impl Predictor for Gaussian {
    fn process(&self) -> &Process {
        &self.process
    }

    /// E[x0 | x] of a Gaussian prior under Gaussian noise.
    fn predict(&self, x: &Tensor, index: usize) -> Result<Prediction, ProcessError> {
        let bar = self.process.schedule().alphas_cumprod()[index];
        let variance = self.deviation.powi(2);
        let gain = bar.sqrt() * variance / (bar * variance + 1.0 - bar);
        let x0 = (x - bar.sqrt() * self.mean) * gain + self.mean;
        let eps = (x - &x0 * bar.sqrt()) / (1.0 - bar).sqrt();
        Ok(Prediction { x0, eps })
    }
}

fn linear() -> ScheduleConfig {
    ScheduleConfig::linear(1000)
}

fn error_of_ddim(steps: usize) -> f64 {
    let model = Gaussian::new(linear(), &Spacing::Trailing(steps), Variance::FixedLarge);
    let x = Tensor::linspace(-2.0, 2.0, 9, F64).view([1, 1, 3, 3]);
    let exact = model.exact(&x);
    let ours = ddim(&model, x, &mut |_| {}).unwrap();
    f64::try_from((ours - exact).abs().max()).unwrap()
}

/// Twice the steps, half the error: the slope of log error against log steps is −1.
#[test]
fn ddim_converges_with_order_one() {
    let steps = [25usize, 50, 100, 200];
    let points: Vec<(f64, f64)> =
        steps.iter().map(|&n| ((n as f64).ln(), error_of_ddim(n).ln())).collect();
    let n = points.len() as f64;
    let (sx, sy) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let sxy: f64 = points.iter().map(|(x, y)| x * y).sum();
    let sxx: f64 = points.iter().map(|(x, _)| x * x).sum();
    let slope = (n * sxy - sx * sy) / (n * sxx - sx * sx);
    assert!((-1.25..-0.85).contains(&slope), "slope {slope}, {points:?}");
}

/// Where all data is one image, any number of steps ends there.
#[test]
fn ddim_finds_a_single_image_at_once() {
    for steps in [1, 2, 7, 100] {
        let spacing = Spacing::Trailing(steps);
        let model =
            Gaussian { deviation: 0.0, ..Gaussian::new(linear(), &spacing, Variance::FixedLarge) };
        let x = Tensor::randn([2, 1, 4, 4], F64);
        let ours = ddim(&model, x, &mut |_| {}).unwrap();
        assert!(f64::try_from((ours - 0.3).abs().max()).unwrap() < 1e-9, "{steps} steps");
    }
}

/// DDPM over all steps samples the data's own distribution.
#[test]
fn ddpm_samples_have_the_datas_mean_and_deviation() {
    for variance in [Variance::FixedLarge, Variance::FixedSmall] {
        let model = Gaussian::new(linear(), &Spacing::All, variance);
        let mut noise = PerImageNoise::new(3, 0..1);
        let x = noise.normal(&[1, 1, 64, 64], Device::Cpu).unwrap().to_kind(Kind::Double);
        let ours = ddpm(&model, x, &mut noise, &mut |_| {}).unwrap();
        // 4,096 pixels: standard errors are 0.008 and 0.006.
        let mean = f64::try_from(ours.mean(Kind::Double)).unwrap();
        let deviation = f64::try_from(ours.std(false)).unwrap();
        assert!((mean - 0.3).abs() < 0.035, "{variance:?}: mean {mean}");
        assert!((deviation - 0.5).abs() < 0.03, "{variance:?}: deviation {deviation}");
    }
}

#[test]
fn every_step_is_reported_in_order() {
    let model = Gaussian::new(linear(), &Spacing::Trailing(5), Variance::FixedLarge);
    let mut seen = Vec::new();
    let x = Tensor::randn([1, 1, 2, 2], F64);
    let last = ddim(&model, x, &mut |step| {
        assert_eq!((step.total, step.x.size()), (5, step.x0.size()));
        seen.push((step.number, step.index, step.x.copy()));
    })
    .unwrap();
    let order: Vec<(usize, usize)> =
        seen.iter().map(|(number, index, _)| (*number, *index)).collect();
    assert_eq!(order, [(0, 4), (1, 3), (2, 2), (3, 1), (4, 0)]);
    assert_eq!(seen[4].2, last);
}

/// A network that gives up.
struct Broken(Params);

impl Network for Broken {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        _: &Conditioning,
        _: Mode,
    ) -> Result<Tensor, NetworkError> {
        Ok(if t.double_value(&[0]) < 0.5 { x * f64::NAN } else { x.zeros_like() })
    }

    fn params(&self) -> &Params {
        &self.0
    }
}

fn request(count: usize, batch: usize) -> SampleConfig {
    let (sampler, rng) = (Sampler::Ddim, Rng::PerImage);
    SampleConfig { images: 0..count, batch, sampler, steps: Some(4), seed: 1, rng }
}

fn run(network: &dyn Network, config: &SampleConfig) -> Result<Tensor, SamplerError> {
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap();
    let none = |_: Range<usize>| Conditioning::none();
    let mut parts = Vec::new();
    let keep = |batch: Batch| -> Result<(), SamplerError> {
        assert_eq!(batch.images.len() as i64, batch.x.size()[0]);
        parts.push(batch.x);
        Ok(())
    };
    sample(network, &process, config, [3, 16, 16], &none, &mut |_| {}, keep)?;
    Ok(Tensor::cat(&parts, 0))
}

#[test]
fn nan_stops_at_the_step_where_it_appears() {
    let broken = Broken(Params::new(Kind::Float, Device::Cpu));
    let error = run(&broken, &request(2, 2)).unwrap_err();
    // t is 1, 0.75, 0.5, 0.25: the fourth step breaks.
    assert!(matches!(error, SamplerError::NotFinite { number: 4, total: 4 }), "{error}");
}

#[test]
fn images_do_not_depend_on_the_batch() {
    let config = ContextConfig { features: 8, ..ContextConfig::sprites() };
    let network = ModelConfig::Context(config).build(Kind::Float, Device::Cpu).unwrap();
    for sampler in [Sampler::Ddim, Sampler::Ddpm] {
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
    for sampler in [Sampler::Ddim, Sampler::Ddpm] {
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
    let network = Broken(Params::new(Kind::Float, Device::Cpu));
    let config =
        SampleConfig { rng: Rng::Torch, sampler: Sampler::Ddpm, steps: Some(1), ..request(2, 2) };
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
    let network = Broken(Params::new(Kind::Float, Device::Cpu));
    let text = |config: SampleConfig| run(&network, &config).unwrap_err().to_string();
    assert!(text(request(0, 1)).starts_with("count 0"));
    assert!(text(request(1, 0)).starts_with("batch 0"));
    let inside = SampleConfig { images: 3..8, ..request(8, 2) };
    assert!(text(inside).starts_with("first image 3: expected a multiple of 2"));
    let later = SampleConfig { images: 2..4, rng: Rng::Torch, ..request(4, 2) };
    assert!(text(later).starts_with("first image 2: expected 0, since one torch generator"));
    let steps = |steps| SampleConfig { steps: Some(steps), ..request(1, 1) };
    assert!(text(steps(0)).starts_with("steps 0: expected 1 to 500"));
    assert!(text(steps(501)).starts_with("steps 501: expected 1 to 500"));
    let error = "dpm".parse::<Sampler>().unwrap_err().to_string();
    assert_eq!(error, "sampler `dpm`: expected ddpm or ddim");
    assert!("numpy".parse::<Rng>().unwrap_err().to_string().contains("per-sample or torch"));
}
