//! Predictions: x0, ε and the log-variance from the output of a network of any prediction type.

use inkdrop_schedule::{PredictionType, SolverStep};
use inkdrop_torch::tch::{Device, Tensor};

use crate::tables::Scales;
use crate::{ProcessConfig, ProcessError, Variance};

/// The prediction of a denoiser at one step; x = √ᾱ·x0 + √(1−ᾱ)·eps.
#[derive(Debug)]
pub struct Prediction {
    /// Predicted clean image, [B, C, H, W], in units of data in [-1, 1].
    pub x0: Tensor,
    /// Predicted noise, [B, C, H, W], of unit variance.
    pub eps: Tensor,
    /// Log-variance of an ancestral step: [] if fixed, [B, C, H, W] if learned.
    pub log_variance: Tensor,
    /// Mean of an ancestral step, [B, C, H, W], if the network predicts it directly. Otherwise it
    /// follows from x0 and x ([`SolverStep::posterior_mean_coefs`]).
    pub mean: Option<Tensor>,
}

/// What a network predicts, as a combination of x0 and ε.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NetworkOutput {
    /// The noise ε.
    Epsilon,
    /// The data x0.
    Sample,
    /// v = √ᾱ·ε − √(1−ᾱ)·x0 (Salimans & Ho 2022), which is also the velocity of a flow on the
    /// variance-preserving or the cosine path, up to a factor.
    V,
    /// ε − x0, the velocity of a flow on the linear path (Lipman et al. 2023, Liu et al. 2023).
    FlowVelocity,
    /// cos t·σ_data·ε − sin t·x0, the velocity of TrigFlow, up to a factor (Lu & Song 2025).
    TrigFlowVelocity {
        /// σ_data, the standard deviation of the data.
        sigma_data: f64,
    },
}

impl NetworkOutput {
    /// p and q of the output p·ε − q·x0.
    fn coefs(self, step: &SolverStep) -> (f64, f64) {
        let (a, b) = (step.from.signal(), step.from.noise());
        match self {
            Self::Epsilon => (1.0, 0.0),
            Self::Sample => (0.0, -1.0),
            Self::V => (a, b),
            Self::FlowVelocity => (1.0, 1.0),
            Self::TrigFlowVelocity { sigma_data } => (sigma_data * sigma_data * a, b),
        }
    }
}

impl From<PredictionType> for NetworkOutput {
    /// `PosteriorMean` is treated as `Sample`.
    fn from(prediction: PredictionType) -> Self {
        match prediction {
            PredictionType::Epsilon => Self::Epsilon,
            PredictionType::Sample | PredictionType::PosteriorMean => Self::Sample,
            PredictionType::Velocity => Self::V,
        }
    }
}

impl Prediction {
    /// The prediction of a denoiser that estimates x0, with the posterior variance of the step: for
    /// denoisers that are not networks of this library.
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn from_x0(x0: Tensor, x: &Tensor, step: &SolverStep) -> Result<Self, ProcessError> {
        Self::new(x.shallow_clone(), x.shallow_clone(), step)?.with_x0(x0, x, step)
    }

    /// The prediction with the posterior variance of the step.
    pub(crate) fn new(x0: Tensor, eps: Tensor, step: &SolverStep) -> Result<Self, ProcessError> {
        // The variance of the last step is 0; its logarithm must stay finite.
        let log_variance = step.posterior_variance().max(1e-20).ln();
        let log_variance = Tensor::f_scalar_tensor(log_variance, (x0.kind(), Device::Cpu))?;
        Ok(Self { x0, eps, log_variance, mean: None })
    }

    /// Replaces x0 and recomputes ε. The variance is kept, a directly predicted mean is dropped.
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn with_x0(self, x0: Tensor, x: &Tensor, step: &SolverStep) -> Result<Self, ProcessError> {
        let eps = x.f_sub(&x0.f_mul_scalar(step.from.signal())?)?;
        let eps = eps.f_div_scalar(step.from.noise())?;
        Ok(Self { x0, eps, mean: None, ..self })
    }

    /// Replaces ε and recomputes x0. The variance is kept, a directly predicted mean is dropped.
    ///
    /// # Errors
    /// Shapes that do not match, or ᾱ = 0.
    pub fn with_eps(
        self,
        eps: Tensor,
        x: &Tensor,
        step: &SolverStep,
    ) -> Result<Self, ProcessError> {
        if step.from.alpha_cumprod == 0.0 {
            return Err(ProcessError::NoSignal);
        }
        let x0 = x.f_sub(&eps.f_mul_scalar(step.from.noise())?)?;
        let x0 = x0.f_div_scalar(step.from.signal())?;
        Ok(Self { x0, eps, mean: None, ..self })
    }

    /// What a network predicts, [B, C, H, W].
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn output(&self, output: NetworkOutput, step: &SolverStep) -> Result<Tensor, ProcessError> {
        let (p, q) = output.coefs(step);
        Ok(self.eps.f_mul_scalar(p)?.f_sub(&self.x0.f_mul_scalar(q)?)?)
    }

