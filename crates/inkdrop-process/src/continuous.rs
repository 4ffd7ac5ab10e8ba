//! Processes of continuous noise levels: EDM, VP, VE, flows, TrigFlow (Karras et al. 2022).

use inkdrop_nn::{Conditioning, Mode, Network, TrainableNetwork};
use inkdrop_schedule::{
    FlowPath, LevelSpacing, NoiseDistribution, NoiseLevel, NoiseLevels, Preconditioning,
    PreconditioningCoefs, SamplingSchedule, SolverStep, loss_weights,
};
use inkdrop_torch::tch::{Device, Kind, Reduction, Tensor, no_grad_guard};
use inkdrop_torch::to_device_async;
use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::objective::{LossType, Weighting};
use crate::tables::{like, mean_flat};
use crate::{
    ConsistencyObjective, DiffusionConfig, DiffusionProcess, ForwardNoise, LossTerms,
    MeanFlowObjective, NetworkOutput, ObjectiveConfig, Prediction, Process, ProcessError,
    SigmaProcess, TrainingObjective,
};

/// The config of a process of continuous noise levels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContinuousConfig {
    /// How the network becomes a denoiser.
    pub preconditioning: Preconditioning,
    /// Smallest σ of sampling; that of the preconditioning's paper if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_min: Option<f64>,
    /// Largest σ of sampling; that of the preconditioning's paper if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_max: Option<f64>,
    /// Clips the predicted x0 to [−1, 1] in sampling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clip: bool,
}

impl ContinuousConfig {
    /// The config of a preconditioning with the noise levels of its paper.
    pub fn new(preconditioning: Preconditioning) -> Self {
        Self { preconditioning, sigma_min: None, sigma_max: None, clip: false }
    }

    /// Smallest and largest σ of sampling; the largest may be infinite.
    pub fn sigma_range(&self) -> (f64, f64) {
        let (min, max) = self.preconditioning.sigma_range();
        (self.sigma_min.unwrap_or(min), self.sigma_max.unwrap_or(max))
    }
}

/// A process of continuous noise levels: a network F with its preconditioning is a denoiser
/// D(x; σ) = c_skip·x + c_out·F(c_in·x; c_noise) (Karras et al. 2022, eq. 7).
#[derive(Debug, Clone, Copy)]
pub struct ContinuousProcess {
    config: ContinuousConfig,
    device: Device,
}

impl ContinuousProcess {
    /// Number of quantiles of the noise distribution, those of a random f32 in [0, 1).
    pub(crate) const QUANTILES: usize = 1 << 24;

    /// # Errors
    /// A number of the config is out of range.
    pub fn new(config: &ContinuousConfig, device: Device) -> Result<Self, ProcessError> {
        config.preconditioning.check()?;
        let (min, max) = config.sigma_range();
        for (field, given) in [("sigma_min", min), ("sigma_max", max)] {
            if !(given > 0.0 && (given.is_finite() || config.sigma_max.is_none())) {
                let expected = "a finite number above 0";
                return Err(ProcessError::Field { field, given, expected });
            }
        }
        if min >= max {
            let expected = "a number below sigma_max";
            return Err(ProcessError::Field { field: "sigma_min", given: min, expected });
        }
        Ok(Self { config: *config, device })
    }

    /// The config.
    pub fn config(&self) -> &ContinuousConfig {
        &self.config
    }

