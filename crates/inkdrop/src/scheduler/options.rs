//! Arguments of a scheduler's `step` and `set_timesteps`.

use inkdrop_sampler::{Churn, Tau};

/// Arguments of a scheduler's `step`, which a pipeline takes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepOptions {
    /// DDIM: η, 0 to 1; `None` is 0. TCD: γ, 0 to 1; `None` is 0.3.
    pub eta: Option<f64>,
    /// DDIM: recomputes ε from the clipped x0 (`use_clipped_model_output`).
    pub use_clipped_model_output: bool,
    /// EDMEulerScheduler and FlowMatchHeunDiscreteScheduler: `s_churn`, `s_tmin`, `s_tmax`, `s_noise`.
    pub churn: Option<Churn>,
    /// SASolverScheduler: τ (`tau_func` of its constructor); `None` is 1 from timestep 200 to 800.
    pub tau: Option<Tau>,
}

/// Arguments of a scheduler's `set_timesteps` beside the number of steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TimestepOptions {
    /// `timesteps`, descending: DDPM, singlestep DPM-Solver, LCM, TCD, consistency models (their
    /// levels by index), flow matching. The number of steps is that of the list.
    pub timesteps: Option<Vec<f64>>,
    /// `sigmas`: t of flow matching before the shift; for EDM places on its curve, 0 to 1.
    pub sigmas: Option<Vec<f64>>,
    /// `mu`, the dynamic shift of flow matching.
    pub mu: Option<f64>,
    /// `strength` of LCM and TCD, above 0 up to 1.
    pub strength: Option<f64>,
    /// `original_inference_steps` of LCM and TCD.
    pub original_inference_steps: Option<usize>,
}
