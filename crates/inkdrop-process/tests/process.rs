//! Laws of the forward process, the times and the predictions.
#![allow(missing_docs, clippy::unwrap_used)]

use inkdrop_nn::{Conditioning, Mode, Network, NetworkError, Params};
use inkdrop_process::{
    Denoiser, Noising, Predictor, Process, ProcessConfig, TimeInput, Variance, mse_loss, pixels,
};
use inkdrop_schedule::{ScheduleConfig, Spacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};

const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

fn config(time: TimeInput, schedule: ScheduleConfig) -> ProcessConfig {
    ProcessConfig { schedule, time, variance: Variance::FixedLarge, clip: false }
}

fn process(time: TimeInput, schedule: ScheduleConfig) -> Process {
    Process::new(&config(time, schedule), Device::Cpu).unwrap()
}

/// Answers with what it was asked at: t in every pixel.
struct Echo(Params);

impl Network for Echo {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        _: &Conditioning,
        _: Mode,
    ) -> Result<Tensor, NetworkError> {
        Ok(t.view([-1, 1, 1, 1]).expand_as(x))
    }

    fn params(&self) -> &Params {
        &self.0
    }
}

fn echo() -> Echo {
    Echo(Params::new(Kind::Float, Device::Cpu))
}

fn times(process: &Process) -> Vec<f32> {
    let all = Tensor::arange(process.schedule().steps() as i64, (Kind::Int64, Device::Cpu));
    process.network_time(&all).unwrap().try_into().unwrap()
}

