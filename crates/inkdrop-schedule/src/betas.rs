//! Noise schedules by name: β as a function of the timestep.

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::error::{MAX_STEPS, require};
use crate::linspace::linspace;
use crate::{Schedule, ScheduleError};

/// The config of a noise schedule.
///
/// In JSON, `name` selects the schedule in kebab case:
/// `{"name":"scaled-linear","steps":1000,"beta_start":0.00085,"beta_end":0.012}`.
///
/// Every β must lie strictly between 0 and 1, except the last β of [`Betas`](Self::Betas) and
/// [`ZeroTerminalSnr`](Self::ZeroTerminalSnr), which may be 1.
///
/// To add a noise schedule, add a variant here and its betas to `tables`; configs and
/// checkpoints accept it by name. The names of `--process` are in `crates/inkdrop/src/model/processes.rs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The schedule of the sprites notebook: `steps + 1` betas, linear in f32. Timestep t of
    /// `1..=steps` uses entry t.
    Sprites {
        /// T, the number of timesteps.
        steps: usize,
        /// β at entry 0.
        beta_start: f64,
        /// β at entry T.
        beta_end: f64,
    },
    /// Linear β (Ho et al. 2020); see also [`linear`](Self::linear).
    Linear {
        /// T, the number of timesteps.
        steps: usize,
        /// First β; 0.1/T by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta_start: Option<f64>,
        /// Last β; 20/T by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta_end: Option<f64>,
    },
    /// Linear √β (Rombach et al. 2022). Stable Diffusion uses T = 1000, β from 0.00085 to 0.012.
    ScaledLinear {
        /// T, the number of timesteps.
        steps: usize,
        /// First β.
        beta_start: f64,
        /// Last β.
        beta_end: f64,
    },
    /// ᾱ follows a squared cosine, with β ≤ 0.999 (Nichol & Dhariwal 2021, eq. 17).
    Cosine {
        /// T, the number of timesteps.
        steps: usize,
    },
    /// β follows the logistic function from −6 to 6 (GeoDiff, Xu et al. 2022). The first and the last
    /// β differ from their limits by 0.25 % of the range.
    Sigmoid {
        /// T, the number of timesteps.
        steps: usize,
        /// β at −∞.
        beta_start: f64,
        /// β at ∞.
        beta_end: f64,
    },
    /// ᾱ follows the decreasing logistic function of u/τ, u from start to end, rescaled to run from
    /// 1 to 0, with β ≤ 0.999 (Jabri et al. 2022).
    SigmoidCumprod {
        /// T, the number of timesteps.
        steps: usize,
        /// First argument of the logistic function; −3 by default.
        #[serde(default = "minus_three")]
        start: f64,
        /// Last argument, above `start`; 3 by default.
        #[serde(default = "three")]
        end: f64,
        /// Temperature τ > 0; a larger one is closer to linear; 1 by default.
        #[serde(default = "one")]
        tau: f64,
    },
    /// [`SigmoidCumprod`](Self::SigmoidCumprod) as denoising-diffusion-pytorch computes it: the logistic
    /// function of both ends is rounded to f32, which shows in the last β.
    SigmoidLucid {
        /// T, the number of timesteps.
        steps: usize,
        /// First argument of the logistic function; −3 by default.
        #[serde(default = "minus_three")]
        start: f64,
        /// Last argument, above `start`; 3 by default.
        #[serde(default = "three")]
        end: f64,
        /// Temperature τ > 0; 1 by default.
        #[serde(default = "one")]
        tau: f64,
    },
    /// The same β at every timestep.
    Constant {
        /// T, the number of timesteps.
        steps: usize,
        /// β of every timestep.
        beta: f64,
    },
    /// Explicit βs.
    Betas {
        /// β of each timestep.
        betas: Vec<f64>,
    },
    /// Another schedule rescaled to zero terminal SNR (Lin et al. 2023, algorithm 1): √ᾱ is shifted
    /// and scaled so that the first ᾱ is unchanged and the last is 0.
    ///
    /// It does not apply to itself, to a single timestep, or to [`Sprites`](Self::Sprites), whose ᾱ
    /// is not the product of its betas. At the last timestep ε does not determine x0; use a network
    /// that predicts x0 or v.
    ZeroTerminalSnr {
        /// The schedule to rescale.
        of: Box<ScheduleConfig>,
    },
}

