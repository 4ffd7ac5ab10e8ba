//! The stand-in network read as a scheduler reads it, with a record of every call.

use std::cell::RefCell;

use anyhow::Result;
use inkdrop_nn::{Conditioning, Mode, Network};
use inkdrop_process::{Prediction, Predictor, ProcessError};
use inkdrop_sampler::DynamicThreshold;
use inkdrop_schedule::{Leg, Level};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::arguments::{Algorithm, Arguments, Class, Predicts, VarianceType};
use crate::standin::StandIn;

/// A call of the network.
pub(super) struct Call {
    /// x, of unit variance.
    pub x: Tensor,
    /// The level at which it was asked.
    pub level: Level,
}

/// How the predicted image is held.
#[derive(Debug, Clone, Copy)]
enum Hold {
    No,
    Range(f64),
    Dynamic { ratio: f64, most: f64 },
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
        let (batch, kind) = (x.size()[0], x.kind());
        let t = Tensor::f_full([batch], leg.from.time, (Kind::Float, Device::Cpu))?;
        let out = self.network.forward(x, &t, &Conditioning::none(), Mode::Eval)?;
        let (out, second) = match self.halves {
            true => {
                let channels = x.size()[1];
                (out.f_narrow(1, 0, channels)?, Some(out.f_narrow(1, channels, channels)?))
            }
            false => (out, None),
        };
        let number = |value: f64| Tensor::f_scalar_tensor(value, (kind, Device::Cpu));
        let log_variance = match (self.variance, second) {
            // Taken as the variance itself, as it comes.
            (VarianceType::Learned, Some(v)) => v.f_log()?,
            (VarianceType::LearnedRange, Some(v)) => {
                let (small, large) = log_variances(leg);
                let share = v.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
                share.f_mul_scalar(large - small)?.f_add_scalar(small)?
            }
            (VarianceType::FixedLarge, _) => number(log_variances(leg).1)?,
            _ => number(log_variances(leg).0)?,
        };
        let (signal, noise) = (leg.from.signal(), leg.from.noise());
        let (x0, eps) = match self.predicts {
            Predicts::Epsilon => {
                let x0 = x.f_sub(&out.f_mul_scalar(noise)?)?.f_div_scalar(signal)?;
                (x0, out)
            }
            Predicts::Sample => {
                let eps = x.f_sub(&out.f_mul_scalar(signal)?)?.f_div_scalar(noise)?;
                (out, eps)
            }
            Predicts::VPrediction => {
                let x0 = x.f_mul_scalar(signal)?.f_sub(&out.f_mul_scalar(noise)?)?;
                let eps = out.f_mul_scalar(signal)?.f_add(&x.f_mul_scalar(noise)?)?;
                (x0, eps)
            }
        };
        Ok(Prediction { x0, eps, log_variance, mean: None })
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

impl Hold {
    fn of(arguments: &Arguments, class: Class) -> Self {
        let dynamic = match class {
            Class::Ddpm | Class::Ddim | Class::DpmMultistep => true,
            Class::UniPc => arguments.predict_x0,
            _ => false,
        };
        let clips = match class {
            Class::Ddpm | Class::Ddim => arguments.clip_sample.unwrap_or(true),
            Class::Heun => arguments.clip_sample.unwrap_or(false),
            _ => false,
        };
        if dynamic && arguments.thresholding {
            let (ratio, most) = (arguments.dynamic_thresholding_ratio, arguments.sample_max_value);
            Self::Dynamic { ratio, most }
        } else if clips {
            Self::Range(arguments.clip_sample_range)
        } else {
            Self::No
        }
    }

    fn apply(self, said: &Prediction, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        match self {
            Self::No => Ok(copy(said)),
            Self::Range(most) => copy(said).with_x0(said.x0.f_clamp(-most, most)?, x, leg),
            Self::Dynamic { ratio, most } => {
                DynamicThreshold::new(Said(said), ratio).at_most(most).predict(x, leg)
            }
        }
    }
}

/// A prediction that was made already.
struct Said<'a>(&'a Prediction);

impl Predictor for Said<'_> {
    fn predict(&self, _: &Tensor, _: &Leg) -> Result<Prediction, ProcessError> {
        Ok(copy(self.0))
    }
}

fn copy(of: &Prediction) -> Prediction {
    Prediction {
        x0: of.x0.shallow_clone(),
        eps: of.eps.shallow_clone(),
        log_variance: of.log_variance.shallow_clone(),
        mean: of.mean.as_ref().map(Tensor::shallow_clone),
    }
}

impl Algorithm {
    /// Whether the predicted image is extrapolated, not the noise.
    pub(super) fn of_image(self) -> bool {
        matches!(self, Self::DpmsolverPp | Self::SdeDpmsolverPp)
    }
}
