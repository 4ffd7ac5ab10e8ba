//! Which of our samplers a scheduler is, and its walk.

use anyhow::{Result, ensure};
use inkdrop_sampler::{
    DpmSolver, Extrapolated, SecondOrder, Step, UniPc, ddim, ddpm, dpm_solver, dpm_solver_2, euler,
    euler_ancestral, heun, lms, plms, pndm, unipc,
};
use inkdrop_schedule::solver::BKind;
use inkdrop_schedule::{Leg, Path};
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_torch::{NoiseSource, NoiseTape};

use super::arguments::Arguments;
use super::model::{Call, Recorder};
use super::names::{Algorithm, Class, Predicts, SolverType, VarianceType};
use super::route::Route;
use super::tables::Tables;

/// What a walk left behind.
pub(super) struct Walked {
    /// Every call of the network.
    pub calls: Vec<Call>,
    /// The end, of unit variance.
    pub sample: Tensor,
}

/// A scheduler's walk.
pub(super) struct Walk<'a> {
    pub class: Class,
    pub arguments: &'a Arguments,
    pub tables: &'a Tables,
    pub eta: f64,
}

impl Walk<'_> {
    /// - x: of unit variance
    pub(super) fn go(
        &self,
        model: Recorder,
        route: &Route,
        x: Tensor,
        mut noise: NoiseTape,
    ) -> Result<Walked> {
        let path = Path::of_legs(route.legs.clone())?;
        let (n, silent) = (&mut noise, &mut |_: &Step| ());
        let sample = match self.class {
            Class::Ddpm => {
                let x = ddpm(&model, &path, x, n, silent)?;
                return self.with_last_noise(model, &path, x, noise);
            }
            Class::Ddim => ddim(&model, &path, x, self.eta, n, silent)?,
            Class::Euler => euler(&model, &path, x, silent)?,
            Class::EulerAncestral => euler_ancestral(&model, &path, x, 1.0, n, silent)?,
            Class::Heun => heun(&model, &path, x, silent)?,
            Class::Kdpm2 => dpm_solver_2(&model, &self.tables.schedule()?, &path, x, silent)?,
            Class::Lms => lms(&model, &path, x, 4, silent)?,
            Class::DpmMultistep => dpm_solver(&model, &path, x, self.dpm_solver(), n, silent)?,
            Class::UniPc => unipc(&model, &path, x, self.unipc(), silent)?,
            Class::Pndm => self.pndm(&model, &path, x)?,
        };
        Ok(Walked { calls: model.into_calls().0, sample })
    }

    fn pndm(&self, model: &Recorder, path: &Path, x: Tensor) -> Result<Tensor> {
        let silent = &mut |_: &Step| ();
        if self.arguments.skip_prk_steps {
            check_plms(path.legs())?;
            return Ok(plms(model, path, x, silent)?);
        }
        check_pndm(path.legs())?;
        Ok(pndm(model, &self.tables.schedule()?, path, x, silent)?)
    }

    /// DDPMScheduler adds noise in its last step too where that starts above step 0; ours adds
    /// none in a step to no noise.
    fn with_last_noise(
        &self,
        model: Recorder,
        path: &Path,
        x: Tensor,
        mut noise: NoiseTape,
    ) -> Result<Walked> {
        let (calls, log_variance) = model.into_calls();
        let last = path.legs()[path.steps() - 1];
        let sample = match log_variance {
            Some(log) if last.from.time > 0.0 => {
                let draw = noise.normal(&x.size(), x.device())?.f_to_kind(x.kind())?;
                x.f_add(&draw.f_mul(&log.f_mul_scalar(0.5)?.f_exp()?)?)?
            }
            _ => x,
        };
        Ok(Walked { calls, sample })
    }

    fn dpm_solver(&self) -> DpmSolver {
        let arguments = self.arguments;
        let image = arguments.algorithm_type.of_image();
        let heun = arguments.solver_type == Some(SolverType::Heun);
        DpmSolver {
            order: arguments.solver_order,
            of: if image { Extrapolated::Image } else { Extrapolated::Noise },
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
            of: if arguments.predict_x0 { Extrapolated::Image } else { Extrapolated::Noise },
            lower_order_final: arguments.lower_order_final,
            uncorrected: arguments.disable_corrector.len(),
        }
    }

    /// Refuses what the class itself cannot do.
    pub(super) fn check(&self) -> Result<()> {
        let learned = self.arguments.variance_type == Some(VarianceType::Learned);
        let known = !(learned && self.class == Class::DpmMultistep)
            || self.arguments.prediction_type == Predicts::Epsilon;
        ensure!(known, "variance_type learned: DPM-Solver splits the output of epsilon alone");
        Ok(())
    }
}

/// PNDMScheduler without Runge-Kutta steps takes its first step from t to t − T//n, and, when it
/// takes it anew, from t' + T//n to t', where t' is the next timestep.
fn check_plms(legs: &[Leg]) -> Result<()> {
    let Some(next) = legs.get(1) else { return Ok(()) };
    let (ends, follows) = (legs[0].to.time, next.from.time);
    ensure!(
        ends == follows,
        "timestep_spacing: PNDMScheduler's first step would end at {ends} and be taken anew to \
         {follows}, from another level; expected timesteps T//num_inference_steps apart (leading)"
    );
    Ok(())
}

/// Its Runge-Kutta steps go to t − (T//n)//2 and to t' + (T//n)//2, where t' is the next
/// timestep: one middle only where the spacing is even.
fn check_pndm(legs: &[Leg]) -> Result<()> {
    for (leg, next) in legs.iter().zip(&legs[1..]).take(3) {
        let (stride, gap) = (leg.from.time - leg.to.time, leg.from.time - next.from.time);
        ensure!(
            stride == gap && stride % 2.0 == 0.0,
            "T//num_inference_steps {stride}, timesteps {gap} apart: PNDMScheduler takes two \
             different middles of a Runge-Kutta step, ours one; expected an even stride (leading)"
        );
    }
    Ok(())
}

/// A state as the scheduler has it: x0 + σ·ε where its samples grow.
pub(super) fn in_its_space(class: Class, x: &Tensor, signal: f64) -> Result<Tensor> {
    let x = x.f_to_kind(Kind::Double)?;
    Ok(if class.grows() { x.f_div_scalar(signal)? } else { x })
}
