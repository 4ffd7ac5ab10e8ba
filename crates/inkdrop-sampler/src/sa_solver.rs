//! SA-Solver: stochastic Adams method (Xue et al. 2023).

use inkdrop_process::Denoiser;
use inkdrop_schedule::solver_coefficients::exponential_adams_weights;
use inkdrop_schedule::{NoiseLevel, SamplingSchedule};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{History, combine, step_noise};
use crate::{
    SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput, SolverVariable,
};

/// Config of SA-Solver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SaSolver {
    /// Number of predictions that the predictor uses, 1 to 4.
    pub predictor: usize,
    /// Number of predictions that the corrector uses, 1 to 4; 0 for none.
    pub corrector: usize,
    /// The variable that is interpolated.
    pub variable: SolverVariable,
    /// The stochasticity τ.
    pub tau: Tau,
    /// Lowers the order of the last steps.
    pub lower_order_final: bool,
}

impl Default for SaSolver {
    /// Order 2 on predicted x0 with τ = 1 between timesteps 200 and 800, as in diffusers.
    fn default() -> Self {
        let (variable, tau) = (SolverVariable::DataPrediction, Tau::default());
        Self { predictor: 2, corrector: 2, variable, tau, lower_order_final: true }
    }
}

impl SaSolver {
    /// The default with τ = 1 for σ from 0.05 to 1, for processes of any number of timesteps.
    pub const IMAGES: Self = Self {
        predictor: 2,
        corrector: 2,
        variable: SolverVariable::DataPrediction,
        tau: Tau { value: 1.0, range: TauRange::Sigmas(0.05, 1.0) },
        lower_order_final: true,
    };
}

/// The stochasticity τ(t) of [`SaSolver`]: a value within a range, 0 outside. τ = 0 solves the
/// probability flow, τ = 1 the reverse SDE (Xue et al. 2023, eq. 6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tau {
    /// τ within the range; ≥ 0.
    pub value: f64,
    /// Where τ is not 0.
    pub range: TauRange,
}

/// The range of a [`Tau`], both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TauRange {
    /// Timesteps, as in diffusers.
    Timesteps(f64, f64),
    /// Noise levels σ; 0.05 to 1 in the paper (section 6.1).
    Sigmas(f64, f64),
}

impl Default for Tau {
    /// That of diffusers: 1 from timestep 200 to 800.
    fn default() -> Self {
        Self { value: 1.0, range: TauRange::Timesteps(200.0, 800.0) }
    }
}

impl Tau {
    /// τ = 0: the probability flow.
    pub const ZERO: Self = Self { value: 0.0, range: TauRange::Timesteps(0.0, 0.0) };

    /// τ at a noise level.
    pub fn at(&self, level: NoiseLevel) -> f64 {
        let (low, high, at) = match self.range {
            TauRange::Timesteps(low, high) => (low, high, level.timestep),
            TauRange::Sigmas(low, high) => (low, high, level.sigma()),
        };
        if (low..=high).contains(&at) { self.value } else { 0.0 }
    }

    fn check(&self) -> Result<(), SamplerError> {
        let (TauRange::Timesteps(low, high) | TauRange::Sigmas(low, high)) = self.range;
        if self.value >= 0.0 && self.value.is_finite() && low <= high {
            return Ok(());
        }
        let expected = "a finite value, 0 or above, and a range whose start is not above its end";
        let (given, expected) = (format!("{self:?}"), expected.into());
        Err(SamplerError::Request { field: "tau", given, expected })
    }
}

/// SA-Solver: an Adams–Bashforth predictor for the SDE, and an Adams–Moulton corrector with the same
/// noise that reuses the network call of the next step (Xue et al. 2023, algorithm 1).
pub struct SaSolverMultistep {
    config: SaSolver,
    history: History,
    last: Option<LastStep>,
}

/// What the corrector needs of the step before.
struct LastStep {
    x: Tensor,
    noise: Option<Tensor>,
    tau: f64,
    order: usize,
}

impl SaSolverMultistep {
    /// # Errors
    /// A predictor order outside 1 to 4, a corrector order outside 0 to 4, or τ below 0.
    pub fn new(config: SaSolver) -> Result<Self, SamplerError> {
        SamplerError::check_order("the predictor of sa-solver", config.predictor, 4)?;
        if config.corrector > 0 {
            SamplerError::check_order("the corrector of sa-solver", config.corrector, 4)?;
        }
        config.tau.check()?;
        let history = History::new(config.predictor.max(config.corrector.saturating_sub(1)));
        Ok(Self { config, history, last: None })
    }

    /// x at the start of a step, corrected with the prediction there.
    fn corrected(
        &self,
        last: LastStep,
        level: NoiseLevel,
        value: &Tensor,
    ) -> Result<Tensor, SamplerError> {
        let from = self.history.level(0);
        let before = self.history.iter().take(last.order - 1).map(|(level, value)| (*level, value));
        let nodes: Vec<_> = [(level, value)].into_iter().chain(before).collect();
        let update = Update { variable: self.config.variable, from, to: level, tau: last.tau };
        update.apply(&last.x, &nodes, last.noise.as_ref())
    }

