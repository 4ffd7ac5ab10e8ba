//! Constructor arguments of diffusers' schedulers.

use inkdrop_schedule::ScheduleConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::names::{
    Algorithm, BetaSchedule, Class, Interpolation, Last, Predicts, SigmaSchedule, SolverType,
    Space, TimeShift, TimestepSpacing, TimestepType, VarianceType,
};
use crate::Result;
use crate::error::{Context, invalid};

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
    /// `use_beta_sigmas`.
    pub use_beta_sigmas: Option<bool>,
    /// `use_lu_lambdas`.
    pub use_lu_lambdas: Option<bool>,
    /// `use_flow_sigmas`.
    pub use_flow_sigmas: Option<bool>,
    /// `flow_shift`.
    pub flow_shift: f64,
    /// `sigma_min`.
    pub sigma_min: Option<f64>,
    /// `sigma_max`.
    pub sigma_max: Option<f64>,
    /// `sigma_data`.
    pub sigma_data: f64,
    /// `sigma_schedule`.
    pub sigma_schedule: SigmaSchedule,
    /// `rho`.
    pub rho: f64,
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
    /// `predictor_order`.
    pub predictor_order: usize,
    /// `corrector_order`.
    pub corrector_order: usize,
    /// `original_inference_steps`.
    pub original_inference_steps: usize,
    /// `timestep_scaling`.
    pub timestep_scaling: f64,
    /// `clip_denoised`.
    pub clip_denoised: bool,
    /// `s_noise`.
    pub s_noise: f64,
    /// `shift`.
    pub shift: f64,
    /// `use_dynamic_shifting`.
    pub use_dynamic_shifting: bool,
    /// `time_shift_type`.
    pub time_shift_type: TimeShift,
    /// `shift_terminal`.
    pub shift_terminal: Option<f64>,
    /// `invert_sigmas`.
    pub invert_sigmas: bool,
    /// `stochastic_sampling`.
    pub stochastic_sampling: bool,
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
            use_beta_sigmas: None,
            use_lu_lambdas: None,
            use_flow_sigmas: None,
            flow_shift: 1.0,
            sigma_min: None,
            sigma_max: None,
            sigma_data: 0.5,
            sigma_schedule: SigmaSchedule::Karras,
            rho: 7.0,
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
            predictor_order: 2,
            corrector_order: 2,
            original_inference_steps: 50,
            timestep_scaling: 10.0,
            clip_denoised: true,
            s_noise: 1.0,
            shift: 1.0,
            use_dynamic_shifting: false,
            time_shift_type: TimeShift::Exponential,
            shift_terminal: None,
            invert_sigmas: false,
            stochastic_sampling: false,
            rest: Map::new(),
        }
    }
}

impl Arguments {
    /// Reads the arguments of a class, with its defaults. A file may hold those of another class, from which it was
    /// made: diffusers ignores them.
    ///
    /// # Errors
    /// An argument with an unknown value.
    pub fn read(class: Class, config: &Value) -> Result<Self> {
        let defaults = match class {
            Class::Consistency => json!({"num_train_timesteps": 40}),
            Class::DpmSinglestep => json!({"lower_order_final": false}),
            Class::SaSolver => json!({"algorithm_type": "data_prediction"}),
            Class::Lcm | Class::Tcd => json!({"beta_schedule": "scaled_linear"}),
            _ => json!({}),
        };
        let mut all = defaults.as_object().cloned().unwrap_or_default();
        let given = config.as_object().context("the arguments are no JSON object")?;
        all.extend(given.clone());
        let curves = ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"];
        all.retain(|name, _| match name.as_str() {
            "rescale_betas_zero_snr" => class.rescales(),
            name => class.has_curves() || !curves.contains(&name),
        });
        serde_json::from_value(all.into()).map_err(|error| invalid!("{error}"))
    }

    /// First and last β.
    pub(super) fn beta_range(&self, class: Class) -> (f64, f64) {
        let (start, end) = match class {
            Class::Heun | Class::Kdpm2 | Class::Kdpm2Ancestral => (0.00085, 0.012),
            Class::Lcm | Class::Tcd => (0.00085, 0.012),
            _ => (0.0001, 0.02),
        };
        (self.beta_start.unwrap_or(start), self.beta_end.unwrap_or(end))
    }

    /// inkdrop's noise schedule of these arguments; `None` if there is none.
    pub fn noise_schedule(&self, class: Class) -> Option<ScheduleConfig> {
        if !class.has_betas() {
            return None;
        }
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

    /// The scale of the samples.
    pub fn space(&self, class: Class) -> Space {
        if self.use_flow_sigmas == Some(true) { Space::Flow } else { class.space() }
    }

    /// True if σ is on a curve between the largest and the smallest.
    pub(super) fn is_curved(&self) -> bool {
        [self.use_karras_sigmas, self.use_exponential_sigmas, self.use_beta_sigmas]
            .contains(&Some(true))
    }

    /// The spacing, or the default of the class.
    pub fn spacing(&self, class: Class) -> TimestepSpacing {
        if class == Class::DpmSinglestep {
            return TimestepSpacing::Linspace; // It has no such argument.
        }
        let usual =
            if class.by_index() { TimestepSpacing::Leading } else { TimestepSpacing::Linspace };
        self.timestep_spacing.unwrap_or(usual)
    }
}
