//! The stand-in network read as a scheduler reads it, with a record of every call.

use std::cell::RefCell;

use anyhow::Result;
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Prediction, Predictor, ProcessError};
use inkdrop_schedule::{Leg, Level};
use inkdrop_torch::tch::{Device, Kind, TchError, Tensor};

use super::arguments::Arguments;
use super::hold::Hold;
use super::names::{Class, Predicts, VarianceType};
use crate::standin::StandIn;

/// A call of the network.
pub(super) struct Call {
    /// x, of unit variance.
    pub x: Tensor,
    /// The level at which it was asked.
    pub level: Level,
}

/// A predictor that says what a scheduler makes of the network's output.
pub(super) struct Recorder {
    network: StandIn,
    predicts: Predicts,
    hold: Hold,
    /// Whether the noise stays what the network said where the image is held.
    keeps_noise: bool,
    variance: VarianceType,
    /// Whether the output has a second half.
    halves: bool,
    calls: RefCell<Vec<Call>>,
    last_log_variance: RefCell<Option<Tensor>>,
}

impl Recorder {
    /// - keeps_noise: DDIM unless it is told `use_clipped_model_output`
    pub(super) fn new(
        network: StandIn,
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
            hold: Hold::of(arguments, class),
            keeps_noise,
            variance: arguments.variance_type.unwrap_or(VarianceType::FixedSmall),
            halves: learned && matches!(class, Class::Ddpm | Class::DpmMultistep),
            calls: RefCell::default(),
            last_log_variance: RefCell::default(),
        }
    }

    /// The calls, in order, and ln of the variance of the last one.
    pub(super) fn into_calls(self) -> (Vec<Call>, Option<Tensor>) {
        (self.calls.into_inner(), self.last_log_variance.into_inner())
    }

    fn read(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        let t = Tensor::f_full([x.size()[0]], leg.from.time, (Kind::Float, Device::Cpu))?;
        let out = self.network.forward(x, &t, &Conditioning::none())?;
        let channels = x.size()[1];
        let (out, second) = match self.halves {
            true => (out.f_narrow(1, 0, channels)?, Some(out.f_narrow(1, channels, channels)?)),
            false => (out, None),
        };
        let log_variance = self.log_variance(leg, second, x.kind())?;
        let (signal, noise) = (leg.from.signal(), leg.from.noise());
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
        leg: &Leg,
        second: Option<Tensor>,
        kind: Kind,
    ) -> Result<Tensor, ProcessError> {
        let (small, large) = log_variances(leg);
        Ok(match (self.variance, second) {
            // Taken as the variance itself, as it comes.
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

/// ln of the smaller and of the larger fixed variance.
fn log_variances(leg: &Leg) -> (f64, f64) {
    (leg.posterior_variance().max(1e-20).ln(), leg.beta().ln())
}

impl Predictor for Recorder {
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        self.calls.borrow_mut().push(Call { x: x.shallow_clone(), level: leg.from });
        let said = self.read(x, leg)?;
        self.last_log_variance.replace(Some(said.log_variance.shallow_clone()));
        let held = self.hold.apply(&said, x, leg)?;
        Ok(if self.keeps_noise { Prediction { eps: said.eps, ..held } } else { held })
    }
}
