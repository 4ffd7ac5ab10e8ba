//! Constructor arguments of diffusers' schedulers.

use inkdrop_schedule::ScheduleConfig;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::names::{
    Algorithm, BetaSchedule, Class, Interpolation, Last, Predicts, SolverType, TimestepSpacing,
    TimestepType, VarianceType,
};
use crate::Result;
use crate::error::{bail, ensure};

/// The arguments of all classes; `None` is the default of the class.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Arguments {
    /// `num_train_timesteps`.
    pub num_train_timesteps: usize,
    /// `beta_start`.
    pub beta_start: Option<f64>,
    /// `beta_end`.
    pub beta_end: Option<f64>,
    /// `beta_schedule`.
    pub beta_schedule: BetaSchedule,
    /// `trained_betas`.
    pub trained_betas: Option<Vec<f64>>,
    /// `rescale_betas_zero_snr`.
    pub rescale_betas_zero_snr: bool,
    /// `prediction_type`.
    pub prediction_type: Predicts,
    /// `timestep_spacing`.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// `steps_offset`.
    pub steps_offset: usize,
    /// `timestep_type`.
    pub timestep_type: TimestepType,
    /// `interpolation_type`.
    pub interpolation_type: Interpolation,
    /// `use_karras_sigmas`.
    pub use_karras_sigmas: Option<bool>,
    /// `use_exponential_sigmas`.
    pub use_exponential_sigmas: Option<bool>,
    /// `use_lu_lambdas`.
    pub use_lu_lambdas: Option<bool>,
    /// `sigma_min`.
    pub sigma_min: Option<f64>,
    /// `sigma_max`.
    pub sigma_max: Option<f64>,
    /// `final_sigmas_type`.
    pub final_sigmas_type: Last,
    /// `lambda_min_clipped`.
    pub lambda_min_clipped: Option<f64>,
    /// `set_alpha_to_one`.
    pub set_alpha_to_one: Option<bool>,
    /// `skip_prk_steps`.
    pub skip_prk_steps: bool,
    /// `clip_sample`.
    pub clip_sample: Option<bool>,
    /// `clip_sample_range`.
    pub clip_sample_range: f64,
    /// `thresholding`.
    pub thresholding: bool,
    /// `dynamic_thresholding_ratio`.
    pub dynamic_thresholding_ratio: f64,
    /// `sample_max_value`.
    pub sample_max_value: f64,
    /// `variance_type`.
    pub variance_type: Option<VarianceType>,
    /// `solver_order`.
    pub solver_order: usize,
    /// `algorithm_type`.
    pub algorithm_type: Algorithm,
    /// `solver_type`.
    pub solver_type: Option<SolverType>,
    /// `lower_order_final`.
    pub lower_order_final: bool,
    /// `euler_at_final`.
    pub euler_at_final: bool,
    /// `predict_x0`.
    pub predict_x0: bool,
    /// `disable_corrector`.
    pub disable_corrector: Vec<usize>,
    /// Arguments that are not read.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: None,
            beta_end: None,
            beta_schedule: BetaSchedule::Linear,
            trained_betas: None,
            rescale_betas_zero_snr: false,
            prediction_type: Predicts::Epsilon,
            timestep_spacing: None,
            steps_offset: 0,
            timestep_type: TimestepType::Discrete,
            interpolation_type: Interpolation::Linear,
            use_karras_sigmas: None,
            use_exponential_sigmas: None,
            use_lu_lambdas: None,
            sigma_min: None,
            sigma_max: None,
            final_sigmas_type: Last::Zero,
            lambda_min_clipped: None,
            set_alpha_to_one: None,
            skip_prk_steps: false,
            clip_sample: None,
            clip_sample_range: 1.0,
            thresholding: false,
            dynamic_thresholding_ratio: 0.995,
            sample_max_value: 1.0,
            variance_type: None,
            solver_order: 2,
            algorithm_type: Algorithm::DpmsolverPp,
            solver_type: None,
            lower_order_final: true,
            euler_at_final: false,
            predict_x0: true,
            disable_corrector: Vec::new(),
            rest: Map::new(),
        }
    }
}

