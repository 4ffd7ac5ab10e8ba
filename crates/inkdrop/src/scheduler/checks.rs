//! Checks of a scheduler's arguments: what the class or inkdrop does not support.

use serde_json::Value;

use super::arguments::Arguments;
use super::names::{Algorithm, BetaSchedule, Class, Last, Predicts, VarianceType};
use crate::Result;
use crate::error::{bail, ensure};

/// Arguments without effect: others, which are checked, have their defaults; the process has read
/// `predict_epsilon`; the pipeline computes `mu` of the image size from the last four.
const WITHOUT_EFFECT: [&str; 6] = [
    "predict_epsilon",
    "tensor_format",
    "base_shift",
    "max_shift",
    "base_image_seq_len",
    "max_image_seq_len",
];

impl Arguments {
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
        self.check_curves(class)?;
        self.check_flags(class)?;
        match class {
            Class::Pndm => self.check_pndm(),
            Class::UniPc => self.check_unipc(),
            Class::DpmSinglestep => self.check_singlestep(),
            Class::Deis => self.check_deis(),
            Class::SaSolver => self.check_sa_solver(),
            Class::Kdpm2Ancestral => self.check_kdpm2_ancestral(),
            Class::Lcm | Class::Tcd => self.check_distilled(class),
            Class::EdmEuler => self.check_edm(),
            Class::EdmDpmMultistep => self.check_edm_multistep(),
            Class::Consistency => self.check_range(),
            Class::FlowEuler | Class::FlowHeun => self.check_flow(),
            _ => Ok(()),
        }
    }

    fn check_curves(&self, class: Class) -> Result<()> {
        let curves = [self.use_karras_sigmas, self.use_exponential_sigmas, self.use_beta_sigmas];
        let count = curves.iter().filter(|curve| **curve == Some(true)).count();
        ensure!(
            count <= 1,
            "use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: expected one of them at most"
        );
        let flow = matches!(class, Class::DpmSinglestep | Class::Deis | Class::SaSolver);
        ensure!(
            self.use_flow_sigmas != Some(true) || (flow && count == 0),
            "use_flow_sigmas: covered for DEIS, SA-Solver and singlestep DPM-Solver without another \
             curve, not here"
        );
        ensure!(
            self.prediction_type != Predicts::FlowPrediction || self.use_flow_sigmas == Some(true),
            "prediction_type flow_prediction: expected use_flow_sigmas beside it"
        );
        ensure!(
            self.use_flow_sigmas != Some(true) || self.prediction_type != Predicts::VPrediction,
            "prediction_type v_prediction with use_flow_sigmas: v is that of another path"
        );
        Ok(())
    }

    /// Flags that only FlowMatchEulerDiscreteScheduler has.
    fn check_flags(&self, class: Class) -> Result<()> {
        let flags = [
            ("use_dynamic_shifting", self.use_dynamic_shifting),
            ("invert_sigmas", self.invert_sigmas),
            ("stochastic_sampling", self.stochastic_sampling),
        ];
        let wrong = flags.iter().find(|(_, on)| *on && class != Class::FlowEuler);
        match wrong {
            Some((name, _)) => {
                bail!("argument {name} = true: not covered, leave it out or set it to false")
            }
            None => Ok(()),
        }
    }

    fn check_pndm(&self) -> Result<()> {
        match self.prediction_type {
            Predicts::Epsilon => Ok(()),
            Predicts::VPrediction => bail!(
                "prediction_type v_prediction: PNDMScheduler extrapolates v over several x and \
                 makes noise of the result with the newest x, where ours extrapolates noise"
            ),
            Predicts::Sample | Predicts::FlowPrediction => {
                bail!("prediction_type sample: not supported by PNDMScheduler")
            }
        }
    }

    fn check_unipc(&self) -> Result<()> {
        let given = &self.disable_corrector;
        let first = given.iter().enumerate().all(|(i, &step)| i == step);
        ensure!(first, "disable_corrector {given:?}: not covered, expected the first steps only");
        Ok(())
    }

    /// Checks that the class builds this β schedule.
    fn check_betas(&self) -> Result<()> {
        let known = !matches!(self.beta_schedule, BetaSchedule::Sigmoid | BetaSchedule::Exp);
        ensure!(
            known || self.trained_betas.is_some(),
            "beta_schedule {:?}: expected linear, scaled_linear or squaredcos_cap_v2",
            self.beta_schedule
        );
        Ok(())
    }

    fn check_order(&self, name: &str, order: usize, max: usize) -> Result<()> {
        ensure!((1..=max).contains(&order), "{name} {order}: expected 1 to {max}");
        Ok(())
    }

    /// Checks that a learned variance is beside predicted noise: the class splits no other output.
    fn check_learned(&self) -> Result<()> {
        let learned =
            matches!(self.variance_type, Some(VarianceType::Learned | VarianceType::LearnedRange));
        ensure!(
            !learned || self.prediction_type == Predicts::Epsilon,
            "variance_type learned: the class supports it with prediction_type epsilon only"
        );
        Ok(())
    }

    fn check_singlestep(&self) -> Result<()> {
        self.check_betas()?;
        self.check_order("solver_order", self.solver_order, 3)?;
        self.check_learned()?;
        let data = self.algorithm_type.of_image();
        match self.algorithm_type {
            Algorithm::Dpmsolver | Algorithm::DpmsolverPp | Algorithm::SdeDpmsolverPp => {}
            other => bail!(
                "algorithm_type {other:?}: expected dpmsolver, dpmsolver++ or sde-dpmsolver++"
            ),
        }
        ensure!(
            data || self.final_sigmas_type == Last::SigmaMin,
            "final_sigmas_type zero with algorithm_type dpmsolver: expected sigma_min"
        );
        self.check_noise_prediction(data)
    }

    /// Checks arguments with which diffusers fails if its solver extrapolates noise.
    fn check_noise_prediction(&self, data: bool) -> Result<()> {
        ensure!(
            data || !self.thresholding,
            "thresholding: diffusers fails with it where the solver extrapolates noise"
        );
        ensure!(
            data || self.prediction_type != Predicts::FlowPrediction,
            "prediction_type flow_prediction: diffusers has none where the solver extrapolates noise"
        );
        Ok(())
    }

    fn check_deis(&self) -> Result<()> {
        self.check_betas()?;
        self.check_order("solver_order", self.solver_order, 3)?;
        ensure!(
            matches!(self.algorithm_type, Algorithm::Dpmsolver | Algorithm::DpmsolverPp),
            "algorithm_type {:?}: expected deis",
            self.algorithm_type
        );
        Ok(())
    }

    fn check_sa_solver(&self) -> Result<()> {
        self.check_betas()?;
        self.check_order("predictor_order", self.predictor_order, 4)?;
        self.check_order("corrector_order", self.corrector_order, 4)?;
        self.check_learned()?;
        ensure!(
            matches!(self.algorithm_type, Algorithm::DataPrediction | Algorithm::NoisePrediction),
            "algorithm_type {:?}: expected data_prediction or noise_prediction",
            self.algorithm_type
        );
        self.check_noise_prediction(self.algorithm_type.of_image())
    }

    fn check_kdpm2_ancestral(&self) -> Result<()> {
        self.check_betas()?;
        ensure!(
            self.prediction_type != Predicts::Sample,
            "prediction_type sample: not supported by KDPM2AncestralDiscreteScheduler"
        );
        Ok(())
    }

    fn check_distilled(&self, class: Class) -> Result<()> {
        self.check_betas()?;
        let (steps, total) = (self.original_inference_steps, self.num_train_timesteps);
        ensure!(
            (1..=total).contains(&steps),
            "original_inference_steps {steps}: expected 1 to {total}"
        );
        let scaling = self.timestep_scaling;
        ensure!(
            class == Class::Tcd || (scaling > 0.0 && scaling.is_finite()),
            "timestep_scaling {scaling}: expected a finite number above 0"
        );
        Ok(())
    }

    /// Checks σ and ρ of the classes with continuous noise levels.
    fn check_range(&self) -> Result<()> {
        let (min, max) = self.sigma_range();
        ensure!(
            min > 0.0 && min < max && max.is_finite(),
            "sigma_min {min}, sigma_max {max}: expected 0 < sigma_min < sigma_max"
        );
        for (name, value) in [("sigma_data", self.sigma_data), ("rho", self.rho)] {
            ensure!(
                value > 0.0 && value.is_finite(),
                "{name} {value}: expected a finite number above 0"
            );
        }
        let scale = self.s_noise;
        ensure!(scale >= 0.0 && scale.is_finite(), "s_noise {scale}: expected 0 or more");
        Ok(())
    }

    fn check_edm(&self) -> Result<()> {
        self.check_range()?;
        ensure!(
            matches!(self.prediction_type, Predicts::Epsilon | Predicts::VPrediction),
            "prediction_type {:?}: EDM schedulers have epsilon and v_prediction",
            self.prediction_type
        );
        Ok(())
    }

    fn check_edm_multistep(&self) -> Result<()> {
        self.check_edm()?;
        self.check_order("solver_order", self.solver_order, 3)?;
        ensure!(
            matches!(self.algorithm_type, Algorithm::DpmsolverPp | Algorithm::SdeDpmsolverPp),
            "algorithm_type {:?}: expected dpmsolver++ or sde-dpmsolver++",
            self.algorithm_type
        );
        ensure!(
            self.algorithm_type != Algorithm::SdeDpmsolverPp || self.solver_order < 3,
            "solver_order 3 with sde-dpmsolver++: diffusers fails in the first step of third order"
        );
        Ok(())
    }

    fn check_flow(&self) -> Result<()> {
        let shift = self.shift;
        ensure!(
            shift > 0.0 && shift.is_finite(),
            "shift {shift}: expected a finite number above 0"
        );
        ensure!(
            !(self.invert_sigmas && self.stochastic_sampling),
            "stochastic_sampling with invert_sigmas: diffusers takes the inverted list for the share of \
             noise, so that the result is noise"
        );
        if let Some(end) = self.shift_terminal {
            ensure!((0.0..1.0).contains(&end), "shift_terminal {end}: expected 0 to 1");
        }
        Ok(())
    }

    /// σ_min and σ_max of the classes with continuous noise levels.
    pub(super) fn sigma_range(&self) -> (f64, f64) {
        (self.sigma_min.unwrap_or(0.002), self.sigma_max.unwrap_or(80.0))
    }
}
