//! Solvers that differ from those of inkdrop-sampler: steps as diffusers' classes take them.

use inkdrop_process::Denoiser;
use inkdrop_sampler::{Churn, Ddpm, SamplerError, ScheduledStep, Solver, SolverOutput};
use inkdrop_schedule::{NoiseLevel, Preconditioning, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use super::flow::on_path;

/// DDPMScheduler's step. It adds noise in every step above timestep 0, also in one that ends at clean
/// data, where [`Ddpm`] adds none.
pub(super) struct DdpmScheduler;

impl Solver for DdpmScheduler {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        if !step.to.is_noiseless() || step.from.timestep <= 0.0 {
            return Ddpm.step(denoiser, step, x, noise);
        }
        let prediction = denoiser.denoise(x, &step)?;
        let std = prediction.log_variance.f_mul_scalar(0.5)?.f_exp()?;
        let added = draw(noise, x)?.f_mul(&std)?;
        let next = prediction.posterior_mean(x, &step)?.f_add(&added)?;
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// EDMEulerScheduler's step with churn. The network sees x before the noise is added, and its output is
/// preconditioned for the raised level. [`EdmEuler`](inkdrop_sampler::EdmEuler) calls the network there.
pub(super) struct EdmEulerScheduler {
    pub preconditioning: Preconditioning,
    pub churn: Churn,
}

impl Solver for EdmEulerScheduler {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let mut x0 = denoiser.denoise(x, &step)?.x0;
        let (mut x, mut level) = (x.f_div_scalar(step.from.signal())?, step.from);
        let sigma = step.from.sigma();
        let gamma = self.churn.gamma(sigma, step.count());
        if gamma > 0.0 {
            level = NoiseLevel::from_sigma(sigma * (1.0 + gamma), level.timestep);
            let added = self.churn.noise * (level.sigma().powi(2) - sigma * sigma).sqrt();
            let raised = x.f_add(&draw(noise, &x)?.f_mul_scalar(added)?)?;
            x0 = self.denoised_anew(&x0, (step.from, &x), (level, &raised))?;
            x = raised;
        }
        // Euler's step from x0 + σ·ε keeps the share σ'/σ of the distance to x0.
        let share = step.to.sigma() / level.sigma();
        let next = x0.f_add(&x.f_sub(&x0)?.f_mul_scalar(share)?)?;
        Ok(SolverOutput { x: next.f_mul_scalar(step.to.signal())?, x0 })
    }
}

impl EdmEulerScheduler {
    /// x0 at another level and x with the same output of the network. Both x are x0 + σ·ε.
    fn denoised_anew(
        &self,
        x0: &Tensor,
        (from, x): (NoiseLevel, &Tensor),
        (to, raised): (NoiseLevel, &Tensor),
    ) -> Result<Tensor, SamplerError> {
        let (old, new) = (self.preconditioning.coefs(from), self.preconditioning.coefs(to));
        let output = x0.f_sub(&x.f_mul_scalar(old.skip * from.signal())?)?;
        let output = output.f_mul_scalar(new.output / old.output)?;
        Ok(raised.f_mul_scalar(new.skip * to.signal())?.f_add(&output)?)
    }
}

/// FlowMatchHeunDiscreteScheduler's step with churn. The network sees x before the noise is added, γ
/// counts network calls instead of steps, and the second call draws noise that has no effect.
pub(super) struct FlowHeunScheduler {
    pub churn: Churn,
}

impl Solver for FlowHeunScheduler {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let first = denoiser.denoise(x, &step)?;
        let ([sigma, end], scale) =
            (on_path(&step), |level: NoiseLevel| level.signal() + level.noise());
        let gamma = self.churn.gamma(sigma, 2 * step.count() - 1);
        let raised = sigma * (1.0 + gamma);
        let mut x = x.f_div_scalar(scale(step.from))?;
        if gamma > 0.0 {
            let added = self.churn.noise * (raised * raised - sigma * sigma).sqrt();
            x = x.f_add(&draw(noise, &x)?.f_mul_scalar(added)?)?;
        }
        let slope = first.eps.f_sub(&first.x0)?.f_mul_scalar(sigma / raised)?;
        let euler = x.f_add(&slope.f_mul_scalar(end - raised)?)?;
        let in_unit = |x: &Tensor| x.f_mul_scalar(scale(step.to));
        if step.to.is_noiseless() {
            return Ok(SolverOutput { x: in_unit(&euler)?, x0: first.x0 });
        }
        let after = step.next().map_or(NoiseLevel::NOISELESS, |next| next.to);
        let second = denoiser.denoise(&in_unit(&euler)?, &SolverStep::new(step.to, after))?;
        if gamma > 0.0 {
            drop(draw(noise, &x)?);
        }
        let mean = slope.f_add(&second.eps.f_sub(&second.x0)?)?.f_mul_scalar(0.5)?;
        let next = x.f_add(&mean.f_mul_scalar(end - raised)?)?;
        Ok(SolverOutput { x: in_unit(&next)?, x0: first.x0 })
    }
}

fn draw(noise: &mut dyn NoiseSource, x: &Tensor) -> Result<Tensor, SamplerError> {
    Ok(noise.normal(&x.size(), x.device())?.f_to_kind(x.kind())?)
}
