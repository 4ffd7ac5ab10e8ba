//! Training objectives: losses and their weights.

use std::borrow::Borrow;

use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_schedule::{NoiseDistribution, PredictionType, loss_weights};
use inkdrop_torch::tch::{Reduction, Tensor, no_grad_guard};
use inkdrop_torch::to_device_async;
use serde::{Deserialize, Serialize};

use crate::likelihood::vb_bits;
use crate::prediction::{prediction_from_output, split_variance};
use crate::tables::{Scales, like, mean_flat};
use crate::{
    ConsistencyGrid, ConsistencyMidTraining, ConsistencyPhases, ConsistencyTraining,
    ConsistencyTuning, ForwardNoise, MeanFlow, Process, ProcessError, ProgressiveDistillation,
    TrainingObjective,
};

/// A loss by name.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossType {
    /// Mean squared error of the network's output (Ho et al. 2020, eq. 14). For a learned variance,
    /// the variational lower bound is added, with gradients for the variance alone.
    #[default]
    Mse,
    /// `Mse` with the bound scaled by T/1000, the hybrid loss of Nichol & Dhariwal 2021, eq. 16.
    RescaledMse,
    /// The term of the variational lower bound (L_vlb) at the sampled timestep, in bits per dimension (Nichol &
    /// Dhariwal 2021, eq. 4).
    Kl,
    /// `Kl` times T, an estimate of the whole bound.
    RescaledKl,
    /// Mean absolute error of the network's output, with the bound as in `Mse`.
    L1,
    /// Huber loss of the network's output (Huber 1964), with the bound as in `Mse`.
    Huber {
        /// Error above which the loss is linear; > 0.
        delta: f64,
    },
    /// `Mse` divided by e^u, plus u, where the network learns the log-variance u(σ) (Karras et al. 2024, eq. 21);
    /// for continuous noise levels and a network with that head.
    Uncertainty,
    /// Consistency tuning, for continuous noise levels.
    ConsistencyTuning(ConsistencyTuning),
    /// Consistency mid-training with a teacher, for continuous noise levels.
    ConsistencyMidTraining(ConsistencyMidTraining),
    /// Consistency mid-training, then tuning, for continuous noise levels.
    ConsistencyPhases(ConsistencyPhases),
    /// Consistency training, for continuous noise levels.
    ConsistencyTraining(ConsistencyTraining),
    /// Consistency distillation from a teacher, for continuous noise levels.
    ConsistencyDistillation(ConsistencyGrid),
    /// Progressive distillation from a teacher, for continuous noise levels.
    ProgressiveDistillation(ProgressiveDistillation),
    /// Mean velocities (MeanFlow), for the preconditioning `mean-flow`.
    MeanFlow(MeanFlow),
}

impl LossType {
    /// True for the losses that need a process of continuous noise levels.
    pub fn needs_continuous_levels(&self) -> bool {
        matches!(
            self,
            Self::ConsistencyTuning(_)
                | Self::ConsistencyMidTraining(_)
                | Self::ConsistencyPhases(_)
                | Self::ConsistencyTraining(_)
                | Self::ConsistencyDistillation(_)
                | Self::ProgressiveDistillation(_)
                | Self::MeanFlow(_)
        )
    }
}

/// Loss weight of each timestep. The formulas are for squared errors of the network's output; L1 and
/// Huber losses use the same factors. `Kl` and `RescaledKl` accept no weighting.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Weighting {
    /// Weight 1 for all timesteps.
    #[default]
    None,
    /// SNR on the error of x0: whatever the network predicts, as an unweighted error of ε.
    Snr,
    /// min(SNR, γ) on the error of x0 (Hang et al. 2023).
    MinSnr {
        /// γ; 5 is usual.
        gamma: f64,
    },
    /// γ·SNR/(γ + SNR) on the error of x0, a smooth form of `MinSnr` (Crowson et al. 2024, eq. 2).
    SoftMinSnr {
        /// γ; 5 is usual.
        gamma: f64,
    },
    /// 1/(k + SNR)^γ on the error of ε (Choi et al. 2022).
    P2 {
        /// γ; 1 or 0.5 are usual.
        gamma: f64,
        /// k; 1 is usual.
        k: f64,
    },
}