/// Arguments without effect: others, which are checked, have their defaults; the process has read
/// `predict_epsilon`.
const WITHOUT_EFFECT: [&str; 4] =
    ["flow_shift", "time_shift_type", "predict_epsilon", "tensor_format"];

impl Arguments {
    /// First and last β.
    pub(super) fn beta_range(&self, class: Class) -> (f64, f64) {
        let (start, end) = match class {
            Class::Heun | Class::Kdpm2 => (0.00085, 0.012),
            _ => (0.0001, 0.02),
        };
        (self.beta_start.unwrap_or(start), self.beta_end.unwrap_or(end))
    }

    /// inkdrop's noise schedule of these arguments; `None` if there is none.
    pub fn noise_schedule(&self, class: Class) -> Option<ScheduleConfig> {
        let steps = self.num_train_timesteps;
        let (beta_start, beta_end) = self.beta_range(class);
        let schedule = match (&self.trained_betas, self.beta_schedule) {
            (Some(betas), _) => ScheduleConfig::Betas { betas: betas.clone() },
            (None, BetaSchedule::Linear) => {
                let (beta_start, beta_end) = (Some(beta_start), Some(beta_end));
                ScheduleConfig::Linear { steps, beta_start, beta_end }
            }
            (None, BetaSchedule::ScaledLinear) => {
                ScheduleConfig::ScaledLinear { steps, beta_start, beta_end }
            }
            (None, BetaSchedule::SquaredCosine) => ScheduleConfig::Cosine { steps },
            (None, BetaSchedule::Sigmoid) => {
                ScheduleConfig::Sigmoid { steps, beta_start, beta_end }
            }
            (None, BetaSchedule::Exp) => return None,
        };
        Some(match self.rescale_betas_zero_snr {
            true => ScheduleConfig::ZeroTerminalSnr { of: Box::new(schedule) },
            false => schedule,
        })
    }

    /// The spacing, or the default of the class.
    pub fn spacing(&self, class: Class) -> TimestepSpacing {
        let usual =
            if class.by_index() { TimestepSpacing::Leading } else { TimestepSpacing::Linspace };
        self.timestep_spacing.unwrap_or(usual)
    }

    /// Returns an error for arguments that no sampler supports.
    pub(super) fn check(&self, class: Class) -> Result<()> {
        for (name, value) in &self.rest {
            let off = matches!(value, Value::Null | Value::Bool(false));
            let known = off || name.starts_with('_') || WITHOUT_EFFECT.contains(&name.as_str());
            ensure!(
                known,
                "argument {name} = {value}: not covered, leave it out or set it to false"
            );
        }
        ensure!(
            self.num_train_timesteps > 1,
            "num_train_timesteps {}: expected 2 or more",
            self.num_train_timesteps
        );
        let least = self.sample_max_value;
        ensure!(!self.thresholding || least >= 1.0, "sample_max_value {least}: expected 1 or more");
        if class == Class::Pndm {
            self.check_pndm()?;
        }
        if class == Class::UniPc {
            let first = self.disable_corrector.iter().enumerate().all(|(i, &step)| i == step);
            let given = &self.disable_corrector;
            ensure!(
                first,
                "disable_corrector {given:?}: not covered, expected the first steps only"
            );
        }
        Ok(())
    }

    fn check_pndm(&self) -> Result<()> {
        match self.prediction_type {
            Predicts::Epsilon => Ok(()),
            Predicts::VPrediction => bail!(
                "prediction_type v_prediction: PNDMScheduler extrapolates v over several x and \
                 makes noise of the result with the newest x, where ours extrapolates noise"
            ),
            Predicts::Sample => bail!("prediction_type sample: not supported by PNDMScheduler"),
        }
    }
}
