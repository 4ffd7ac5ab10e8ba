//! What a schedule or a spacing cannot be.

/// Longer processes are mistakes, and would not fit into memory.
pub(crate) const MAX_STEPS: usize = 1_000_000;

/// A schedule, a spacing, a grid of noise levels or a weight that cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// A diffusion process has at least one step, and a million at most.
    #[error("steps {0}: a schedule has 1 to 1000000 steps")]
    NoSteps(usize),
    /// Some β is outside (0, 1).
    #[error(
        "beta[{index}] = {value}: every beta must lie strictly between 0 and 1, but for a last one of 1 that leaves nothing of the data"
    )]
    Beta {
        /// Position in the schedule, from 0.
        index: usize,
        /// The value there.
        value: f64,
    },
    /// ᾱ does not fall, or reaches 0 although no β is 1.
    #[error(
        "alphas_cumprod[{index}] = {value} after {before}: it must fall at every step and stay above 0; the betas are too large or too small, or the steps too many"
    )]
    AlphaBar {
        /// Position in the schedule, from 0.
        index: usize,
        /// The value there.
        value: f64,
        /// The value before it; 1 at position 0.
        before: f64,
    },
    /// Two tables of a schedule differ in length.
    #[error("{betas} betas and {alphas_cumprod} alphas_cumprod: expected as many of both")]
    Lengths {
        /// Entries of β.
        betas: usize,
        /// Entries of ᾱ.
        alphas_cumprod: usize,
    },
    /// No zero terminal can be made of this schedule.
    #[error("zero-terminal-snr of {0}: expected another schedule of 2 steps or more")]
    ZeroTerminal(&'static str),
    /// A number is outside its range.
    #[error("{name} = {value}: expected {expected}")]
    Field {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The values it may have.
        expected: &'static str,
    },
    /// Two numbers are in the wrong order.
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
    /// There is at least one noise level, and a million at most.
    #[error("n = {0}: expected 1 to 1000000 noise levels")]
    Levels(usize),
    /// More steps were asked for than there are, or none.
    #[error("{asked} sampling steps were asked for: expected 1 to {available}")]
    StepCount {
        /// The number asked for.
        asked: usize,
        /// The number of steps of the full process.
        available: usize,
    },
    /// A section of the process is shorter than the steps asked of it.
    #[error("section {section} has {size} steps, {asked} were asked of it")]
    Section {
        /// The section, from 0.
        section: usize,
        /// Its steps.
        size: usize,
        /// The steps asked for.
        asked: usize,
    },
    /// No integer stride gives that many steps.
    #[error(
        "no integer stride picks exactly {asked} of {available} steps; try `{asked}`, which picks with a fractional stride"
    )]
    NoStride {
        /// The number asked for.
        asked: usize,
        /// The number of steps of the full process.
        available: usize,
    },
    /// An offset moves the last step out of the process.
    #[error("offset {offset} moves the last step to {last}: expected it to stay below {available}")]
    Offset {
        /// The offset.
        offset: usize,
        /// The last step with it.
        last: usize,
        /// The number of steps of the full process.
        available: usize,
    },
    /// Quadratic steps are less than one step apart at the start.
    #[error(
        "{asked} quadratic steps would visit some of {available} steps twice: ask for {most} at most, or for `linspace{asked}`"
    )]
    Crowded {
        /// The number asked for.
        asked: usize,
        /// The largest number without a step twice.
        most: usize,
        /// The number of steps of the full process.
        available: usize,
    },
    /// Kept steps must rise and stay inside the process.
    #[error(
        "kept step {step} at position {position}: kept steps must rise strictly and stay below {available}"
    )]
    Kept {
        /// Position in the list.
        position: usize,
        /// The step named there.
        step: usize,
        /// The number of steps of the full process.
        available: usize,
    },
    /// A step of a path must not add noise.
    #[error(
        "step {leg} of the path ends with more noise than it starts with, or its alpha-bar is outside 0 to 1"
    )]
    Rises {
        /// The step, from 0.
        leg: usize,
    },
    /// The text names no noise levels.
    #[error(
        "`{0}` names no noise levels: expected karras20, exponential20, polyexponential20, vp20 (the number is that of steps; karras20:5 sets rho) or a timestep spacing such as 20, ddim20, leading20+1, trailing20, linspace20, quadratic20, at:0,10,500"
    )]
    UnknownLevels(String),
    /// The text is no spacing.
    #[error(
        "`{0}` is no timestep spacing: expected a count such as `50`, sections such as `10,15,20`, `ddim50`, `trailing50`, `leading50`, `leading50+1`, `linspace50`, `quadratic20`, the steps themselves such as `at:0,10,500`, or nothing for all steps"
    )]
    Spacing(String),
    /// The text is no prediction target.
    #[error(
        "`{0}` is no prediction target: expected `epsilon`, `start-x` (or `sample`), `previous-x` or `v` (or `v-prediction`)"
    )]
    MeanType(String),
}

/// An error that names the parameter, its value and what it may be, unless `holds`.
pub(crate) fn require(
    holds: bool,
    name: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<(), ScheduleError> {
    if holds { Ok(()) } else { Err(ScheduleError::Field { name, value, expected }) }
}