    /// D(x; σ) by a network in training.
    ///
    /// # Shapes
    /// - x: x0 + σ·ε, [B, C, H, W]
    /// - sigmas: one for each image; > 0
    ///
    /// # Errors
    /// The network does not accept x, or its output has another shape.
    pub fn denoise_trained(
        &self,
        network: &dyn TrainableNetwork,
        x: &Tensor,
        sigmas: &[f64],
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor, ProcessError> {
        SigmaProcess::from(*self).denoise(x, sigmas, conditioning, |input, time, conditioning| {
            Ok(network.forward_mode(input, time, conditioning, mode)?)
        })
    }

    /// D(x; σ) by a network in inference; as [`ContinuousProcess::denoise_trained`].
    ///
    /// # Errors
    /// The network does not accept x, or its output has another shape.
    pub fn denoise(
        &self,
        network: &dyn Network,
        x: &Tensor,
        sigmas: &[f64],
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        SigmaProcess::from(*self).denoise(x, sigmas, conditioning, |input, time, conditioning| {
            Ok(network.forward(input, time, conditioning)?)
        })
    }

    /// Scale of the time interval that the network receives; `None` for a network without one.
    pub(crate) fn interval_scale(&self) -> Option<f64> {
        match self.config.preconditioning {
            Preconditioning::MeanFlow { time_scale } => Some(time_scale),
            _ => None,
        }
    }

    /// The conditions with an interval of length 0, for networks that take one.
    pub(crate) fn at_an_instant(
        &self,
        conditioning: &Conditioning,
        x: &Tensor,
    ) -> Result<Conditioning, ProcessError> {
        self.over(0.0, conditioning, x)
    }

    /// The conditions with an interval of this length in [0, 1], for networks that take one.
    fn over(
        &self,
        length: f64,
        conditioning: &Conditioning,
        x: &Tensor,
    ) -> Result<Conditioning, ProcessError> {
        let interval = |scale: f64| {
            let batch = x.size().first().copied().unwrap_or_default();
            Tensor::f_full([batch], scale * length, (Kind::Float, x.device()))
        };
        let interval = self.interval_scale().map(interval).transpose()?;
        Ok(Conditioning { interval, ..conditioning.shallow_clone() })
    }
}

/// D of x = √ᾱ·x0 + √(1−ᾱ)·ε, for which ᾱ may be 0.
///
/// - coefs: one for each image
pub(crate) fn denoise_with(
    coefs: &[PreconditioningCoefs],
    x: &Tensor,
    forward: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor, ProcessError>,
) -> Result<Tensor, ProcessError> {
    let out = output(coefs, x, forward)?;
    let skip = x.f_mul(&per_image(coefs, |coefs| coefs.skip, x)?)?;
    Ok(skip.f_add(&out.f_mul(&per_image(coefs, |coefs| coefs.output, x)?)?)?)
}

/// The prediction at a step, of x as in [`denoise_with`].
pub(crate) fn predict_with(
    coefs: PreconditioningCoefs,
    x: &Tensor,
    step: &SolverStep,
    forward: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor, ProcessError>,
) -> Result<Prediction, ProcessError> {
    let out = output(&[coefs], x, forward)?;
    let mix = |of_x: f64, of_out: f64| -> Result<Tensor, ProcessError> {
        Ok(x.f_mul_scalar(of_x)?.f_add(&out.f_mul_scalar(of_out)?)?)
    };
    let x0 = mix(coefs.skip, coefs.output)?;
    // ε = (x − √ᾱ·x0)/√(1−ᾱ), with the difference taken in f64.
    let (signal, noise) = (step.from.signal(), step.from.noise());
    let eps = mix((1.0 - signal * coefs.skip) / noise, -signal * coefs.output / noise)?;
    Prediction::new(x0, eps, step)
}

/// The output F(input·x; time) of the network. Of a network that also outputs a variance it is the first half
/// of the channels.
///
/// - coefs: one for each image, or one for all
fn output(
    coefs: &[PreconditioningCoefs],
    x: &Tensor,
    forward: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor, ProcessError>,
) -> Result<Tensor, ProcessError> {
    let times: Vec<f64> = coefs.iter().map(|coefs| coefs.time).collect();
    let time = Tensor::f_from_slice(&times)?.f_to_kind(Kind::Float)?;
    let time = to_device_async(&time, x.device())?;
    let time = time.f_expand([x.size()[0]], false)?.f_contiguous()?;
    let out = forward(&x.f_mul(&per_image(coefs, |coefs| coefs.input, x)?)?, &time)?;
    let twice = out.dim() > 1 && out.size()[1] == 2 * x.size()[1];
    let out = if twice { out.f_narrow(1, 0, x.size()[1])? } else { out };
    if out.size() != x.size() {
        let (given, expected) = (out.size(), format!("{:?}, that of x", x.size()));
        return Err(ProcessError::Shape { what: "the network's output", given, expected });
    }
    Ok(out)
}

/// The noise levels of a consistency model for a spacing: at σ_min it changes nothing, so a grid ends before.
///
/// - range: σ_min and σ_max
pub(crate) fn consistency_sigmas(
    spacing: &LevelSpacing,
    (min, max): (f64, f64),
) -> Result<Array1<f64>, ProcessError> {
    match spacing {
        LevelSpacing::Karras { steps, rho } => {
            let longer = LevelSpacing::Karras { steps: steps.saturating_add(1), rho: *rho };
            Ok(longer.sigmas(min, max)?.slice_move(ndarray::s![..*steps]))
        }
        _ => Ok(spacing.sigmas(min, max)?),
    }
}

/// A number of each image, [B, 1, …] or [] in the dtype and on the device of x.
pub(crate) fn per_image<T>(
    items: &[T],
    of: impl Fn(&T) -> f64,
    x: &Tensor,
) -> Result<Tensor, ProcessError> {
    let values: Vec<f64> = items.iter().map(of).collect();
    match values[..] {
        // A number on the CPU is an argument of the kernel on any device.
        [value] => Ok(Tensor::f_scalar_tensor(value, (x.kind(), Device::Cpu))?),
        _ => like(&to_device_async(&Tensor::f_from_slice(&values)?, x.device())?, x),
    }
}

impl DiffusionProcess for ContinuousProcess {
    fn config(&self) -> DiffusionConfig {
        self.config.into()
    }

