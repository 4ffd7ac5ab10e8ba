//! Processes, and a network whose answer is known.

use inkdrop_nn::{
    CompileOptions, Conditioning, Mode, Network, NetworkError, Params, TrainableNetwork,
};
use inkdrop_process::{PredictionType, Process, ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::{Schedule, ScheduleConfig};
use inkdrop_torch::tch::{Device, Kind, Tensor};

pub const F32: (Kind, Device) = (Kind::Float, Device::Cpu);
pub const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

pub const MEANS: [PredictionType; 4] = [
    PredictionType::Epsilon,
    PredictionType::Sample,
    PredictionType::PosteriorMean,
    PredictionType::Velocity,
];

pub fn config(time: TimeInput, schedule: ScheduleConfig) -> ProcessConfig {
    let (mean, variance) = (PredictionType::Epsilon, Variance::FixedLarge);
    ProcessConfig { schedule, time, prediction: mean, variance, clip: false, consistency: None }
}

pub fn process(time: TimeInput, schedule: ScheduleConfig) -> Process {
    Process::new(&config(time, schedule), Device::Cpu).unwrap()
}

/// A process of 100 steps of a mean and a variance type.
pub fn typed(prediction: PredictionType, variance: Variance) -> Process {
    let config = config(TimeInput::Index, ScheduleConfig::linear(100));
    Process::new(&ProcessConfig { prediction, variance, ..config }, Device::Cpu).unwrap()
}

pub fn largest(x: &Tensor) -> f64 {
    f64::try_from(x.abs().max()).unwrap()
}

/// The best network for data N(0.3, 0.25) in every pixel, whatever it is asked to predict.
pub struct Oracle {
    pub params: Params,
    pub schedule: Schedule,
    pub prediction: PredictionType,
    /// What it says in a second half of its channels.
    pub variance: Option<f64>,
    /// What it adds to the right x0.
    pub error: f64,
}

impl Oracle {
    pub fn of(process: &Process) -> Self {
        let learns = process.config().variance.is_learned();
        Self {
            params: Params::new(Kind::Float, Device::Cpu),
            schedule: process.schedule().clone(),
            prediction: process.config().prediction,
            variance: learns.then_some(0.0),
            error: 0.0,
        }
    }

    /// E[x0 | x], [B, C, H, W], at ᾱ [B, 1, 1, 1].
    pub fn x0(&self, x: &Tensor, bar: &Tensor) -> Tensor {
        let gain = bar.sqrt() * 0.25 / (bar * 0.25 + 1.0 - bar);
        (x - bar.sqrt() * 0.3) * gain + 0.3 + self.error
    }

    fn gather(&self, table: &ndarray::Array1<f64>, t: &Tensor) -> Tensor {
        let at = Tensor::from_slice(&table.to_vec()).index_select(0, &t.to_kind(Kind::Int64));
        at.view([-1, 1, 1, 1])
    }
}

impl TrainableNetwork for Oracle {
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        _: &Conditioning,
        _: Mode,
    ) -> Result<Tensor, NetworkError> {
        let bar = self.gather(self.schedule.alphas_cumprod(), t);
        let x0 = self.x0(x, &bar);
        let eps = (x - &x0 * bar.sqrt()) / (1.0f64 - &bar).sqrt();
        let mean = match self.prediction {
            PredictionType::Epsilon => eps,
            PredictionType::Sample => x0,
            PredictionType::Velocity => bar.sqrt() * eps - (1.0f64 - &bar).sqrt() * x0,
            PredictionType::PosteriorMean => {
                let of_x0 = self.gather(self.schedule.posterior_mean_coef1(), t);
                of_x0 * x0 + self.gather(self.schedule.posterior_mean_coef2(), t) * x
            }
        };
        let mean = mean.to_kind(x.kind());
        Ok(match self.variance {
            None => mean,
            Some(variance) => Tensor::cat(&[&mean, &mean.full_like(variance)], 1),
        })
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn compile(&self, options: &CompileOptions) -> Result<Box<dyn Network>, NetworkError> {
        let params = Params::new(self.params.torso(), Device::Cpu);
        let schedule = self.schedule.clone();
        Ok(options.finish(Self { params, schedule, ..*self }))
    }
}