    /// Replaces what a network predicts, and recomputes x0 and ε. The variance is kept, a directly predicted
    /// mean is dropped.
    ///
    /// # Errors
    /// Shapes that do not match, or ᾱ = 0 for ε.
    pub fn with_output(
        self,
        output: NetworkOutput,
        value: Tensor,
        x: &Tensor,
        step: &SolverStep,
    ) -> Result<Self, ProcessError> {
        match output {
            NetworkOutput::Epsilon => return self.with_eps(value, x, step),
            NetworkOutput::Sample => return self.with_x0(value, x, step),
            NetworkOutput::V
            | NetworkOutput::FlowVelocity
            | NetworkOutput::TrigFlowVelocity { .. } => {}
        }
        // From value = p·ε − q·x0 and x = a·x0 + b·ε.
        let (p, q) = output.coefs(step);
        let (a, b) = (step.from.signal(), step.from.noise());
        let whole = p * a + q * b;
        let x0 = x.f_mul_scalar(p / whole)?.f_sub(&value.f_mul_scalar(b / whole)?)?;
        self.with_x0(x0, x, step)
    }

    /// Mean of the ancestral step from x, the posterior mean (Ho et al. 2020, eq. 7), [B, C, H, W].
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn posterior_mean(&self, x: &Tensor, step: &SolverStep) -> Result<Tensor, ProcessError> {
        if let Some(mean) = &self.mean {
            return Ok(mean.shallow_clone());
        }
        let (coef_x0, coef_x) = step.posterior_mean_coefs();
        Ok(self.x0.f_mul_scalar(coef_x0)?.f_add(&x.f_mul_scalar(coef_x)?)?)
    }

    /// Clips x0 to [−1, 1] and recomputes ε. A directly predicted mean is kept, as in
    /// improved-diffusion.
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn clipped(self, x: &Tensor, step: &SolverStep) -> Result<Self, ProcessError> {
        let mean = self.mean.as_ref().map(Tensor::shallow_clone);
        let x0 = self.x0.f_clamp(-1.0, 1.0)?;
        Ok(Self { mean, ..self.with_x0(x0, x, step)? })
    }
}

/// Converts the output of a network to a [`Prediction`].
///
/// - out: [B, C or 2·C, …]; x: [B, C, …]
pub(crate) fn prediction_from_output(
    config: &ProcessConfig,
    out: &Tensor,
    x: &Tensor,
    scales: &Scales,
) -> Result<Prediction, ProcessError> {
    let (output, variance) = split_variance(config.variance, out, x)?;
    let log_variance = match (config.variance, variance) {
        // improved-diffusion learns the logarithm; diffusers' `learned` is the variance itself.
        (Variance::Learned, Some(log)) => log,
        // Nichol & Dhariwal 2021, eq. 15.
        (Variance::LearnedRange, Some(v)) => {
            let fraction = v.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
            fraction.f_mul(&scales.large.f_sub(&scales.small)?)?.f_add(&scales.small)?
        }
        (fixed, _) => scales.fixed(fixed).shallow_clone(),
    };
    let Scales { signal, noise, posterior_coef_x0, posterior_coef_x, .. } = scales;
    let eps_of = |x0: &Tensor| x.f_sub(&x0.f_mul(signal)?)?.f_div(noise);
    let (x0, eps, mean) = match config.prediction {
        PredictionType::Epsilon => (x.f_sub(&output.f_mul(noise)?)?.f_div(signal)?, output, None),
        PredictionType::Sample => {
            let eps = eps_of(&output)?;
            (output, eps, None)
        }
        PredictionType::PosteriorMean => {
            let x0 = output.f_sub(&x.f_mul(posterior_coef_x)?)?.f_div(posterior_coef_x0)?;
            let eps = eps_of(&x0)?;
            (x0, eps, Some(output))
        }
        PredictionType::Velocity => {
            let x0 = x.f_mul(signal)?.f_sub(&output.f_mul(noise)?)?;
            let eps = output.f_mul(signal)?.f_add(&x.f_mul(noise)?)?;
            (x0, eps, None)
        }
    };
    Ok(Prediction { x0, eps, log_variance, mean })
}

/// Splits a network's output into the prediction and, if the variance is learned, its second half.
pub(crate) fn split_variance(
    variance: Variance,
    out: &Tensor,
    x: &Tensor,
) -> Result<(Tensor, Option<Tensor>), ProcessError> {
    let (given, channels) = (out.size().get(1).copied().unwrap_or(0), x.size()[1]);
    let expected = if variance.is_learned() { 2 * channels } else { channels };
    if given != expected {
        return Err(ProcessError::Outputs { given, channels, variance });
    }
    if !variance.is_learned() {
        return Ok((out.shallow_clone(), None));
    }
    Ok((out.f_narrow(1, 0, channels)?, Some(out.f_narrow(1, channels, channels)?)))
}
