//! The diffusion process with timesteps: its tables on a device, the forward process, the posterior.

use inkdrop_nn::{Conditioning, Network};
use inkdrop_schedule::{
    LevelSpacing, NoiseLevel, NoiseLevels, PreconditioningCoefs, PredictionType, SamplingSchedule,
    Schedule, SolverStep, TimestepSpacing,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use ndarray::Array1;

use crate::continuous::{consistency_sigmas, predict_with};
use crate::prediction::prediction_from_output;
use crate::tables::{Scales, Tables, like};
use crate::{
    ConsistencyObjective, ContinuousProcess, DiffusionConfig, DiffusionProcess, ForwardNoise,
    NetworkOutput, Objective, ObjectiveConfig, Prediction, ProcessConfig, ProcessError,
    TrainingObjective,
};

/// A diffusion process over timesteps (Ho et al. 2020), with its tables on a device.
#[derive(Debug)]
pub struct Process {
    config: ProcessConfig,
    schedule: Schedule,
    timestep_map: Vec<usize>,
    times: Tensor,
    pub(crate) tables: Tables,
}

impl Process {
    /// Builds the full process of a config.
    ///
    /// # Errors
    /// Invalid noise schedule.
    pub fn new(config: &ProcessConfig, device: Device) -> Result<Self, ProcessError> {
        let schedule = config.schedule.build()?;
        if let Some(range) = config.consistency {
            range.check()?;
            if config.prediction == PredictionType::PosteriorMean {
                return Err(ProcessError::NoDenoiser);
            }
        }
        let timestep_map = (0..schedule.num_timesteps()).collect();
        Self::with_tables(config, schedule, timestep_map, device)
    }

    /// The process over fewer timesteps; the network receives its original timesteps.
    ///
    /// This is SpacedDiffusion of improved-diffusion: losses, likelihoods, learned variances and the
    /// posterior mean are those of the shorter process. [`TimestepSpacing::All`] returns this process
    /// with its own β.
    ///
    /// # Errors
    /// The spacing does not fit the process.
    pub fn respaced(&self, spacing: &TimestepSpacing) -> Result<Self, ProcessError> {
        let timesteps = spacing.timesteps(self.schedule.num_timesteps())?;
        // With all timesteps the own β is kept; recomputing it from ᾱ would round, and would change the
        // sprites schedule, whose ᾱ is not the product of its β.
        let schedule = if timesteps.len() == self.schedule.num_timesteps() {
            self.schedule.clone()
        } else {
            self.schedule.respaced(&timesteps)?
        };
        let timestep_map = timesteps.iter().map(|&index| self.timestep_map[index]).collect();
        Self::with_tables(&self.config, schedule, timestep_map, self.times.device())
    }

    fn with_tables(
        config: &ProcessConfig,
        schedule: Schedule,
        timestep_map: Vec<usize>,
        device: Device,
    ) -> Result<Self, ProcessError> {
        let total = config.schedule.num_timesteps();
        let times: Array1<f64> =
            timestep_map.iter().map(|&step| config.time.at(step as f64, total)).collect();
        Ok(Self {
            times: Tensor::f_from_slice(&times.to_vec())?.f_to_device(device)?,
            tables: Tables::new(&schedule, device)?,
            config: config.clone(),
            schedule,
            timestep_map,
        })
    }

    /// The config of the full process.
    pub fn config(&self) -> &ProcessConfig {
        &self.config
    }

    /// The noise schedule in f64.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The timesteps of the full process that this process visits, increasing.
    pub fn timestep_map(&self) -> &[usize] {
        &self.timestep_map
    }

    /// Device of the tables.
    pub fn device(&self) -> Device {
        self.times.device()
    }

    /// The sampling schedule over all timesteps of the process, the last first.
    ///
    /// # Errors
    /// None for a process that was built.
    pub fn sampling_schedule(&self) -> Result<SamplingSchedule, ProcessError> {
        let steps = (0..self.timestep_map.len()).rev().map(|index| self.step(index));
        Ok(SamplingSchedule::from_steps(steps.collect())?)
    }

    /// Smallest and largest σ: those of a consistency model, or of the schedule.
    pub(crate) fn sigma_range(&self) -> (f64, f64) {
        match self.config.consistency {
            Some(range) => (range.sigma_min, range.sigma_max),
            None => {
                let sigma = |index| self.schedule.level(index).sigma();
                (sigma(0), sigma(self.schedule.num_timesteps() - 1))
            }
        }
    }

    /// The coefficients with which the output of the network becomes x0, for predictions of noise, x0 and v.
    pub(crate) fn coefs(&self, level: NoiseLevel) -> PreconditioningCoefs {
        let (a, b) = (level.signal(), level.noise());
        let (skip, output) = match self.config.prediction {
            PredictionType::Velocity => (a, -b),
            PredictionType::Sample => (0.0, 1.0),
            _ => (1.0 / a, -b / a),
        };
        let time = self.config.time.at(level.timestep, self.config.schedule.num_timesteps());
        let coefs = PreconditioningCoefs { skip, output, input: 1.0, time };
        let Some(range) = self.config.consistency else { return coefs };
        // x0 + σ·ε is x/√ᾱ, so its share σ_min/σ is σ_min/√(1−ᾱ) of x.
        let kept = 1.0 - range.sigma_min * a / b;
        let skip = range.sigma_min / b + kept * skip;
        PreconditioningCoefs { skip, output: kept * output, ..coefs }
    }

    /// Checks that the prediction determines the image at every timestep.
    pub(crate) fn check_signal(&self) -> Result<(), ProcessError> {
        let last = self.schedule.alphas_cumprod()[self.schedule.num_timesteps() - 1];
        let undetermined = last == 0.0 && self.config.prediction == PredictionType::Epsilon;
        if undetermined { Err(ProcessError::NoSignal) } else { Ok(()) }
    }

    /// The step at an index of this process, with timesteps of the full one.
    fn step(&self, index: usize) -> SolverStep {
        let level = |index: usize| NoiseLevel {
            alpha_cumprod: self.schedule.alphas_cumprod()[index],
            timestep: self.timestep_map[index] as f64,
        };
        let to = index.checked_sub(1).map_or(NoiseLevel::NOISELESS, level);
        let beta = self.schedule.betas()[index];
        // β = 1 (zero terminal SNR) follows from ᾱ = 0; as an own β it would divide by 1 − β = 0.
        if beta < 1.0 {
            SolverStep::with_beta(level(index), to, beta)
        } else {
            SolverStep::new(level(index), to)
        }
    }

    /// The step of this process that starts at a level. Between two timesteps β is interpolated.
    pub(crate) fn own_step(&self, level: NoiseLevel) -> SolverStep {
        let map = &self.timestep_map;
        let high = map.partition_point(|&step| (step as f64) < level.timestep);
        let high = high.min(map.len() - 1);
        let exact = map[high] as f64 == level.timestep || high == 0;
        if exact {
            return self.step(high);
        }
        let (a, b) = (map[high - 1] as f64, map[high] as f64);
        let fraction = ((level.timestep - a) / (b - a)).clamp(0.0, 1.0);
        let (betas, to) = (self.schedule.betas(), self.step(high - 1).from);
        SolverStep::with_beta(
            level,
            to,
            betas[high - 1] + fraction * (betas[high] - betas[high - 1]),
        )
    }

    /// The forward process: adds noise to x0 up to timestep t, a sample of q(x_t | x_0) (Ho et al. 2020, eq. 4).
    ///
    /// # Shapes
    /// - x0, noise: [B, C, H, W]
    /// - t: `[B]`, i64 in 0..T
    /// - returns [B, C, H, W]
    ///
    /// # Errors
    /// Shapes that do not match, or t outside the process.
    pub fn q_sample(
        &self,
        x0: &Tensor,
        t: &Tensor,
        noise: &Tensor,
        forward_noise: ForwardNoise,
    ) -> Result<Tensor, ProcessError> {
        check_shapes(x0, t, noise)?;
        let signal = like(&self.tables.signal.f_index_select(0, t)?, x0)?;
        let variance = self.tables.noise_variance.f_index_select(0, t)?;
        let noise_scale = match forward_noise {
            ForwardNoise::Standard => variance.f_sqrt()?,
            ForwardNoise::SpritesNotebook => variance,
        };
        let noise_scale = like(&noise_scale, x0)?;
        Ok(signal.f_mul(x0)?.f_add(&noise_scale.f_mul(noise)?)?)
    }

    /// Mean and log-variance of the posterior q(x_{t−1} | x_t, x0) (Ho et al. 2020, eq. 7). At t = 0,
    /// where the variance is 0, the log-variance is that of t = 1.
    ///
    /// # Shapes
    /// - x0, x: [B, C, H, W]
    /// - t: `[B]`, i64 in 0..T
    /// - returns [B, C, H, W] and [B, 1, 1, 1]
    ///
    /// # Errors
    /// Shapes that do not match, or t outside the process.
    pub fn q_posterior(
        &self,
        x0: &Tensor,
        x: &Tensor,
        t: &Tensor,
    ) -> Result<(Tensor, Tensor), ProcessError> {
        check_shapes(x0, t, x)?;
        let scales = Scales::at(&self.tables, t, x)?;
        Ok((scales.posterior_mean(x0, x)?, scales.small))
    }

    /// Converts timesteps to the network's unit ([`TimeInput`](crate::TimeInput)).
    ///
    /// # Shapes
    /// - t: `[B]`, i64 in 0..T
    /// - returns `[B]` in f32
    ///
    /// # Errors
    /// t outside the process.
    pub fn network_time(&self, t: &Tensor) -> Result<Tensor, ProcessError> {
        Ok(self.times.f_index_select(0, t)?.f_to_kind(Kind::Float)?)
    }

    /// The timestep of a noise level in the network's unit, for a batch: `[B]` in f32.
    ///
    /// # Errors
    /// libtorch fails to allocate the tensor.
    pub fn network_time_at(&self, level: NoiseLevel, batch: i64) -> Result<Tensor, ProcessError> {
        let time = self.config.time.at(level.timestep, self.config.schedule.num_timesteps());
        Ok(Tensor::f_full([batch], time, (Kind::Float, self.times.device()))?)
    }

    /// All timesteps of a sampling schedule in the network's unit, rounded to f32 like its input, for
    /// embeddings that are computed in advance.
    pub fn network_times(&self, schedule: &SamplingSchedule) -> Vec<f64> {
        let total = self.config.schedule.num_timesteps();
        let at = |level: NoiseLevel| f64::from(self.config.time.at(level.timestep, total) as f32);
        schedule.steps().iter().map(|step| at(step.from)).collect()
    }
}

impl DiffusionProcess for Process {
    fn config(&self) -> DiffusionConfig {
        self.config.clone().into()
    }

    fn device(&self) -> Device {
        self.device()
    }

    fn predict(
        &self,
        network: &dyn Network,
        x: &Tensor,
        step: &SolverStep,
        conditioning: &Conditioning,
    ) -> Result<Prediction, ProcessError> {
        // At ᾱ = 0, x0 = (x − ε)/0: predicted noise does not determine the image.
        if self.config.prediction == PredictionType::Epsilon && step.from.alpha_cumprod == 0.0 {
            return Err(ProcessError::NoSignal);
        }
        if self.config.consistency.is_some() {
            return predict_with(self.coefs(step.from), x, step, |input, time| {
                Ok(network.forward(input, time, conditioning)?)
            });
        }
        let t = self.network_time_at(step.from, x.size()[0])?;
        let out = network.forward(x, &t, conditioning)?;
        // A posterior mean was learned for the step of the full process, whatever the sampling schedule.
        let own = match self.config.prediction {
            PredictionType::PosteriorMean => self.own_step(step.from),
            _ => *step,
        };
        let scales = Scales::of_step(step, &own, x)?;
        let mut prediction = prediction_from_output(&self.config, &out, x, &scales)?;
        if own.to != step.to {
            // The network predicts the posterior mean of its own step, not of this one.
            prediction.mean = None;
        }
        Ok(prediction)
    }

    fn clips(&self) -> bool {
        self.config.clip
    }

    fn network_output(&self) -> NetworkOutput {
        self.config.prediction.into()
    }

    fn noise_levels(&self) -> &dyn NoiseLevels {
        &self.schedule
    }

    fn spaced(&self, spacing: &LevelSpacing) -> Result<SamplingSchedule, ProcessError> {
        let timesteps = matches!(spacing, LevelSpacing::Timesteps(_));
        if timesteps || self.config.consistency.is_none() {
            return Ok(spacing.sampling_schedule(&self.schedule)?);
        }
        let sigmas = consistency_sigmas(spacing, self.sigma_range())?;
        Ok(SamplingSchedule::from_sigmas(&self.schedule, sigmas)?)
    }

    fn network_times(&self, schedule: &SamplingSchedule) -> Vec<f64> {
        self.network_times(schedule)
    }

    fn training_levels(&self) -> usize {
        match self.config.consistency {
            Some(_) => ContinuousProcess::QUANTILES,
            None => self.schedule.num_timesteps(),
        }
    }

    fn objective(
        &self,
        config: &ObjectiveConfig,
    ) -> Result<Box<dyn TrainingObjective + Send>, ProcessError> {
        let (schedule, map) = (self.schedule.clone(), self.timestep_map.clone());
        let process = Self::with_tables(&self.config, schedule, map, self.device())?;
        if self.config.consistency.is_some() {
            let objective = ConsistencyObjective::new(process.try_into()?, config)?;
            return Ok(Box::new(objective.ok_or(ProcessError::NotForConsistency)?));
        }
        Ok(Box::new(Objective::new(process, config)?))
    }

    fn timesteps(&self) -> Option<&Process> {
        self.config.consistency.is_none().then_some(self)
    }
}

/// Checks for one t per image and equal shapes of two batches.
fn check_shapes(x0: &Tensor, t: &Tensor, other: &Tensor) -> Result<(), ProcessError> {
    let error = |what, given: &Tensor, expected: String| {
        Err(ProcessError::Shape { what, given: given.size(), expected })
    };
    let shape = x0.size();
    match shape.first() {
        None => error("x0", x0, "[B, C, ...]".into()),
        _ if other.size() != shape => error("noise or x", other, format!("{shape:?}, that of x0")),
        Some(batch) if t.size() != [*batch] => {
            error("t", t, format!("[{batch}], one timestep for each image"))
        }
        _ => Ok(()),
    }
}