    fn device(&self) -> Device {
        self.device
    }

    fn predict(
        &self,
        network: &dyn Network,
        x: &Tensor,
        step: &SolverStep,
        conditioning: &Conditioning,
    ) -> Result<Prediction, ProcessError> {
        let coefs = self.config.preconditioning.coefs(step.from);
        let time = |level: NoiseLevel| FlowPath::Linear.time(level);
        let conditioning = &self.over(time(step.from) - time(step.to), conditioning, x)?;
        let forward =
            |input: &Tensor, time: &Tensor| Ok(network.forward(input, time, conditioning)?);
        predict_with(coefs, x, step, forward)
    }

    fn clips(&self) -> bool {
        self.config.clip
    }

    fn network_output(&self) -> NetworkOutput {
        match self.config.preconditioning {
            Preconditioning::Vp(_) | Preconditioning::Ve {} | Preconditioning::Iddpm {} => {
                NetworkOutput::Epsilon
            }
            Preconditioning::Flow { path: FlowPath::Linear, .. }
            | Preconditioning::MeanFlow { .. } => NetworkOutput::FlowVelocity,
            Preconditioning::Flow { .. } => NetworkOutput::V,
            Preconditioning::TrigFlow { sigma_data } => {
                NetworkOutput::TrigFlowVelocity { sigma_data }
            }
            Preconditioning::Edm { .. }
            | Preconditioning::EdmVelocity { .. }
            | Preconditioning::Consistency { .. }
            | Preconditioning::FlowSample { .. } => NetworkOutput::Sample,
        }
    }

    fn noise_levels(&self) -> &dyn NoiseLevels {
        &self.config.preconditioning
    }

    fn spaced(&self, spacing: &LevelSpacing) -> Result<SamplingSchedule, ProcessError> {
        let preconditioning = &self.config.preconditioning;
        let (min, max) = self.config.sigma_range();
        let (low, high) = preconditioning.network_range();
        let (min, max) = (min.max(low), max.min(high));
        let levels = match self.config.preconditioning {
            Preconditioning::Consistency { .. } => consistency_sigmas(spacing, (min, max))?,
            _ => spacing.sigmas(min, max)?,
        };
        let level = |&sigma: &f64| preconditioning.level(preconditioning.round_sigma(sigma));
        let levels = levels.iter().map(level);
        let levels: Vec<NoiseLevel> = levels.chain([NoiseLevel::NOISELESS]).collect();
        Ok(SamplingSchedule::from_levels(&levels)?)
    }

    fn network_times(&self, schedule: &SamplingSchedule) -> Vec<f64> {
        let time = |step: &SolverStep| self.config.preconditioning.coefs(step.from).time;
        schedule.steps().iter().map(|step| f64::from(time(step) as f32)).collect()
    }

    fn training_levels(&self) -> usize {
        Self::QUANTILES
    }

    fn objective(
        &self,
        config: &ObjectiveConfig,
    ) -> Result<Box<dyn TrainingObjective + Send>, ProcessError> {
        if let Some(objective) = ConsistencyObjective::new((*self).into(), config)? {
            return Ok(Box::new(objective));
        }
        if let LossType::MeanFlow(mean_flow) = config.loss {
            return Ok(Box::new(MeanFlowObjective::new(*self, mean_flow, config)?));
        }
        if self.interval_scale().is_some() {
            return Err(ProcessError::MeanFlowNeedsItsLoss);
        }
        Ok(Box::new(ContinuousObjective::new(*self, config)?))
    }

