//! Every sampler takes every kind of network.

use inkdrop_nn::{Conditioning, Network, NetworkError};
use inkdrop_process::{
    NetworkDenoiser, PredictionType, Process, ProcessConfig, TimeInput, Variance,
};
use inkdrop_sampler::Sampler;
use inkdrop_schedule::{
    LevelSpacing, NoiseLevel, SamplingSchedule, Schedule, ScheduleConfig, TimestepSpacing,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::support::{F64, Mixture, largest, normal, tape};

const SHAPE: [i64; 4] = [2, 1, 3, 3];

/// The best network for a mixture, of any type; of `previous_x` and learned variances at steps.
struct Ideal {
    config: ProcessConfig,
    schedule: Schedule,
    data: Mixture,
}

impl Ideal {
    fn new(config: &ProcessConfig) -> Self {
        let schedule = config.schedule.build().unwrap();
        Self { config: config.clone(), schedule, data: Mixture::two() }
    }

    /// The position that is meant by t.
    fn position(&self, t: f64) -> f64 {
        let total = self.schedule.num_timesteps() as f64;
        match self.config.time {
            TimeInput::Index => t,
            TimeInput::Rescaled => t * total / 1000.0,
            TimeInput::Fraction => t * total - 1.0,
        }
    }

    /// The level at a position: between steps ln σ is on a straight line.
    fn level(&self, position: f64) -> NoiseLevel {
        let low = position.floor().max(0.0);
        let part = position - low;
        if !(1e-2..=0.99).contains(&part) {
            return self.schedule.level(position.round() as usize);
        }
        let log = |step: f64| self.schedule.level(step as usize).sigma().ln();
        NoiseLevel::from_sigma((log(low) * (1.0 - part) + log(low + 1.0) * part).exp(), position)
    }
}

impl Network for Ideal {
    fn forward(&self, x: &Tensor, t: &Tensor, _: &Conditioning) -> Result<Tensor, NetworkError> {
        let position = self.position(t.double_value(&[0]));
        let (step, level) = (position.round() as usize, self.level(position));
        let x0 = self.data.x0(x, level);
        let eps = (x - &x0 * level.signal()) / level.noise();
        let (of_x0, of_x) = (
            self.schedule.posterior_mean_coef1()[step],
            self.schedule.posterior_mean_coef2()[step],
        );
        let mean = match self.config.prediction {
            PredictionType::Epsilon => eps,
            PredictionType::Sample => x0,
            PredictionType::PosteriorMean => x0 * of_x0 + x * of_x,
            PredictionType::Velocity => eps * level.signal() - x0 * level.noise(),
        };
        // The smaller variance, in the words of each type.
        let small = self.schedule.posterior_log_variance_clipped()[step];
        let variance = match self.config.variance {
            Variance::Learned => small,
            Variance::LearnedRange => -1.0,
            _ => return Ok(mean),
        };
        Ok(Tensor::cat(&[&mean, &mean.full_like(variance)], 1))
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn kind(&self) -> Kind {
        Kind::Double
    }
}

fn sampled(sampler: Sampler, config: &ProcessConfig, levels: &LevelSpacing) -> Tensor {
    let process = Process::new(config, Device::Cpu).unwrap();
    let network = Ideal::new(config);
    let path: SamplingSchedule = levels.sampling_schedule(process.schedule()).unwrap();
    let denoiser = NetworkDenoiser::new(&process, &network, Conditioning::none());
    let x = normal(3, &SHAPE);
    let mut noise = tape(60, &SHAPE);
    sampler.sample(&denoiser, process.schedule(), &path, x, &mut noise).unwrap()
}

fn config(prediction: PredictionType, variance: Variance, time: TimeInput) -> ProcessConfig {
    let schedule = ScheduleConfig::linear(200);
    ProcessConfig { schedule, time, prediction, variance, clip: false, consistency: None }
}

/// Samplers that look only at steps.
fn on_steps(name: &str) -> bool {
    !["edm", "edm-euler", "dpm-solver-2", "dpm2-ancestral", "dpm-adaptive"].contains(&name)
}

#[test]
fn what_a_network_predicts_and_how_it_is_told_the_time_changes_no_sample() {
    let levels = LevelSpacing::Timesteps(TimestepSpacing::Trailing(20));
    for (name, sampler) in Sampler::all().into_iter().filter(|(name, _)| on_steps(name)) {
        let of = |mean, time| sampled(sampler, &config(mean, Variance::FixedSmall, time), &levels);
        let plain = of(PredictionType::Epsilon, TimeInput::Index);
        for mean in [
            PredictionType::Epsilon,
            PredictionType::Sample,
            PredictionType::PosteriorMean,
            PredictionType::Velocity,
        ] {
            for time in [TimeInput::Index, TimeInput::Rescaled, TimeInput::Fraction] {
                let difference = largest(&(of(mean, time) - &plain));
                assert!(difference < 1e-6, "{name}, {mean:?}, {time:?}: {difference}");
            }
        }
    }
}

/// These look between the steps, where the time in f32 says the level to 1e-5 of a step.
#[test]
fn samplers_between_the_steps_take_every_prediction_and_time() {
    let levels = LevelSpacing::Timesteps(TimestepSpacing::Trailing(20));
    for (name, sampler) in Sampler::all().into_iter().filter(|(name, _)| !on_steps(name)) {
        let of = |mean, variance, time| sampled(sampler, &config(mean, variance, time), &levels);
        let plain = of(PredictionType::Epsilon, Variance::FixedSmall, TimeInput::Index);
        for mean in [PredictionType::Epsilon, PredictionType::Sample, PredictionType::Velocity] {
            for time in [TimeInput::Index, TimeInput::Rescaled, TimeInput::Fraction] {
                for variance in [Variance::FixedLarge, Variance::LearnedRange] {
                    let difference = largest(&(of(mean, variance, time) - &plain));
                    assert!(difference < 1e-3, "{name}, {mean:?}, {time:?}: {difference}");
                }
            }
        }
    }
}

/// On all steps a learned variance can say what the fixed ones are; other samplers do not mind it.
#[test]
fn learned_variances_are_for_every_sampler() {
    for (name, sampler) in Sampler::all().into_iter().filter(|(name, _)| on_steps(name)) {
        let short = LevelSpacing::Timesteps(TimestepSpacing::Trailing(20));
        let levels =
            if name == "ddpm" { LevelSpacing::Timesteps(TimestepSpacing::All) } else { short };
        let of = |variance| {
            let config = config(PredictionType::Epsilon, variance, TimeInput::Index);
            let mut noise = tape(210, &SHAPE);
            let process = Process::new(&config, Device::Cpu).unwrap();
            let network = Ideal::new(&config);
            let path = levels.sampling_schedule(process.schedule()).unwrap();
            let denoiser = NetworkDenoiser::new(&process, &network, Conditioning::none());
            let x = Tensor::ones(SHAPE, F64);
            let schedule = process.schedule();
            sampler.sample(&denoiser, schedule, &path, x, &mut noise).unwrap()
        };
        let fixed = of(Variance::FixedSmall);
        for variance in [Variance::Learned, Variance::LearnedRange] {
            let difference = largest(&(of(variance) - &fixed));
            assert!(difference < 1e-6, "{name}, {variance:?}: {difference}");
        }
    }
}

/// The respaced process and a short path of the full one are the same way.
#[test]
fn respacing_and_a_short_path_are_the_same() {
    let config = config(PredictionType::Epsilon, Variance::FixedLarge, TimeInput::Rescaled);
    let process = Process::new(&config, Device::Cpu).unwrap();
    let network = Ideal::new(&config);
    for spacing in [
        TimestepSpacing::Sections(vec![10]),
        TimestepSpacing::Trailing(25),
        TimestepSpacing::Stride(20),
    ] {
        let respaced = process.respaced(&spacing).unwrap();
        let short = LevelSpacing::Timesteps(spacing).sampling_schedule(process.schedule()).unwrap();
        let of = |process: &Process, path: &SamplingSchedule| {
            let denoiser = NetworkDenoiser::new(process, &network, Conditioning::none());
            let mut noise = tape(30, &SHAPE);
            let x = Tensor::ones(SHAPE, F64);
            let schedule = process.schedule();
            Sampler::Ddpm.sample(&denoiser, schedule, path, x, &mut noise).unwrap()
        };
        let difference =
            of(&respaced, &respaced.sampling_schedule().unwrap()) - of(&process, &short);
        assert!(largest(&difference) < 1e-9);
    }
}
