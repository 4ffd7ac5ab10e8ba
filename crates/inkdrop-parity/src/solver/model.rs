//! The toy network, interpreted as a diffusers scheduler does, with a record of its calls.

use std::cell::RefCell;

use inkdrop::scheduler::{Class, Predicts, Scheduler, VarianceType};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Denoiser, Prediction, ProcessError};
use inkdrop_schedule::{NoiseLevel, SolverStep};
use inkdrop_torch::tch::{Device, Kind, TchError, Tensor};

use crate::toy_network::ToyNetwork;

/// A network call.
pub(super) struct Call {
    /// x, of unit variance.
    pub x: Tensor,
    /// The noise level.
    pub level: NoiseLevel,
}

/// Denoiser that records its calls.
pub(super) struct Recorder {
    model: SchedulerModel,
    calls: RefCell<Vec<Call>>,
}

impl Recorder {
    pub(super) fn new(model: SchedulerModel) -> Self {
        Self { model, calls: RefCell::default() }
    }

    /// All calls.
    pub(super) fn into_calls(self) -> Vec<Call> {
        self.calls.into_inner()
    }
}

impl Denoiser for Recorder {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        self.calls.borrow_mut().push(Call { x: x.shallow_clone(), level: step.from });
        self.model.read(x, step)
    }
}

/// The toy network with the prediction type and variance of a scheduler.
pub(super) struct SchedulerModel {
    network: ToyNetwork,
    predicts: Predicts,
    variance: VarianceType,
    /// True if the second half of the output is the variance.
    halves: bool,
}

impl SchedulerModel {
    pub(super) fn new(network: ToyNetwork, scheduler: &Scheduler) -> Self {
        let variance = scheduler.arguments.variance_type;
        let learned = matches!(variance, Some(VarianceType::Learned | VarianceType::LearnedRange));
        Self {
            network,
            predicts: scheduler.arguments.prediction_type,
            variance: variance.unwrap_or(VarianceType::FixedSmall),
            halves: learned && matches!(scheduler.class, Class::Ddpm | Class::DpmMultistep),
        }
    }

    fn read(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let t = Tensor::f_full([x.size()[0]], step.from.timestep, (Kind::Float, Device::Cpu))?;
        let out = self.network.forward(x, &t, &Conditioning::none())?;
        let channels = x.size()[1];
        let (out, second) = match self.halves {
            true => (out.f_narrow(1, 0, channels)?, Some(out.f_narrow(1, channels, channels)?)),
            false => (out, None),
        };
        let log_variance = self.log_variance(step, second, x.kind())?;
        let (signal, noise) = (step.from.signal(), step.from.noise());
        let mix = |a: f64, x: &Tensor, b: f64, y: &Tensor| -> Result<Tensor, TchError> {
            x.f_mul_scalar(a)?.f_add(&y.f_mul_scalar(b)?)
        };
        let (x0, eps) = match self.predicts {
            Predicts::Epsilon => (mix(1.0, x, -noise, &out)?.f_div_scalar(signal)?, out),
            Predicts::Sample => {
                let eps = mix(1.0, x, -signal, &out)?.f_div_scalar(noise)?;
                (out, eps)
            }
            Predicts::VPrediction => (mix(signal, x, -noise, &out)?, mix(signal, &out, noise, x)?),
        };
        Ok(Prediction { x0, eps, log_variance, mean: None })
    }

    fn log_variance(
        &self,
        step: &SolverStep,
        second: Option<Tensor>,
        kind: Kind,
    ) -> Result<Tensor, ProcessError> {
        let (small, large) = log_variances(step);
        Ok(match (self.variance, second) {
            // diffusers takes the output as the variance itself.
            (VarianceType::Learned, Some(v)) => v.f_log()?,
            (VarianceType::LearnedRange, Some(v)) => {
                let share = v.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
                share.f_mul_scalar(large - small)?.f_add_scalar(small)?
            }
            (VarianceType::FixedLarge, _) => Tensor::f_scalar_tensor(large, (kind, Device::Cpu))?,
            _ => Tensor::f_scalar_tensor(small, (kind, Device::Cpu))?,
        })
    }
}

/// Log of the smaller and of the larger fixed variance.
fn log_variances(step: &SolverStep) -> (f64, f64) {
    (step.posterior_variance().max(1e-20).ln(), step.beta().ln())
}
