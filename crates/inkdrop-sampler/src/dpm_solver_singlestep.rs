//! DPM-Solver and DPM-Solver++, singlestep (Lu et al. 2022a, 2022b).

use inkdrop_process::Denoiser;
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::dpm_solver::Coefs;
use crate::solver::{History, combine, step_noise};
use crate::{
    DpmSolver, SamplerError, SamplingRun, SamplingSteps, ScheduledStep, SecondOrder, Solver,
    SolverOutput,
};

/// Singlestep DPM-Solver: groups of `order` steps. The first step of a group has order 1, the k-th
/// starts again from the x of the group's first step with k predictions, and reaches order k
/// (Lu et al. 2022a, algorithms 1 and 2; 2022b, algorithm 1; with the levels of the schedule between).
///
/// `euler_at_final` has no effect. `published_third` has one for the SDE alone: diffusers' third-order
/// `heun` form has a wrong sign there.
pub struct DpmSolverSinglestep {
    config: DpmSolver,
    history: History,
    /// Level and x at the first step of the group.
    base: Option<(NoiseLevel, Tensor)>,
}

impl DpmSolverSinglestep {
    /// # Errors
    /// An order outside 1 to 3.
    pub fn new(config: DpmSolver) -> Result<Self, SamplerError> {
        SamplerError::check_order("singlestep dpm-solver", config.order, 3)?;
        Ok(Self { config, history: History::new(config.order), base: None })
    }

    /// Order of a step: its place in the group; 1 in the last step, where that is more stable.
    fn order_at(&self, step: ScheduledStep<'_>) -> usize {
        let DpmSolver { order, lower_order_final, .. } = self.config;
        let whole_groups = step.count().is_multiple_of(order);
        let last = step.to.is_noiseless() || (lower_order_final && whole_groups);
        if step.remaining() == 1 && last { 1 } else { step.index() % order + 1 }
    }

    /// x at `to` from the start of the group.
    fn update(
        &self,
        coefs: &Coefs,
        (base, x): (NoiseLevel, &Tensor),
        to: NoiseLevel,
        order: usize,
    ) -> Result<Tensor, SamplerError> {
        let h = to.lambda() - base.lambda();
        let oldest = self.history.value(order - 1);
        let terms = [(coefs.x, x), (coefs.value, oldest)];
        // The slope from the group's start to prediction i, with its place in the step.
        let slope = |i: usize| -> Result<(f64, Tensor), SamplerError> {
            let r = (self.history.level(i).lambda() - base.lambda()) / h;
            Ok((r, combine(&[(1.0 / r, self.history.value(i)), (-1.0 / r, oldest)])?))
        };
        match (order, self.config.second) {
            (1, _) => combine(&terms),
            (2, _) => {
                let (_, slope) = slope(0)?;
                combine(&[terms[0], terms[1], (coefs.second_order, &slope)])
            }
            (_, SecondOrder::Midpoint) => {
                let (_, slope) = slope(0)?;
                combine(&[terms[0], terms[1], (coefs.first_derivative, &slope)])
            }
            (_, SecondOrder::Heun) => {
                let ((r0, newest), (r1, middle)) = (slope(0)?, slope(1)?);
                let gap = r0 - r1;
                let first = combine(&[(r0 / gap, &middle), (-r1 / gap, &newest)])?;
                let second = combine(&[(1.0 / gap, &newest), (-1.0 / gap, &middle)])?;
                let derivatives =
                    [(coefs.first_derivative, &first), (coefs.second_derivative, &second)];
                combine(&[terms[0], terms[1], derivatives[0], derivatives[1]])
            }
        }
    }
}

impl Solver for DpmSolverSinglestep {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        self.history.push(step.from, self.config.variable.of(&prediction));
        let group = self.base.take().filter(|_| self.order_at(step) > 1);
        let found = group.and_then(|(base, start)| {
            // A level that is visited twice has one prediction.
            let place = self.history.iter().position(|(level, _)| *level == base);
            place.map(|place| (place + 1, base, start))
        });
        let (order, base, start) = found.unwrap_or_else(|| (1, step.from, x.shallow_clone()));
        let whole = SolverStep::new(base, step.to);
        let coefs = Coefs::singlestep(&self.config, &whole);
        let mut next = self.update(&coefs, (base, &start), step.to, order)?;
        if coefs.noise > 0.0 {
            next = next.f_add(&step_noise(noise, x, &whole)?.f_mul_scalar(coefs.noise)?)?;
        }
        self.base = Some((base, start));
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// Samples with [`DpmSolverSinglestep`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn dpm_solver_singlestep(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    config: DpmSolver,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, DpmSolverSinglestep::new(config)?, schedule, x, noise).finish()
}