    fn timesteps(&self) -> Option<&Process> {
        None
    }
}

/// The quantile of an index below [`DiffusionProcess::training_levels`], in (0, 1).
pub(crate) fn quantile(index: i64) -> f64 {
    (index as f64 + 0.5) / ContinuousProcess::QUANTILES as f64
}

/// The loss for a process of continuous noise levels: the error of F, with weight 1 at every noise level (Karras et
/// al. 2022, eq. 8; for flows, Lipman et al. 2023, eq. 14) or that of [`Preconditioning::loss_weight`].
#[derive(Debug)]
pub struct ContinuousObjective {
    process: ContinuousProcess,
    config: ObjectiveConfig,
    distribution: NoiseDistribution,
}

impl ContinuousObjective {
    /// # Errors
    /// A loss that needs timesteps, or a number out of range.
    pub fn new(process: ContinuousProcess, config: &ObjectiveConfig) -> Result<Self, ProcessError> {
        let known = matches!(
            config.loss,
            LossType::Mse | LossType::L1 | LossType::Huber { .. } | LossType::Uncertainty
        );
        if !known {
            return Err(ProcessError::NeedsTimesteps("the variational lower bound"));
        }
        if config.forward_noise != ForwardNoise::Standard {
            return Err(ProcessError::NeedsTimesteps("another forward noise than the standard"));
        }
        config.check_delta()?;
        config.weighting.check()?;
        let preconditioning = &process.config.preconditioning;
        let distribution =
            config.noise_distribution.unwrap_or_else(|| NoiseDistribution::of(preconditioning));
        distribution.check()?;
        Ok(Self { process, config: *config, distribution })
    }

    /// The noise level of a quantile, of [`DiffusionProcess::training_levels`].
    pub fn level(&self, index: i64) -> NoiseLevel {
        self.distribution.level(quantile(index), &self.process.config.preconditioning)
    }

