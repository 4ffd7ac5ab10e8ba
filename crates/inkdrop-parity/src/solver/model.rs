//! Denoiser that interprets the toy network's output as a diffusers scheduler does, and records every call.

use std::cell::RefCell;

use anyhow::Result;
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Denoiser, Prediction, ProcessError};
use inkdrop_schedule::{NoiseLevel, SolverStep};
use inkdrop_torch::tch::{Device, Kind, TchError, Tensor};

use super::arguments::Arguments;
use super::clipping::Clipping;
use super::names::{Class, Predicts, VarianceType};
use crate::toy_network::ToyNetwork;

/// A network call.
pub(super) struct Call {
    /// x, of unit variance.
    pub x: Tensor,
    /// The noise level.
    pub level: NoiseLevel,
}

/// Denoiser with the prediction type, clipping and variance of a scheduler; records its calls.
pub(super) struct Recorder {
    network: ToyNetwork,
    predicts: Predicts,
    clipping: Clipping,
    /// True if ε is not recomputed from the clipped x0.
    keeps_noise: bool,
    variance: VarianceType,
    /// True if the second half of the output is the variance.
    halves: bool,
    calls: RefCell<Vec<Call>>,
    last_log_variance: RefCell<Option<Tensor>>,
}

impl Recorder {
    /// - keeps_noise: true for DDIM without `use_clipped_model_output`
    pub(super) fn new(
        network: ToyNetwork,
        arguments: &Arguments,
        class: Class,
        keeps_noise: bool,
    ) -> Self {
        let learned = matches!(
            arguments.variance_type,
            Some(VarianceType::Learned | VarianceType::LearnedRange)
        );
        Self {
            network,
            predicts: arguments.prediction_type,
            clipping: Clipping::of(arguments, class),
            keeps_noise,
            variance: arguments.variance_type.unwrap_or(VarianceType::FixedSmall),
            halves: learned && matches!(class, Class::Ddpm | Class::DpmMultistep),
            calls: RefCell::default(),
            last_log_variance: RefCell::default(),
        }
    }

    /// All calls, and the log-variance of the last one.
    pub(super) fn into_calls(self) -> (Vec<Call>, Option<Tensor>) {
        (self.calls.into_inner(), self.last_log_variance.into_inner())
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

impl Denoiser for Recorder {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        self.calls.borrow_mut().push(Call { x: x.shallow_clone(), level: step.from });
        let prediction = self.read(x, step)?;
        self.last_log_variance.replace(Some(prediction.log_variance.shallow_clone()));
        let clipped = self.clipping.apply(&prediction, x, step)?;
        Ok(if self.keeps_noise { Prediction { eps: prediction.eps, ..clipped } } else { clipped })
    }
}
