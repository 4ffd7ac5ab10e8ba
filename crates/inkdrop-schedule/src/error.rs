//! What a schedule or a spacing cannot be.

/// A schedule or spacing that cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// A diffusion process has at least one step, and a million at most.
    #[error("steps {0}: a schedule has 1 to 1000000 steps")]
    NoSteps(usize),
    /// Some β is outside (0, 1).
    #[error("beta[{index}] = {value}: every beta must lie strictly between 0 and 1")]
    Beta {
        /// Position in the schedule, from 0.
        index: usize,
        /// The value there.
        value: f64,
    },
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
    #[error("step {leg} of the path ends with more noise than it starts with, or its alpha-bar is outside 0 to 1")]
    Rises {
        /// The step, from 0.
        leg: usize,
    },
    /// The text is no spacing.
    #[error(
        "`{0}` is no timestep spacing: expected a count such as `50`, sections such as `10,15,20`, `ddim50`, `trailing50` or nothing for all steps"
    )]
    Spacing(String),
}