    /// Orders of the predictor, and of the corrector of this step, which the next step applies.
    fn orders(&self, step: ScheduledStep<'_>) -> (usize, usize) {
        let SaSolver { predictor, corrector, lower_order_final, .. } = self.config;
        let left = if lower_order_final { step.remaining() } else { usize::MAX - 1 };
        let known = self.history.len();
        (predictor.min(left).min(known), corrector.min(left + 1).min(known + 1))
    }
}

impl Solver for SaSolverMultistep {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        let value = self.config.variable.of(&prediction);
        // A level that is visited twice needs no correction: the step before it had no length.
        let moved = |solver: &Self| solver.history.level(0).lambda() != step.from.lambda();
        let x = match self.last.take().filter(|last| last.order > 0 && moved(self)) {
            Some(last) => self.corrected(last, step.from, &value)?,
            None => x.shallow_clone(),
        };
        self.history.push(step.from, value);
        let tau = self.config.tau.at(step.from);
        // Drawn in every step, so that the draws do not depend on τ's range.
        let stochastic = self.config.tau.value > 0.0 && !step.to.is_noiseless();
        let draw = stochastic.then(|| step_noise(noise, &x, &step)).transpose()?;
        let (predictor, order) = self.orders(step);
        let nodes = self.history.iter().take(predictor).map(|(level, value)| (*level, value));
        let nodes: Vec<_> = nodes.collect();
        let update = Update { variable: self.config.variable, from: step.from, to: step.to, tau };
        let next = update.apply(&x, &nodes, draw.as_ref())?;
        self.last = Some(LastStep { x, noise: draw, tau, order });
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// A step from one level to another by predictions at some levels.
struct Update {
    variable: SolverVariable,
    from: NoiseLevel,
    to: NoiseLevel,
    tau: f64,
}

impl Update {
    /// Xue et al. 2023, eq. 14 (data prediction) and appendix B (noise prediction).
    ///
    /// - nodes: the predictions with their levels, the newest first
    fn apply(
        &self,
        x: &Tensor,
        nodes: &[(NoiseLevel, &Tensor)],
        noise: Option<&Tensor>,
    ) -> Result<Tensor, SamplerError> {
        let Self { from, to, tau, .. } = *self;
        let h = to.lambda() - from.lambda();
        let drift = 1.0 + tau * tau;
        let (coef_x, scale, std) = match self.variable {
            SolverVariable::NoisePrediction if to.is_noiseless() => {
                return combine(&[(1.0 / from.signal(), x), (-from.sigma(), nodes[0].1)]);
            }
            SolverVariable::DataPrediction if to.is_noiseless() => {
                return combine(&[(1.0, nodes[0].1)]);
            }
            SolverVariable::DataPrediction => (
                to.noise() / from.noise() * (-tau * tau * h).exp(),
                drift * to.signal(),
                to.noise() * (-(-2.0 * tau * tau * h).exp_m1()).sqrt(),
            ),
            SolverVariable::NoisePrediction => (
                to.signal() / from.signal(),
                -drift * to.noise(),
                tau * to.noise() * (2.0 * h).exp_m1().sqrt(),
            ),
        };
        let weights = self.weights(nodes);
        let mut terms = vec![(coef_x, x)];
        terms
            .extend(weights.iter().zip(nodes).map(|(weight, (_, value))| (scale * weight, *value)));
        terms.extend(noise.map(|noise| (std, noise)));
        combine(&terms)
    }

    /// The integral's weights of the predictions, relative to the end of the step.
    fn weights(&self, nodes: &[(NoiseLevel, &Tensor)]) -> Vec<f64> {
        let nodes: Vec<f64> = nodes.iter().map(|(level, _)| level.lambda()).collect();
        let (start, end) = (self.from.lambda(), self.to.lambda());
        let rate = match self.variable {
            SolverVariable::DataPrediction => 1.0 + self.tau * self.tau,
            SolverVariable::NoisePrediction => -1.0,
        };
        let integral = |nodes: &[f64]| exponential_adams_weights(nodes, start, end, rate);
        match (&nodes[..], self.variable) {
            // The authors' second order leaves the exponential out of the slope's integral.
            (&[newest, other], SolverVariable::DataPrediction) => {
                let (h, whole) = (end - start, integral(&[newest])[0]);
                let weight = (h * h / 2.0 + (start - newest) * whole) / (other - newest);
                vec![whole - weight, weight]
            }
            _ => integral(&nodes),
        }
    }
}

/// Samples with [`SaSolverMultistep`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn sa_solver(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    config: SaSolver,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, SaSolverMultistep::new(config)?, schedule, x, noise).finish()
}
