//! How a scheduler holds the predicted image in its range.

use inkdrop_process::{Prediction, Predictor, ProcessError};
use inkdrop_sampler::DynamicThreshold;
use inkdrop_schedule::Leg;
use inkdrop_torch::tch::Tensor;

use super::arguments::Arguments;
use super::names::Class;

/// How the predicted image is held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hold {
    No,
    Range(f64),
    Dynamic { ratio: f64, most: f64 },
}

impl Hold {
    pub(super) fn of(arguments: &Arguments, class: Class) -> Self {
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

    pub(super) fn apply(
        self,
        said: &Prediction,
        x: &Tensor,
        leg: &Leg,
    ) -> Result<Prediction, ProcessError> {
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
