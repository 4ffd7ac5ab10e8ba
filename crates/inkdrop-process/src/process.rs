//! The process: its tables on a device, and in which units a network sees time.

use inkdrop_schedule::{Leg, Level, MeanType, Path, Schedule, Spacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use ndarray::Array1;

use crate::tables::{Scales, Tables, like};
use crate::{Noising, ProcessConfig, ProcessError};

/// A process with its tables on a device.
#[derive(Debug)]
pub struct Process {
    config: ProcessConfig,
    schedule: Schedule,
    kept: Vec<usize>,
    times: Tensor,
    pub(crate) tables: Tables,
}

impl Process {
    /// The full process of a config.
    ///
    /// # Errors
    /// The schedule cannot be.
    pub fn new(config: &ProcessConfig, device: Device) -> Result<Self, ProcessError> {
        let schedule = config.schedule.build()?;
        let kept = (0..schedule.steps()).collect();
        Self::with_tables(config, schedule, kept, device)
    }

    /// The same process in fewer steps; the network still sees the times it was trained with.
    ///
    /// This is improved-diffusion's SpacedDiffusion: losses, likelihoods and the meaning of
    /// learned variances and of `previous_x` are those of the shorter process.
    /// [`Spacing::All`] gives this very process back, with its own β.
    ///
    /// # Errors
    /// The spacing asks for steps that there are not.
    pub fn respaced(&self, spacing: &Spacing) -> Result<Self, ProcessError> {
        let picks = spacing.picks(self.schedule.steps())?;
        let schedule = if picks.len() == self.schedule.steps() {
            self.schedule.clone()
        } else {
            self.schedule.respaced(&picks)?
        };
        let kept = picks.iter().map(|&pick| self.kept[pick]).collect();
        Self::with_tables(&self.config, schedule, kept, self.times.device())
    }

    fn with_tables(
        config: &ProcessConfig,
        schedule: Schedule,
        kept: Vec<usize>,
        device: Device,
    ) -> Result<Self, ProcessError> {
        let total = config.schedule.steps();
        let times: Array1<f64> =
            kept.iter().map(|&step| config.time.at(step as f64, total)).collect();
        Ok(Self {
            times: Tensor::f_from_slice(&times.to_vec())?.f_to_device(device)?,
            tables: Tables::new(&schedule, device)?,
            config: config.clone(),
            schedule,
            kept,
        })
    }

    /// What the process was made from.
    pub fn config(&self) -> &ProcessConfig {
        &self.config
    }

    /// The tables, in f64.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Which steps of the full process these are, rising.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Where the tables are.
    pub fn device(&self) -> Device {
        self.times.device()
    }

    /// The way through all steps of the process, the last first.
    ///
    /// # Errors
    /// Never for a process that could be made.
    pub fn path(&self) -> Result<Path, ProcessError> {
        Ok(Path::of_legs((0..self.kept.len()).rev().map(|index| self.leg(index)).collect())?)
    }

    /// Makes sure that what the network predicts says something about the image at every step.
    pub(crate) fn check_signal(&self) -> Result<(), ProcessError> {
        let last = self.schedule.alphas_cumprod()[self.schedule.steps() - 1];
        let silent = last == 0.0 && self.config.mean == MeanType::Epsilon;
        if silent { Err(ProcessError::NoSignal) } else { Ok(()) }
    }

    /// The step at an index of this process, at its time in the full one.
    fn leg(&self, index: usize) -> Leg {
        let level = |index: usize| Level {
            alpha_cumprod: self.schedule.alphas_cumprod()[index],
            time: self.kept[index] as f64,
        };
        let to = index.checked_sub(1).map_or(Level::CLEAN, level);
        let beta = self.schedule.betas()[index];
        if beta < 1.0 { Leg::with_beta(level(index), to, beta) } else { Leg::new(level(index), to) }
    }

    /// The step of this process that starts at a level; of the two nearest ones' β where it lies
    /// between them.
    pub(crate) fn own_leg(&self, level: Level) -> Leg {
        let high = self.kept.partition_point(|&step| (step as f64) < level.time);
        let high = high.min(self.kept.len() - 1);
        let exact = self.kept[high] as f64 == level.time || high == 0;
        if exact {
            return self.leg(high);
        }
        let (a, b) = (self.kept[high - 1] as f64, self.kept[high] as f64);
        let part = ((level.time - a) / (b - a)).clamp(0.0, 1.0);
        let (betas, to) = (self.schedule.betas(), self.leg(high - 1).from);
        Leg::with_beta(level, to, betas[high - 1] + part * (betas[high] - betas[high - 1]))
    }

    /// x after step t of the forward process (Ho et al. 2020, eq. 4).
    ///
    /// # Shapes
    /// - x0, noise: [B, C, H, W]
    /// - t: `[B]`, i64 in 0..T
    /// - returns [B, C, H, W]
    ///
    /// # Errors
    /// Shapes that do not fit, or t outside the process.
    pub fn q_sample(
        &self,
        x0: &Tensor,
        t: &Tensor,
        noise: &Tensor,
        noising: Noising,
    ) -> Result<Tensor, ProcessError> {
        check_shapes(x0, t, noise)?;
        let signal = like(&self.tables.signal.f_index_select(0, t)?, x0)?;
        let variance = self.tables.noise_variance.f_index_select(0, t)?;
        let spread = match noising {
            Noising::Exact => variance.f_sqrt()?,
            Noising::Published => variance,
        };
        let spread = like(&spread, x0)?;
        Ok(signal.f_mul(x0)?.f_add(&spread.f_mul(noise)?)?)
    }

    /// Mean and ln of the variance of q(x_{t−1} | x_t, x0) (Ho et al. 2020, eq. 7); at t = 0, where
    /// the variance is 0, the logarithm is that of t = 1.
    ///
    /// # Shapes
    /// - x0, x: [B, C, H, W]
    /// - t: `[B]`, i64 in 0..T
    /// - returns [B, C, H, W] and [B, 1, 1, 1]
    ///
    /// # Errors
    /// Shapes that do not fit, or t outside the process.
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

    /// What the network is given as t.
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

    /// What the network is given as t at one level, for a whole batch: `[B]` in f32.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn network_time_at(&self, level: Level, batch: i64) -> Result<Tensor, ProcessError> {
        let time = self.config.time.at(level.time, self.config.schedule.steps());
        Ok(Tensor::f_full([batch], time, (Kind::Float, self.times.device()))?)
    }

    /// What the network is given as t at the start of each leg of a path, rounded as its t is: for
    /// what it can compute beforehand.
    pub fn network_times(&self, path: &Path) -> Vec<f64> {
        let steps = self.config.schedule.steps();
        let at = |level: Level| f64::from(self.config.time.at(level.time, steps) as f32);
        path.legs().iter().map(|leg| at(leg.from)).collect()
    }
}

/// One t for each image, and two batches of one shape.
fn check_shapes(x0: &Tensor, t: &Tensor, other: &Tensor) -> Result<(), ProcessError> {
    let error = |what, given: &Tensor, expected: String| {
        Err(ProcessError::Shape { what, given: given.size(), expected })
    };
    let shape = x0.size();
    match shape.first() {
        None => error("x0", x0, "[B, C, ...]".into()),
        _ if other.size() != shape => error("noise or x", other, format!("{shape:?}, that of x0")),
        Some(batch) if t.size() != [*batch] => {
            error("t", t, format!("[{batch}], one step for each image"))
        }
        _ => Ok(()),
    }
}
