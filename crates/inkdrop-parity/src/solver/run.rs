//! Runs the sampler that corresponds to a scheduler.

use anyhow::{Result, ensure};
use inkdrop_sampler::{
    DpmSolver, SecondOrder, SolverVariable, UniPc, ddim, ddpm, dpm_solver, dpm_solver_2, euler,
    euler_ancestral, heun, lms, plms, pndm, unipc,
};
use inkdrop_schedule::solver_coefficients::BKind;
use inkdrop_schedule::{SamplingSchedule, SolverStep};
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_torch::{NoiseSource, NoiseTape};

use super::arguments::Arguments;
use super::model::{Call, Recorder};
use super::names::{Algorithm, Class, Predicts, SolverType, VarianceType};
use super::scheduler_steps::SchedulerSteps;
use super::tables::Tables;

/// Result of a sampling run.
pub(super) struct RunResult {
    /// All network calls.
    pub calls: Vec<Call>,
    /// The final sample, of unit variance.
    pub sample: Tensor,
}

/// A sampling run.
pub(super) struct Run<'a> {
    pub class: Class,
    pub arguments: &'a Arguments,
    pub tables: &'a Tables,
    pub eta: f64,
}

impl Run<'_> {
    /// Samples from x.
    ///
    /// - x: initial noise, of unit variance
    pub(super) fn sample(
        &self,
        model: Recorder,
        steps: &SchedulerSteps,
        x: Tensor,
        mut noise: NoiseTape,
    ) -> Result<RunResult> {
        let path = SamplingSchedule::from_steps(steps.steps.clone())?;
        let n = &mut noise;
        let sample = match self.class {
            Class::Ddpm => {
                let x = ddpm(&model, &path, x, n)?;
                return self.with_last_noise(model, &path, x, noise);
            }
            Class::Ddim => ddim(&model, &path, x, self.eta, n)?,
            Class::Euler => euler(&model, &path, x)?,
            Class::EulerAncestral => euler_ancestral(&model, &path, x, 1.0, n)?,
            Class::Heun => heun(&model, &path, x)?,
            Class::Kdpm2 => dpm_solver_2(&model, &self.tables.schedule()?, &path, x)?,
            Class::Lms => lms(&model, &path, x, 4)?,
            Class::DpmMultistep => dpm_solver(&model, &path, x, self.dpm_solver(), n)?,
            Class::UniPc => unipc(&model, &path, x, self.unipc())?,
            Class::Pndm => self.pndm(&model, &path, x)?,
        };
        Ok(RunResult { calls: model.into_calls().0, sample })
    }

    fn pndm(&self, model: &Recorder, path: &SamplingSchedule, x: Tensor) -> Result<Tensor> {
        if self.arguments.skip_prk_steps {
            check_plms(path.steps())?;
            return Ok(plms(model, path, x)?);
        }
        check_pndm(path.steps())?;
        Ok(pndm(model, &self.tables.schedule()?, path, x)?)
    }

    /// Adds the noise of the last step if that starts above timestep 0, as DDPMScheduler does.
    ///
    /// inkdrop's `ddpm` adds no noise in a step to the noiseless level.
    fn with_last_noise(
        &self,
        model: Recorder,
        path: &SamplingSchedule,
        x: Tensor,
        mut noise: NoiseTape,
    ) -> Result<RunResult> {
        let (calls, log_variance) = model.into_calls();
        let last = path.steps()[path.len() - 1];
        let sample = match log_variance {
            Some(log) if last.from.timestep > 0.0 => {
                let draw = noise.normal(&x.size(), x.device())?.f_to_kind(x.kind())?;
                x.f_add(&draw.f_mul(&log.f_mul_scalar(0.5)?.f_exp()?)?)?
            }
            _ => x,
        };
        Ok(RunResult { calls, sample })
    }

    fn dpm_solver(&self) -> DpmSolver {
        let arguments = self.arguments;
        let image = arguments.algorithm_type.of_image();
        let heun = arguments.solver_type == Some(SolverType::Heun);
        DpmSolver {
            order: arguments.solver_order,
            variable: if image {
                SolverVariable::DataPrediction
            } else {
                SolverVariable::NoisePrediction
            },
            stochastic: matches!(
                arguments.algorithm_type,
                Algorithm::SdeDpmsolver | Algorithm::SdeDpmsolverPp
            ),
            second: if heun { SecondOrder::Heun } else { SecondOrder::Midpoint },
            lower_order_final: arguments.lower_order_final,
            euler_at_final: arguments.euler_at_final,
            published_third: true,
        }
    }

    fn unipc(&self) -> UniPc {
        let arguments = self.arguments;
        let first = arguments.solver_type == Some(SolverType::Bh1);
        UniPc {
            order: arguments.solver_order,
            b: if first { BKind::Bh1 } else { BKind::Bh2 },
            variable: if arguments.predict_x0 {
                SolverVariable::DataPrediction
            } else {
                SolverVariable::NoisePrediction
            },
            lower_order_final: arguments.lower_order_final,
            disable_corrector: arguments.disable_corrector.len(),
        }
    }

    /// Returns an error for arguments that the class itself does not support.
    pub(super) fn check(&self) -> Result<()> {
        let learned = self.arguments.variance_type == Some(VarianceType::Learned);
        let known = !(learned && self.class == Class::DpmMultistep)
            || self.arguments.prediction_type == Predicts::Epsilon;
        ensure!(
            known,
            "variance_type learned: DPM-Solver supports it with prediction_type epsilon only"
        );
        Ok(())
    }
}

/// Checks the timesteps for PNDMScheduler without Runge-Kutta steps.
///
/// It takes its first step twice: from t to t − T//n, then from t' + T//n to t', where t' is the next
/// timestep. Both are the same step only if the timesteps are T//n apart.
fn check_plms(steps: &[SolverStep]) -> Result<()> {
    let Some(next) = steps.get(1) else { return Ok(()) };
    let (ends, follows) = (steps[0].to.timestep, next.from.timestep);
    ensure!(
        ends == follows,
        "timestep_spacing: PNDMScheduler's first step ends at {ends}, its repetition at {follows}; \
         expected timesteps T//num_inference_steps apart (leading)"
    );
    Ok(())
}

/// Checks the timesteps for PNDMScheduler's Runge-Kutta steps.
///
/// Their midpoint is t − (T//n)//2 once and t' + (T//n)//2 then, where t' is the next timestep. Both
/// are equal only if the spacing is even.
fn check_pndm(steps: &[SolverStep]) -> Result<()> {
    for (step, next) in steps.iter().zip(&steps[1..]).take(3) {
        let (stride, gap) =
            (step.from.timestep - step.to.timestep, step.from.timestep - next.from.timestep);
        ensure!(
            stride == gap && stride % 2.0 == 0.0,
            "T//num_inference_steps {stride}, timesteps {gap} apart: PNDMScheduler has two different \
             midpoints in a Runge-Kutta step, inkdrop one; expected an even stride (leading)"
        );
    }
    Ok(())
}

/// Converts a state to the scheduler's scale: x0 + σ·ε for the classes with σ.
pub(super) fn in_its_space(class: Class, x: &Tensor, signal: f64) -> Result<Tensor> {
    let x = x.f_to_kind(Kind::Double)?;
    Ok(if class.grows() { x.f_div_scalar(signal)? } else { x })
}