impl ScheduleConfig {
    /// The schedule of the sprites notebook: T = 500, β from 1e-4 to 0.02.
    pub const SPRITES: Self = Self::Sprites { steps: 500, beta_start: 1e-4, beta_end: 0.02 };

    /// The linear schedule of Ho et al. 2020 for any T: β from 0.1/T to 20/T.
    pub const fn linear(steps: usize) -> Self {
        Self::Linear { steps, beta_start: None, beta_end: None }
    }

    /// The cosine schedule of Nichol & Dhariwal 2021 with T timesteps.
    pub const fn cosine(steps: usize) -> Self {
        Self::Cosine { steps }
    }

    /// T, the number of timesteps.
    pub fn num_timesteps(&self) -> usize {
        match self {
            Self::Sprites { steps, .. }
            | Self::Linear { steps, .. }
            | Self::ScaledLinear { steps, .. }
            | Self::Cosine { steps }
            | Self::Sigmoid { steps, .. }
            | Self::SigmoidCumprod { steps, .. }
            | Self::SigmoidLucid { steps, .. }
            | Self::Constant { steps, .. } => *steps,
            Self::Betas { betas } => betas.len(),
            Self::ZeroTerminalSnr { of } => of.num_timesteps(),
        }
    }

    /// Computes the schedule with all derived tables.
    ///
    /// # Errors
    /// T outside 1 to a million, a β outside (0, 1), betas for which ᾱ stops decreasing, a parameter
    /// that is not finite or outside its range, or a schedule that has no zero-terminal-SNR form.
    pub fn build(&self) -> Result<Schedule, ScheduleError> {
        if !(1..=MAX_STEPS).contains(&self.num_timesteps()) {
            return Err(ScheduleError::NoSteps(self.num_timesteps()));
        }
        self.tables()
    }