    /// The loss at given noise levels, `[B]`.
    ///
    /// # Shapes
    /// - x0, noise: [B, C, H, W]
    /// - levels: B
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn terms_at(
        &self,
        network: &dyn TrainableNetwork,
        (x0, levels, noise): (&Tensor, &[NoiseLevel], &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<LossTerms, ProcessError> {
        if x0.size() != noise.size() || x0.size().first() != Some(&(levels.len() as i64)) {
            let expected = format!("{:?}, that of x0, and {} levels", x0.size(), levels.len());
            return Err(ProcessError::Shape { what: "noise", given: noise.size(), expected });
        }
        let x = noisy(x0, levels, noise)?;
        let coefs = self.coefs(levels);
        let conditioning = &self.process.at_an_instant(conditioning, x0)?;
        let forward = |input: &Tensor, time: &Tensor| {
            Ok(network.forward_mode(input, time, conditioning, mode)?)
        };
        let out = output(&coefs, &x, forward)?;
        let error = self.error(&out, &target(&coefs, levels, x0, noise)?)?;
        let weights = Tensor::f_from_slice(&self.weights(levels, &coefs))?;
        let weights = to_device_async(&weights.f_to_kind(error.kind())?, error.device())?;
        let error = error.f_mul(&weights)?;
        let loss = match self.config.loss {
            LossType::Uncertainty => {
                let u = log_variance(network, &coefs, mode, &error)?;
                error.f_mul(&u.f_neg()?.f_exp()?)?.f_add(&u)?
            }
            _ => error.shallow_clone(),
        };
        Ok(LossTerms { error: Some(error), loss, bound: None })
    }

    /// The noise levels of quantiles, `[B]`.
    fn levels(&self, t: &Tensor) -> Result<Vec<NoiseLevel>, ProcessError> {
        let quantiles = Vec::<i64>::try_from(&t.f_to_device(Device::Cpu)?)?;
        Ok(quantiles.into_iter().map(|t| self.level(t)).collect())
    }

    /// The coefficients at the noise level of each image.
    fn coefs(&self, levels: &[NoiseLevel]) -> Vec<PreconditioningCoefs> {
        levels.iter().map(|&level| self.process.config.preconditioning.coefs(level)).collect()
    }

    /// The weight of each image on the error of F.
    fn weights(&self, levels: &[NoiseLevel], coefs: &[PreconditioningCoefs]) -> Vec<f64> {
        let own = &self.process.config.preconditioning;
        let weight = |(level, coefs): (&NoiseLevel, &PreconditioningCoefs)| {
            let snr = level.sigma().powi(-2);
            // An error of F is c_out² times as large as one of x0, squared.
            match self.config.weighting {
                Weighting::None => own.loss_weight(*level),
                Weighting::Snr => snr * coefs.output.powi(2),
                Weighting::MinSnr { gamma } => snr.min(gamma) * coefs.output.powi(2),
                Weighting::SoftMinSnr { gamma } => {
                    loss_weights::soft_min(snr, gamma) * coefs.output.powi(2)
                }
                Weighting::P2 { gamma, k } => snr * coefs.output.powi(2) / (k + snr).powf(gamma),
            }
        };
        levels.iter().zip(coefs).map(weight).collect()
    }

    /// - returns `[B]`
    fn error(&self, out: &Tensor, target: &Tensor) -> Result<Tensor, ProcessError> {
        mean_flat(&match self.config.loss {
            LossType::L1 => out.f_sub(target)?.f_abs()?,
            LossType::Huber { delta } => out.f_huber_loss(target, Reduction::None, delta)?,
            _ => out.f_sub(target)?.f_square()?,
        })
    }
}

/// x = √ᾱ·x0 + √(1−ᾱ)·ε.
pub(crate) fn noisy(
    x0: &Tensor,
    levels: &[NoiseLevel],
    noise: &Tensor,
) -> Result<Tensor, ProcessError> {
    let at = |of: fn(&NoiseLevel) -> f64| per_image(levels, of, x0);
    let signal = x0.f_mul(&at(NoiseLevel::signal)?)?;
    Ok(signal.f_add(&noise.f_mul(&at(NoiseLevel::noise)?)?)?)
}

/// The log-variance u(σ) that the network learned, `[B]` (Karras et al. 2024, eq. 21).
fn log_variance(
    network: &dyn TrainableNetwork,
    coefs: &[PreconditioningCoefs],
    mode: Mode,
    error: &Tensor,
) -> Result<Tensor, ProcessError> {
    let times: Vec<f64> = coefs.iter().map(|coefs| coefs.time).collect();
    let time = to_device_async(&Tensor::f_from_slice(&times)?, error.device())?;
    match network.log_variance(&time.f_to_kind(Kind::Float)?, mode)? {
        Some(u) => Ok(u.f_to_kind(error.kind())?),
        None => Err(ProcessError::NoUncertainty),
    }
}

/// The output F for which D(x; σ) = x0: (x0 − skip·x)/output with x = √ᾱ·x0 + √(1−ᾱ)·ε, where the
/// difference is taken in f64.
fn target(
    coefs: &[PreconditioningCoefs],
    levels: &[NoiseLevel],
    x0: &Tensor,
    noise: &Tensor,
) -> Result<Tensor, ProcessError> {
    let pairs: Vec<_> = coefs.iter().zip(levels).collect();
    let of_x0 = per_image(&pairs, |(c, level)| (1.0 - c.skip * level.signal()) / c.output, x0)?;
    let of_noise = per_image(&pairs, |(c, level)| -c.skip * level.noise() / c.output, x0)?;
    Ok(x0.f_mul(&of_x0)?.f_add(&noise.f_mul(&of_noise)?)?)
}

impl TrainingObjective for ContinuousObjective {
    fn terms(
        &self,
        network: &dyn TrainableNetwork,
        (x0, t, noise): (&Tensor, &Tensor, &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<LossTerms, ProcessError> {
        self.terms_at(network, (x0, &self.levels(t)?, noise), conditioning, mode)
    }

    fn self_condition(
        &self,
        network: &dyn TrainableNetwork,
        (x0, t, noise): (&Tensor, &Tensor, &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor, ProcessError> {
        let _guard = no_grad_guard();
        let levels = self.levels(t)?;
        let x = noisy(x0, &levels, noise)?;
        denoise_with(&self.coefs(&levels), &x, |input, time| {
            Ok(network.forward_mode(input, time, conditioning, mode)?)
        })
    }
}
