//! The named schedules: how much noise each step adds.

mod curves;
mod sprites;
mod terminal;

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::{Schedule, ScheduleError, error::MAX_STEPS};

/// A noise schedule by name, as configs spell it.
///
/// In JSON the name stands in `name`, in kebab case:
/// `{"name":"scaled-linear","steps":1000,"beta_start":0.00085,"beta_end":0.012}`.
///
/// All βs must lie strictly between 0 and 1; only the last of
/// [`Betas`](Self::Betas) and [`ZeroTerminalSnr`](Self::ZeroTerminalSnr) is or may be 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The sprites notebook's: `steps + 1` betas on a straight line in f32;
    /// step t of 1..=steps uses entry t.
    Sprites {
        /// T, the number of steps.
        steps: usize,
        /// β at entry 0.
        beta_start: f64,
        /// β at entry T.
        beta_end: f64,
    },
    /// Ho et al. 2020: β on a straight line; see also [`linear`](Self::linear).
    Linear {
        /// T, the number of steps.
        steps: usize,
        /// First β; 0.1/T if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta_start: Option<f64>,
        /// Last β; 20/T if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta_end: Option<f64>,
    },
    /// Rombach et al. 2022 (latent diffusion): √β on a straight line.
    /// Stable Diffusion has T = 1000, β from 0.00085 to 0.012.
    ScaledLinear {
        /// T, the number of steps.
        steps: usize,
        /// First β.
        beta_start: f64,
        /// Last β.
        beta_end: f64,
    },
    /// Nichol & Dhariwal 2021, eq. 17: ᾱ follows a squared cosine, β ≤ 0.999.
    Cosine {
        /// T, the number of steps.
        steps: usize,
    },
    /// Xu et al. 2022 (GeoDiff): β follows the logistic function from −6 to 6,
    /// which leaves 0.25 % of the way between both ends at each end.
    Sigmoid {
        /// T, the number of steps.
        steps: usize,
        /// β at −∞.
        beta_start: f64,
        /// β at ∞.
        beta_end: f64,
    },
    /// Jabri et al. 2022: ᾱ follows the falling logistic function of
    /// u/τ, u from start to end, brought to run from 1 to 0; β ≤ 0.999.
    SigmoidCumprod {
        /// T, the number of steps.
        steps: usize,
        /// Where on the logistic function the process begins; −3 if not given.
        #[serde(default = "minus_three")]
        start: f64,
        /// Where it ends, above `start`; 3 if not given.
        #[serde(default = "three")]
        end: f64,
        /// τ > 0, the temperature: larger is closer to a straight line; 1 if not given.
        #[serde(default = "one")]
        tau: f64,
    },
    /// The same β at every step.
    Constant {
        /// T, the number of steps.
        steps: usize,
        /// β of each.
        beta: f64,
    },
    /// Explicit βs.
    Betas {
        /// β of each step.
        betas: Vec<f64>,
    },
    /// Lin et al. 2023, algorithm 1: another schedule, its √ᾱ shifted and scaled
    /// so that the first ᾱ stays and the last is 0, its β 1.
    ///
    /// Not of itself, of a single step, or of [`Sprites`](Self::Sprites), whose
    /// ᾱ is not the product of its betas. What predicts ε learns nothing about
    /// x0 at the last step; x0 or v do.
    ZeroTerminalSnr {
        /// The schedule to change.
        of: Box<ScheduleConfig>,
    },
}

impl ScheduleConfig {
    /// The sprites notebook's own numbers: T = 500, β from 1e-4 to 0.02.
    pub const SPRITES: Self = Self::Sprites { steps: 500, beta_start: 1e-4, beta_end: 0.02 };

    /// Ho et al. 2020, scaled to any T: β from 0.1/T to 20/T.
    pub const fn linear(steps: usize) -> Self {
        Self::Linear { steps, beta_start: None, beta_end: None }
    }

    /// Nichol & Dhariwal 2021 in T steps.
    pub const fn cosine(steps: usize) -> Self {
        Self::Cosine { steps }
    }

    /// T, the number of steps.
    pub fn steps(&self) -> usize {
        match self {
            Self::Sprites { steps, .. }
            | Self::Linear { steps, .. }
            | Self::ScaledLinear { steps, .. }
            | Self::Cosine { steps }
            | Self::Sigmoid { steps, .. }
            | Self::SigmoidCumprod { steps, .. }
            | Self::Constant { steps, .. } => *steps,
            Self::Betas { betas } => betas.len(),
            Self::ZeroTerminalSnr { of } => of.steps(),
        }
    }

    /// The schedule with all derived tables.
    ///
    /// # Errors
    /// No steps or more than a million, a β outside (0, 1), βs so large or small
    /// that ᾱ stops falling, a parameter that is not finite or outside its
    /// range, or a schedule whose terminal cannot be made zero.
    pub fn build(&self) -> Result<Schedule, ScheduleError> {
        if !(1..=MAX_STEPS).contains(&self.steps()) {
            return Err(ScheduleError::NoSteps(self.steps()));
        }
        self.tables()
    }

    fn tables(&self) -> Result<Schedule, ScheduleError> {
        Schedule::from_betas(match *self {
            Self::Sprites { steps, beta_start, beta_end } => {
                return sprites::sprites(steps, beta_start, beta_end);
            }
            Self::ZeroTerminalSnr { ref of } => return terminal::zero_terminal(of),
            Self::Betas { ref betas } => betas.clone().into(),
            Self::Constant { steps, beta } => Array1::from_elem(steps, beta),
            Self::Linear { steps, beta_start, beta_end } => {
                curves::linear(steps, beta_start, beta_end)?
            }
            Self::ScaledLinear { steps, beta_start, beta_end } => {
                curves::scaled_linear(steps, beta_start, beta_end)?
            }
            Self::Cosine { steps } => curves::cosine(steps),
            Self::Sigmoid { steps, beta_start, beta_end } => {
                curves::sigmoid(steps, beta_start, beta_end)?
            }
            Self::SigmoidCumprod { steps, start, end, tau } => {
                curves::sigmoid_cumprod(steps, start, end, tau)?
            }
        })
    }
}

fn minus_three() -> f64 {
    -3.0
}

fn three() -> f64 {
    3.0
}

fn one() -> f64 {
    1.0
}