impl Weighting {
    /// Validates the numbers.
    pub(crate) fn check(&self) -> Result<(), ProcessError> {
        let numbers: &[(&'static str, f64)] = match self {
            Self::None | Self::Snr => &[],
            Self::MinSnr { gamma } | Self::SoftMinSnr { gamma } => &[("gamma", *gamma)],
            Self::P2 { gamma, .. } if !(*gamma >= 0.0 && gamma.is_finite()) => {
                let expected = "a finite number, 0 or above";
                return Err(ProcessError::Field { field: "gamma", given: *gamma, expected });
            }
            Self::P2 { k, .. } => &[("k", *k)],
        };
        let invalid = numbers.iter().find(|(_, given)| !(*given > 0.0 && given.is_finite()));
        match invalid {
            Some(&(field, given)) => {
                Err(ProcessError::Field { field, given, expected: "a finite number above 0" })
            }
            None => Ok(()),
        }
    }
}

/// Config of a training objective.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// The loss function.
    pub loss: LossType,
    /// Loss weight of each timestep.
    pub weighting: Weighting,
    /// Formula that adds noise to training images.
    #[serde(alias = "noising")]
    pub forward_noise: ForwardNoise,
    /// Distribution of the noise level, for processes of continuous noise levels; that of the
    /// preconditioning's paper if `None`.
    pub noise_distribution: Option<NoiseDistribution>,
}

impl ObjectiveConfig {
    /// Refuses settings that belong to the errors of a diffusion model.
    pub(crate) fn check_alone(&self) -> Result<(), ProcessError> {
        if self.weighting != Weighting::None || self.forward_noise != ForwardNoise::Standard {
            return Err(ProcessError::NotWithThisLoss("weighting and forward_noise"));
        }
        Ok(())
    }

    pub(crate) fn check_delta(&self) -> Result<(), ProcessError> {
        match self.loss {
            LossType::Huber { delta: given } if !(given > 0.0 && given.is_finite()) => {
                let (field, expected) = ("huber delta", "a number above 0");
                Err(ProcessError::Field { field, given, expected })
            }
            _ => Ok(()),
        }
    }
}

/// The loss of a network for a process with timesteps.
///
/// `P` is `&Process` or, for an objective that owns its process, [`Process`].
#[derive(Debug)]
pub struct Objective<P> {
    process: P,
    config: ObjectiveConfig,
    weights: Option<Tensor>,
}

/// The terms of a loss, `[B]` each.
#[derive(Debug)]
pub struct LossTerms {
    /// The loss to minimise.
    pub loss: Tensor,
    /// The error of the network's output, if it is part of the loss.
    pub error: Option<Tensor>,
    /// The term of the variational lower bound that is added to the error, in bits per dimension;
    /// times T/1000 for [`LossType::RescaledMse`].
    pub bound: Option<Tensor>,
}

/// A batch after the forward process: x = q_sample(x0, t, noise).
struct NoisyBatch<'a> {
    x0: &'a Tensor,
    noise: &'a Tensor,
    x: &'a Tensor,
    t: &'a Tensor,
    scales: Scales,
}

impl LossTerms {
    fn bound_alone(loss: Tensor) -> Self {
        Self { loss, error: None, bound: None }
    }
}

impl<P: Borrow<Process>> Objective<P> {
    /// The objective of a process.
    ///
    /// # Errors
    /// delta, γ or k is out of range; a bound has a weighting; or a bound is used for a network that
    /// predicts ε in a process whose last timestep has ᾱ = 0.
    pub fn new(owner: P, config: &ObjectiveConfig) -> Result<Self, ProcessError> {
        let process: &Process = owner.borrow();
        let (schedule, mean) = (process.schedule(), process.config().prediction);
        let bounds = matches!(config.loss, LossType::Kl | LossType::RescaledKl);
        if bounds || process.config().variance.is_learned() {
            process.check_signal()?;
        }
        if bounds && config.weighting != Weighting::None {
            return Err(ProcessError::WeightedBound);
        }
        let table = match config.weighting {
            Weighting::None => None,
            Weighting::Snr => Some(loss_weights::snr(schedule, mean)),
            Weighting::MinSnr { gamma } => Some(loss_weights::min_snr(schedule, mean, gamma)?),
            Weighting::SoftMinSnr { gamma } => {
                Some(loss_weights::soft_min_snr(schedule, mean, gamma)?)
            }
            Weighting::P2 { gamma, k } => Some(loss_weights::p2(schedule, mean, gamma, k)?),
        };
        config.check_delta()?;
        if config.loss.needs_continuous_levels() {
            return Err(ProcessError::Timesteps("a consistency loss, distillation or MeanFlow"));
        }
        if config.loss == LossType::Uncertainty {
            return Err(ProcessError::Timesteps("the loss uncertainty"));
        }
        if config.noise_distribution.is_some() {
            return Err(ProcessError::Timesteps("noise_distribution"));
        }
        let upload = |table: ndarray::Array1<f64>| {
            Tensor::f_from_slice(&table.to_vec())?.f_to_device(process.device())
        };
        let weights = table.map(upload).transpose()?;
        Ok(Self { process: owner, config: *config, weights })
    }