#[test]
fn networks_see_time_in_their_own_units() {
    let cosine = ScheduleConfig::Cosine { steps: 4 };
    assert_eq!(times(&process(TimeInput::Index, cosine.clone())), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(times(&process(TimeInput::Rescaled, cosine.clone())), [0.0, 250.0, 500.0, 750.0]);
    assert_eq!(times(&process(TimeInput::Fraction, cosine)), [0.25, 0.5, 0.75, 1.0]);
}

#[test]
fn a_shorter_run_shows_the_times_of_the_full_one() {
    let full = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    let short = full.respaced(&Spacing::Trailing(4)).unwrap();
    assert_eq!(short.kept(), [124, 249, 374, 499]);
    assert_eq!(times(&short), [0.25, 0.5, 0.75, 1.0]);
    let shorter = short.respaced(&Spacing::Trailing(2)).unwrap();
    assert_eq!(shorter.kept(), [249, 499]);
    let at: Vec<f32> = shorter.network_time_at(1, 3).unwrap().try_into().unwrap();
    assert_eq!(at, [1.0; 3]);
}

#[test]
fn keeping_all_steps_changes_nothing() {
    let full = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    assert_eq!(full.respaced(&Spacing::All).unwrap().schedule(), full.schedule());
    assert_eq!(full.respaced(&Spacing::Trailing(500)).unwrap().schedule(), full.schedule());
}

#[test]
fn noised_images_have_the_schedules_mean_and_variance() {
    let process = process(TimeInput::Index, ScheduleConfig::linear(1000));
    let x0 = Tensor::full([4, 3, 64, 64], 0.5, F32);
    let noise = x0.randn_like();
    let t = Tensor::from_slice(&[0i64, 100, 500, 999]);
    let x = process.q_sample(&x0, &t, &noise, Noising::Exact).unwrap();
    for (row, step) in [0usize, 100, 500, 999].into_iter().enumerate() {
        let bar = process.schedule().alphas_cumprod()[step];
        let x = x.get(row as i64);
        // 12,288 draws: the standard errors of mean and deviation are below 0.01.
        assert!((f64::try_from(x.mean(Kind::Double)).unwrap() - 0.5 * bar.sqrt()).abs() < 0.04);
        assert!((f64::try_from(x.std(false)).unwrap() - (1.0 - bar).sqrt()).abs() < 0.04);
    }
}

#[test]
fn the_published_noising_leaves_the_root_out() {
    let process = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    let (x0, noise) = (Tensor::zeros([1, 1, 2, 2], F32), Tensor::ones([1, 1, 2, 2], F32));
    let at = |noising| {
        let x = process.q_sample(&x0, &Tensor::from_slice(&[200i64]), &noise, noising).unwrap();
        x.double_value(&[0, 0, 0, 0])
    };
    let variance = 1.0 - process.schedule().alphas_cumprod()[200];
    assert!((at(Noising::Exact) - variance.sqrt()).abs() < 1e-6);
    assert!((at(Noising::Published) - variance).abs() < 1e-6);
}

#[test]
fn a_prediction_puts_x_together_again() {
    let process = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    let echo = echo();
    let denoiser = Denoiser::new(&process, &echo, Conditioning::none());
    let x = Tensor::randn([2, 3, 4, 4], F32);
    for index in [0, 250, 499] {
        let prediction = denoiser.predict(&x, index).unwrap();
        assert!(
            (prediction.eps.double_value(&[0, 0, 0, 0]) - (index + 1) as f64 / 500.0).abs() < 1e-6
        );
        let bar = process.schedule().alphas_cumprod()[index];
        let again = prediction.x0 * bar.sqrt() + prediction.eps * (1.0 - bar).sqrt();
        assert!(f64::try_from((again - &x).abs().max()).unwrap() < 1e-5);
    }
}

#[test]
fn a_clipped_prediction_stays_in_range_and_still_makes_x() {
    let schedule = ScheduleConfig::Cosine { steps: 100 };
    let config = ProcessConfig { clip: true, ..config(TimeInput::Fraction, schedule) };
    let process = Process::new(&config, Device::Cpu).unwrap();
    let echo = echo();
    let denoiser = Denoiser::new(&process, &echo, Conditioning::none());
    let x = Tensor::randn([2, 3, 4, 4], F32) * 3.0;
    for index in [0, 50, 99] {
        let prediction = denoiser.predict(&x, index).unwrap();
        assert_eq!(f64::try_from(prediction.x0.abs().max()).unwrap(), 1.0);
        let bar = process.schedule().alphas_cumprod()[index];
        let again = prediction.x0 * bar.sqrt() + prediction.eps * (1.0 - bar).sqrt();
        assert!(f64::try_from((again - &x).abs().max()).unwrap() < 1e-5);
    }
}

#[test]
fn the_loss_is_the_mean_square_per_image() {
    let process = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    let (x0, noise) = (Tensor::zeros([2, 3, 4, 4], F32), Tensor::zeros([2, 3, 4, 4], F32));
    let t = Tensor::from_slice(&[249i64, 499]);
    let batch = (&x0, &t, &noise);
    let loss =
        mse_loss(&process, &echo(), batch, &Conditioning::none(), Noising::Exact, Mode::Eval)
            .unwrap();
    let loss: Vec<f32> = loss.try_into().unwrap();
    assert_eq!(loss, [0.25, 1.0], "(ε − 0)² with ε = t/T");
}

#[test]
fn ancestral_noise_is_beta_or_the_posteriors() {
    let large = process(TimeInput::Index, ScheduleConfig::Cosine { steps: 50 });
    let small = ProcessConfig { variance: Variance::FixedSmall, ..large.config().clone() };
    let small = Process::new(&small, Device::Cpu).unwrap();
    for index in 1..50 {
        let schedule = large.schedule();
        assert!((large.ancestral_std(index).powi(2) - schedule.betas()[index]).abs() < 1e-12);
        let posterior = schedule.posterior_variance()[index];
        assert!((small.ancestral_std(index).powi(2) - posterior).abs() < 1e-12);
    }
    // improved-diffusion's first entry: the posterior variance of the second.
    let first = large.schedule().posterior_variance()[1].sqrt();
    assert!((large.ancestral_std(0) - first).abs() < 1e-12);
}

#[test]
fn every_byte_survives_the_way_to_a_tensor_and_back() {
    let bytes: Vec<u8> = (0..=255).chain(0..=255).chain(0..=255).collect();
    let x = pixels::to_tensor(&bytes, [1, 16, 16, 3], Device::Cpu).unwrap();
    assert_eq!(x.size(), [1, 3, 16, 16]);
    let (low, high) = (f64::try_from(x.min()).unwrap(), f64::try_from(x.max()).unwrap());
    assert_eq!((low, high), (-1.0, 1.0));
    let back = pixels::from_tensor(&(x + 1e-6)).unwrap();
    assert_eq!(back, bytes);
}

#[test]
fn tensors_become_pixels_by_truncation_and_clamping() {
    let x = Tensor::from_slice(&[-3.0f32, -1.0, 0.0, 0.999, 1.0, 9.0]).view([1, 1, 1, 6]);
    // (0 + 1)·127.5 = 127.5 → 127; (0.999 + 1)·127.5 = 254.87 → 254
    assert_eq!(pixels::from_tensor(&x).unwrap(), [0, 0, 127, 254, 255, 255]);
}

#[test]
fn configs_survive_json_and_refuse_unknown_fields() {
    let config = ProcessConfig::sprites();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ProcessConfig>(&text).unwrap(), config);
    let unknown = text.replace("\"variance\"", "\"varianz\"");
    assert!(serde_json::from_str::<ProcessConfig>(&unknown).is_err());
}