    fn tables(&self) -> Result<Schedule, ScheduleError> {
        Schedule::from_betas(match *self {
            Self::Sprites { steps, beta_start, beta_end } => {
                return sprites(steps, beta_start, beta_end);
            }
            Self::ZeroTerminalSnr { ref of } => return zero_terminal_snr(of),
            Self::Betas { ref betas } => betas.clone().into(),
            Self::Constant { steps, beta } => Array1::from_elem(steps, beta),
            Self::Linear { steps, beta_start, beta_end } => linear(steps, beta_start, beta_end)?,
            Self::ScaledLinear { steps, beta_start, beta_end } => {
                scaled_linear(steps, beta_start, beta_end)?
            }
            Self::Cosine { steps } => cosine(steps),
            Self::Sigmoid { steps, beta_start, beta_end } => sigmoid(steps, beta_start, beta_end)?,
            Self::SigmoidCumprod { steps, start, end, tau } => {
                sigmoid_cumprod(steps, start, end, tau)?
            }
            Self::SigmoidLucid { steps, start, end, tau } => sigmoid_lucid(steps, start, end, tau)?,
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

/// Upper bound of β for schedules that are defined by ᾱ (Nichol & Dhariwal 2021).
const MAX_BETA: f64 = 0.999;

/// Linear β_i, from s·1e-4 to s·0.02 with s = 1000/T by default.
fn linear(
    steps: usize,
    start: Option<f64>,
    end: Option<f64>,
) -> Result<Array1<f64>, ScheduleError> {
    let scale = 1000.0 / steps as f64;
    let (start, end) = (start.unwrap_or(scale * 1e-4), end.unwrap_or(scale * 0.02));
    finite(&[("beta_start", start), ("beta_end", end)])?;
    Ok(Array1::from_shape_fn(steps, linspace(start, end, steps)))
}

/// Linear √β_i.
fn scaled_linear(steps: usize, start: f64, end: f64) -> Result<Array1<f64>, ScheduleError> {
    finite(&[("beta_start", start), ("beta_end", end)])?;
    // Below 0 there is no root.
    for (index, value) in [(0, start), (steps - 1, end)] {
        if value <= 0.0 {
            return Err(ScheduleError::Beta { index, value });
        }
    }
    let root = linspace(start.sqrt(), end.sqrt(), steps);
    Ok(Array1::from_shape_fn(steps, |i| root(i).powi(2)))
}

/// β_i = start + (end − start)/(1 + e^(−u_i)), u from −6 to 6.
fn sigmoid(steps: usize, start: f64, end: f64) -> Result<Array1<f64>, ScheduleError> {
    finite(&[("beta_start", start), ("beta_end", end)])?;
    let u = linspace(-6.0, 6.0, steps);
    Ok(Array1::from_shape_fn(steps, |i| (end - start) / (1.0 + (-u(i)).exp()) + start))
}

/// β_i = min(1 − ᾱ((i+1)/T)/ᾱ(i/T), 0.999), ᾱ(u) = cos²((u + 0.008)/1.008·π/2).
fn cosine(steps: usize) -> Array1<f64> {
    let alpha_bar = |u: f64| ((u + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let at = |i: usize| alpha_bar(i as f64 / steps as f64);
    let mut before = at(0);
    Array1::from_shape_fn(steps, |i| {
        let bar = at(i + 1);
        let beta = (1.0 - bar / before).min(MAX_BETA);
        before = bar;
        beta
    })
}

/// β_i = min(1 − ᾱ(x_{i+1})/ᾱ(x_i), 0.999), x from start/τ to end/τ,
/// ᾱ(x) = (σ(x_T) − σ(x))/(σ(x_T) − σ(x_0)) with the logistic function σ.
///
/// The difference is written as σ(x_T)·(1 − e^(x − x_T))/(1 + e^x), which is exact near the end.
/// Factors that do not depend on x cancel in the ratio.
fn sigmoid_cumprod(
    steps: usize,
    start: f64,
    end: f64,
    tau: f64,
) -> Result<Array1<f64>, ScheduleError> {
    check_cumprod(start, end, tau)?;
    let last = end / tau;
    let at = |i: usize| {
        let x = (i as f64 / steps as f64 * (end - start) + start) / tau;
        let x = if i == steps { last } else { x };
        -(x - last).exp_m1() / (1.0 + x.exp())
    };
    let beta = |i: usize| 1.0 - at(i + 1) / at(i);
    // Not f64::min, which would take 0.999 for a NaN.
    Ok(Array1::from_shape_fn(steps, |i| if beta(i) > MAX_BETA { MAX_BETA } else { beta(i) }))
}

/// ᾱ(u) = (v_T − σ(u/τ))/(v_T − v_0), β clipped to [0, 0.999]; v_0, v_T and their difference in f32.
fn sigmoid_lucid(
    steps: usize,
    start: f64,
    end: f64,
    tau: f64,
) -> Result<Array1<f64>, ScheduleError> {
    check_cumprod(start, end, tau)?;
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    // Every operation is rounded to f32: where ᾱ is below 1e-6, one bit of v_T decides it.
    let rounded = |x: f64| 1.0 / (1.0 + (-f64::from((x / tau) as f32)).exp() as f32);
    let (first, last) = (rounded(start), rounded(end));
    let (last, span) = (f64::from(last), f64::from(last - first));
    let at = |i: usize| {
        let u = i as f64 / steps as f64;
        (last - logistic((u * (end - start) + start) / tau)) / span
    };
    Ok(Array1::from_shape_fn(steps, |i| {
        let beta = 1.0 - at(i + 1) / at(i);
        if beta.is_nan() { beta } else { beta.clamp(0.0, MAX_BETA) }
    }))
}

fn check_cumprod(start: f64, end: f64, tau: f64) -> Result<(), ScheduleError> {
    finite(&[("start", start), ("end", end)])?;
    require(tau > 0.0 && tau.is_finite(), "tau", tau, "a finite number above 0")?;
    if start >= end {
        return Err(ScheduleError::Order { low: ("start", start), high: ("end", end) });
    }
    // e^x must be finite.
    require(end / tau <= 700.0, "end", end, "at most 700 times tau")
}

fn finite(fields: &[(&'static str, f64)]) -> Result<(), ScheduleError> {
    fields
        .iter()
        .try_for_each(|&(name, value)| require(value.is_finite(), name, value, "a finite number"))
}

/// The tables of the sprites notebook from its f32 betas, without entry 0.
///
/// β of entry 0 is a factor of every later ᾱ, while ᾱ_0 itself is set to 1. The first timestep
/// therefore violates ᾱ_t = ᾱ_{t−1}·α_t.
fn sprites(steps: usize, start: f64, end: f64) -> Result<Schedule, ScheduleError> {
    let (span, start) = ((end - start) as f32, start as f32);
    let beta = |i: usize| span * unit_linspace(i, steps) + start;
    let mut log_sum = 0.0;
    let mut betas = Vec::with_capacity(steps + 1);
    let mut alphas_cumprod = Vec::with_capacity(steps + 1);
    for i in 0..=steps {
        log_sum += f64::from(1.0 - beta(i)).ln();
        betas.push(f64::from(beta(i)));
        alphas_cumprod.push(stored_sum(log_sum).exp());
    }
    Schedule::from_parts(betas[1..].to_vec().into(), alphas_cumprod[1..].to_vec().into())
}

/// The running sum of ln α with the f32 rounding of the notebook.
///
/// The rounding of an entry near a tie depends on the machine's logarithm; PyTorch itself differs
/// between machines. Below 4 the choice moves ᾱ by at most 1.2e-7, so the exact sum is within reach of
/// every machine. Above 4 rounding moves ᾱ by more, so we round.
fn stored_sum(sum: f64) -> f64 {
    if sum.abs() < 4.0 { sum } else { f64::from(sum as f32) }
}

/// Entry i of PyTorch's `linspace(0, 1, steps + 1)` in f32, which counts from the nearer end.
fn unit_linspace(i: usize, steps: usize) -> f32 {
    let stride = 1.0f32 / steps as f32;
    if i < steps.div_ceil(2) { stride * i as f32 } else { 1.0 - stride * (steps - i) as f32 }
}

/// Rescales √ᾱ so that the last is 0 and the first is unchanged (Lin et al. 2023, algorithm 1).
fn zero_terminal_snr(of: &ScheduleConfig) -> Result<Schedule, ScheduleError> {
    match of {
        ScheduleConfig::ZeroTerminalSnr { .. } => return refuse("another zero-terminal-snr"),
        ScheduleConfig::Sprites { .. } => {
            return refuse("sprites, whose alpha-bar is not the product of its betas");
        }
        _ if of.num_timesteps() == 1 => {
            return refuse("a single step, which would have to be both as it was and 0");
        }
        _ => {}
    }
    let of = of.build()?;
    let roots = of.sqrt_alphas_cumprod();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let bars = roots.mapv(|root| ((root - last) * (first / (first - last))).powi(2));
    Schedule::from_betas(Array1::from_shape_fn(bars.len(), |i| match i {
        0 => of.betas()[0],
        _ => 1.0 - bars[i] / bars[i - 1],
    }))
}

fn refuse(what: &'static str) -> Result<Schedule, ScheduleError> {
    Err(ScheduleError::ZeroTerminal(what))
}