    /// The process that the loss is defined for.
    pub fn process(&self) -> &Process {
        self.process.borrow()
    }

    /// The term of the variational lower bound, in bits per dimension, `[B]`.
    fn bound(&self, batch: &NoisyBatch, out: &Tensor) -> Result<Tensor, ProcessError> {
        let NoisyBatch { x0, x, t, scales, .. } = batch;
        let prediction = prediction_from_output(self.process().config(), out, x, scales)?;
        vb_bits(&prediction, x0, x, t, scales)
    }

    /// The weighted error of the output (L_simple) and, for a learned variance, the variational lower
    /// bound: the hybrid loss (L_hybrid).
    fn error_terms(&self, batch: &NoisyBatch, out: &Tensor) -> Result<LossTerms, ProcessError> {
        let process = self.process();
        let (mean, variance) = split_variance(process.config().variance, out, batch.x)?;
        let error = self.weighted(&self.error(&mean, &self.target(batch)?)?, batch.t)?;
        let Some(variance) = variance else {
            return Ok(LossTerms { loss: error.shallow_clone(), error: Some(error), bound: None });
        };
        // Without the gradient of the mean, the bound trains the variance alone.
        let detached = Tensor::f_cat(&[&mean.f_detach()?, &variance], 1)?;
        let bound = self.bound(batch, &detached)?;
        let steps = process.schedule().num_timesteps() as f64;
        let bound = match self.config.loss {
            LossType::RescaledMse => bound.f_mul_scalar(steps / 1000.0)?,
            _ => bound,
        };
        Ok(LossTerms { loss: error.f_add(&bound)?, error: Some(error), bound: Some(bound) })
    }

    /// The training target of the network's output.
    fn target(&self, batch: &NoisyBatch) -> Result<Tensor, ProcessError> {
        let NoisyBatch { x0, noise, x, scales, .. } = batch;
        Ok(match self.process().config().prediction {
            PredictionType::Epsilon => noise.shallow_clone(),
            PredictionType::Sample => x0.shallow_clone(),
            PredictionType::PosteriorMean => scales.posterior_mean(x0, x)?,
            PredictionType::Velocity => {
                noise.f_mul(&scales.signal)?.f_sub(&x0.f_mul(&scales.noise)?)?
            }
        })
    }

    /// - returns `[B]`
    fn error(&self, out: &Tensor, target: &Tensor) -> Result<Tensor, ProcessError> {
        mean_flat(&match self.config.loss {
            LossType::L1 => out.f_sub(target)?.f_abs()?,
            LossType::Huber { delta } => out.f_huber_loss(target, Reduction::None, delta)?,
            _ => out.f_sub(target)?.f_square()?,
        })
    }

    fn weighted(&self, error: &Tensor, t: &Tensor) -> Result<Tensor, ProcessError> {
        match &self.weights {
            None => Ok(error.shallow_clone()),
            Some(weights) => Ok(error.f_mul(&like(&weights.f_index_select(0, t)?, error)?)?),
        }
    }
}

impl<P: Borrow<Process> + std::fmt::Debug> TrainingObjective for Objective<P> {
    fn terms(
        &self,
        network: &dyn TrainableNetwork,
        (x0, t, noise): (&Tensor, &Tensor, &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<LossTerms, ProcessError> {
        let process = self.process();
        let t = &to_device_async(t, x0.device())?;
        let x = process.q_sample(x0, t, noise, self.config.forward_noise)?;
        let time = process.network_time(t)?;
        let out = network.forward_mode(&x, &time, conditioning, mode)?;
        let batch = NoisyBatch { x0, noise, x: &x, t, scales: Scales::at(&process.tables, t, &x)? };
        let steps = process.schedule().num_timesteps() as f64;
        match self.config.loss {
            LossType::Kl => Ok(LossTerms::bound_alone(self.bound(&batch, &out)?)),
            LossType::RescaledKl => {
                Ok(LossTerms::bound_alone(self.bound(&batch, &out)?.f_mul_scalar(steps)?))
            }
            _ => self.error_terms(&batch, &out),
        }
    }

    fn self_condition(
        &self,
        network: &dyn TrainableNetwork,
        (x0, t, noise): (&Tensor, &Tensor, &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor, ProcessError> {
        let _guard = no_grad_guard();
        let process = self.process();
        let t = &to_device_async(t, x0.device())?;
        let x = process.q_sample(x0, t, noise, self.config.forward_noise)?;
        let out = network.forward_mode(&x, &process.network_time(t)?, conditioning, mode)?;
        let scales = Scales::at(&process.tables, t, &x)?;
        Ok(prediction_from_output(process.config(), &out, &x, &scales)?.x0)
    }
}
