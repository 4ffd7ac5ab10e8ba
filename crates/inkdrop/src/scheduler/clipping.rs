//! Clipping of the predicted x0 in diffusers' schedulers.

use inkdrop_process::{Denoiser, Prediction, ProcessError};
use inkdrop_sampler::DynamicThresholding;
use inkdrop_schedule::SolverStep;
use inkdrop_torch::tch::Tensor;

use super::arguments::Arguments;
use super::names::Class;

/// Clipping of the predicted x0.
#[derive(Debug, Clone, Copy)]
pub enum Clipping {
    /// None.
    No,
    /// To [−r, r].
    Range(f64),
    /// Dynamic thresholding (Saharia et al. 2022).
    Dynamic {
        /// Quantile of the pixels.
        ratio: f64,
        /// Largest threshold.
        most: f64,
    },
}

impl Clipping {
    pub(super) fn of(arguments: &Arguments, class: Class) -> Self {
        let dynamic = match class {
            Class::Ddpm | Class::Ddim | Class::DpmMultistep => true,
            Class::Deis | Class::Lcm | Class::EdmDpmMultistep => true,
            Class::DpmSinglestep | Class::SaSolver => arguments.algorithm_type.of_image(),
            Class::UniPc => arguments.predict_x0,
            _ => false,
        };
        let clips = match class {
            Class::Ddpm | Class::Ddim => arguments.clip_sample.unwrap_or(true),
            Class::Heun | Class::Lcm => arguments.clip_sample.unwrap_or(false),
            _ => false,
        };
        if class == Class::Consistency && arguments.clip_denoised {
            return Self::Range(1.0);
        }
        if dynamic && arguments.thresholding {
            let (ratio, most) = (arguments.dynamic_thresholding_ratio, arguments.sample_max_value);
            Self::Dynamic { ratio, most }
        } else if clips {
            Self::Range(arguments.clip_sample_range)
        } else {
            Self::No
        }
    }

    fn apply(
        self,
        prediction: &Prediction,
        x: &Tensor,
        step: &SolverStep,
    ) -> Result<Prediction, ProcessError> {
        match self {
            Self::No => Ok(copy(prediction)),
            Self::Range(most) => {
                copy(prediction).with_x0(prediction.x0.f_clamp(-most, most)?, x, step)
            }
            Self::Dynamic { ratio, most } => {
                DynamicThresholding::new(Fixed(prediction), ratio).max_value(most).denoise(x, step)
            }
        }
    }
}

/// A denoiser with the clipping of a scheduler; made by
/// [`SchedulerRun::denoiser`](super::SchedulerRun::denoiser).
pub struct SchedulerDenoiser<'a> {
    denoiser: Box<dyn Denoiser + 'a>,
    clipping: Clipping,
    /// True if ε is not recomputed from the clipped x0.
    keeps_noise: bool,
    /// The boundary condition of latent consistency models.
    boundary: Option<Boundary>,
}

/// The boundary condition of a latent consistency model: x0 becomes c_out·x0 + c_skip·x with
/// c_skip = σ_d²/(s² + σ_d²), c_out = s/√(s² + σ_d²), s the scaled timestep and σ_d = ½
/// (Luo et al. 2023, eq. 9, as in LCMScheduler).
#[derive(Debug, Clone, Copy)]
pub(super) struct Boundary {
    /// `timestep_scaling`.
    pub scaling: f64,
}

impl Boundary {
    fn apply(
        self,
        prediction: Prediction,
        x: &Tensor,
        step: &SolverStep,
    ) -> Result<Prediction, ProcessError> {
        let scaled = self.scaling * step.from.timestep;
        let sum = scaled * scaled + 0.25;
        let skipped = x.f_mul_scalar(0.25 / sum)?;
        let x0 = prediction.x0.f_mul_scalar(scaled / sum.sqrt())?.f_add(&skipped)?;
        Ok(Prediction { x0, ..prediction })
    }
}

impl<'a> SchedulerDenoiser<'a> {
    pub(super) fn new(denoiser: impl Denoiser + 'a, clipping: Clipping, keeps_noise: bool) -> Self {
        Self { denoiser: Box::new(denoiser), clipping, keeps_noise, boundary: None }
    }

    /// Dynamic thresholding with this quantile, in place of the scheduler's clipping.
    pub fn with_threshold(self, quantile: f64) -> Self {
        Self { clipping: Clipping::Dynamic { ratio: quantile, most: f64::INFINITY }, ..self }
    }

    pub(super) fn with_boundary(self, boundary: Option<Boundary>) -> Self {
        Self { boundary, ..self }
    }
}

impl Denoiser for SchedulerDenoiser<'_> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let prediction = self.denoiser.denoise(x, step)?;
        let clipped = self.clipping.apply(&prediction, x, step)?;
        let clipped =
            if self.keeps_noise { Prediction { eps: prediction.eps, ..clipped } } else { clipped };
        match self.boundary {
            Some(boundary) => boundary.apply(clipped, x, step),
            None => Ok(clipped),
        }
    }
}

/// A denoiser that returns a fixed prediction.
struct Fixed<'a>(&'a Prediction);

impl Denoiser for Fixed<'_> {
    fn denoise(&self, _: &Tensor, _: &SolverStep) -> Result<Prediction, ProcessError> {
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
