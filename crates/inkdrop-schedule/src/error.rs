//! Errors of schedules, spacings and σ grids.

/// Upper bound of the number of steps of a process and of a run; more are a typing error and would not fit into memory.
pub const MAX_STEPS: usize = 1_000_000;

/// An invalid noise schedule, timestep spacing, σ grid or loss weight.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// T outside 1 to a million.
    #[error("steps {0}: expected 1 to 1000000")]
    NoSteps(usize),
    /// A β outside (0, 1).
    #[error("beta[{index}] = {value}: expected strictly between 0 and 1 (the last beta may be 1)")]
    Beta {
        /// Position in the schedule, from 0.
        index: usize,
        /// The value there.
        value: f64,
    },
    /// ᾱ does not decrease, or reaches 0 although no β is 1.
    #[error(
        "alphas_cumprod[{index}] = {value} after {before}: expected a strictly decreasing value above 0; the betas are too large or too small, or there are too many steps"
    )]
    AlphaBar {
        /// Position in the schedule, from 0.
        index: usize,
        /// The value there.
        value: f64,
        /// The value before it; 1 at position 0.
        before: f64,
    },
    /// Tables of different lengths.
    #[error("{betas} betas and {alphas_cumprod} alphas_cumprod: expected equal lengths")]
    Lengths {
        /// Length of the betas.
        betas: usize,
        /// Length of ᾱ.
        alphas_cumprod: usize,
    },
    /// The schedule has no zero-terminal-SNR form.
    #[error("zero-terminal-snr of {0}: expected another schedule of 2 steps or more")]
    ZeroTerminal(&'static str),
    /// A spacing of timesteps for continuous noise levels.
    #[error(
        "spacing {0} counts timesteps, this process has continuous noise levels: expected karras, exponential, polyexponential, vp or flow with a number of steps, such as karras18"
    )]
    NoTimesteps(String),
    /// A number outside its range.
    #[error("{name} = {value}: expected {expected}")]
    Field {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Its valid range.
        expected: &'static str,
    },
    /// Two numbers in the wrong order.
    #[error(
        "{} = {} and {} = {}: expected {} to be below {}",
        low.0, low.1, high.0, high.1, low.0, high.0
    )]
    Order {
        /// The parameter that should be the lower, and its value.
        low: (&'static str, f64),
        /// The parameter that should be the higher, and its value.
        high: (&'static str, f64),
    },
    /// The length of a σ grid is outside 1 to a million.
    #[error("n = {0}: expected 1 to 1000000 noise levels")]
    LevelCount(usize),
    /// The number of sampling steps is 0 or exceeds the process.
    #[error("{requested} sampling steps: expected 1 to {available}")]
    StepCount {
        /// The requested number.
        requested: usize,
        /// T of the full process.
        available: usize,
    },
    /// A section of the process has fewer timesteps than requested.
    #[error("section {section} of the process has {size} timesteps: expected at least {requested}")]
    Section {
        /// The section, from 0.
        section: usize,
        /// Its number of timesteps.
        size: usize,
        /// The requested number.
        requested: usize,
    },
    /// No integer stride gives this many timesteps.
    #[error(
        "no integer stride gives exactly {requested} of {available} timesteps: use `{requested}`, which allows a fractional stride"
    )]
    NoStride {
        /// The requested number.
        requested: usize,
        /// T of the full process.
        available: usize,
    },
    /// An offset moves the last timestep out of the process.
    #[error("offset {offset} moves the last timestep to {last}: expected below {available}")]
    Offset {
        /// The offset.
        offset: usize,
        /// The last timestep with it.
        last: usize,
        /// T of the full process.
        available: usize,
    },
    /// Quadratic timesteps repeat at the start.
    #[error(
        "{requested} quadratic timesteps of {available} repeat: expected at most {most}, or use `linspace{requested}`"
    )]
    RepeatedTimesteps {
        /// The requested number.
        requested: usize,
        /// The largest number without repetition.
        most: usize,
        /// T of the full process.
        available: usize,
    },
    /// Timesteps must increase strictly and lie inside the process.
    #[error(
        "timestep {timestep} at position {position}: expected strictly increasing timesteps below {available}"
    )]
    TimestepMap {
        /// Position in the list.
        position: usize,
        /// The timestep there.
        timestep: usize,
        /// T of the full process.
        available: usize,
    },
    /// Noise increases within a sampling schedule.
    #[error("sampling step {step}: expected noise to decrease, and alpha-bar between 0 and 1")]
    NoiseRises {
        /// The step, from 0.
        step: usize,
    },
    /// A given noise level does not fit.
    #[error("sigma {sigma}: expected decreasing noise levels between {sigma_max} and {sigma_min}")]
    Sigma {
        /// The noise level.
        sigma: f64,
        /// The smallest one of the process.
        sigma_min: f64,
        /// The largest one of the process.
        sigma_max: f64,
    },
    /// Unknown level spacing.
    #[error(
        "spacing `{0}`: expected karras20, exponential20, polyexponential20, vp20, flow20 (20 is the number of steps; karras20:5 sets rho), sigmas:80,2.5,0.8 or a timestep spacing such as 20, sections10,15,20, ddim20, leading20+1, trailing20, truncated20, linspace20, quadratic20, at:0,10,500"
    )]
    LevelSpacing(String),
    /// Unknown timestep spacing.
    #[error(
        "timestep spacing `{0}`: expected a count such as `50`, sections such as `10,15,20`, `ddim50`, `trailing50`, `truncated50`, `leading50`, `leading50+1`, `linspace50`, `quadratic20`, a list of timesteps such as `at:0,10,500`, or nothing for all timesteps"
    )]
    TimestepSpacing(String),
    /// Unknown prediction type.
    #[error(
        "prediction type `{0}`: expected `epsilon`, `sample` (or `start_x`), `posterior-mean` (or `previous_x`) or `velocity` (or `v_prediction`)"
    )]
    PredictionType(String),
}

/// Returns an error with the parameter, its value and its valid range unless `holds`.
pub(crate) fn require(
    holds: bool,
    name: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<(), ScheduleError> {
    if holds { Ok(()) } else { Err(ScheduleError::Field { name, value, expected }) }
}
