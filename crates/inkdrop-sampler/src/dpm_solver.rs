//! DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022a, 2022b).

use inkdrop_process::{Denoiser, Prediction};
use inkdrop_schedule::{SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{History, combine, step_noise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Config of a multistep DPM-Solver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DpmSolver {
    /// Number of predictions that a step uses, 1 (DDIM) to 3.
    pub order: usize,
    /// The variable that is extrapolated: DPM-Solver++ or DPM-Solver.
    pub variable: SolverVariable,
    /// Solves the reverse SDE, with fresh noise in every step, instead of the ODE.
    pub stochastic: bool,
    /// Form of the second-order term.
    pub second: SecondOrder,
    /// Lowers the order of the last steps in runs of fewer than 15 steps, for stability.
    pub lower_order_final: bool,
    /// Uses first order in the last step of every run. A step to clean data always does.
    pub euler_at_final: bool,
    /// Uses the third-order term of the authors' code and of diffusers, for comparison with their
    /// images: half of the last term, and for the SDE the opposite sign.
    ///
    /// With that term the solver is only of second order.
    pub published_third: bool,
}

/// The variable that a multistep solver extrapolates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SolverVariable {
    /// Predicted x0: DPM-Solver++ (Lu et al. 2022b).
    DataPrediction,
    /// Predicted ε: DPM-Solver (Lu et al. 2022a).
    NoisePrediction,
}

impl SolverVariable {
    /// The variable in a prediction.
    pub(crate) fn of(self, prediction: &Prediction) -> Tensor {
        match self {
            Self::DataPrediction => prediction.x0.shallow_clone(),
            Self::NoisePrediction => prediction.eps.shallow_clone(),
        }
    }
}

/// Form of the second-order term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondOrder {
    /// Slope at the middle of the step.
    Midpoint,
    /// Exact integral of a linear slope.
    Heun,
}

impl DpmSolver {
    /// DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2).
    pub const PP_2M: Self = Self {
        order: 2,
        variable: SolverVariable::DataPrediction,
        stochastic: false,
        second: SecondOrder::Midpoint,
        lower_order_final: true,
        euler_at_final: false,
        published_third: false,
    };

    /// DPM-Solver++(3M).
    pub const PP_3M: Self = Self { order: 3, ..Self::PP_2M };

    /// DPM-Solver++(3S): the exact third order (Lu et al. 2022a, appendix B.3, for predicted x0).
    pub const PP_3S: Self = Self { second: SecondOrder::Heun, ..Self::PP_3M };

    /// SDE-DPM-Solver++(2M) (Lu et al. 2022b, section 5).
    pub const PP_2M_SDE: Self = Self { stochastic: true, ..Self::PP_2M };

    /// SDE-DPM-Solver++(3M).
    pub const PP_3M_SDE: Self = Self { stochastic: true, ..Self::PP_3M };

    /// Order of a step: limited by the predictions so far, and lower at the end of the run.
    fn order_at(&self, step: ScheduledStep<'_>) -> usize {
        let few = self.lower_order_final && step.count() < 15;
        let max = match step.remaining() {
            1 if step.to.is_noiseless() || few || self.euler_at_final => 1,
            2 if few => 2,
            _ => self.order,
        };
        max.min(self.order).min(step.index() + 1)
    }
}

/// Multistep DPM-Solver: the part of the reverse process that is linear in x is solved exactly, the rest
/// by a polynomial in λ (half the log-SNR) through the last predictions.
pub struct DpmSolverMultistep {
    config: DpmSolver,
    history: History,
}

impl DpmSolverMultistep {
    /// # Errors
    /// An order outside 1 to 3.
    pub fn new(config: DpmSolver) -> Result<Self, SamplerError> {
        SamplerError::check_order("dpm-solver", config.order, 3)?;
        Ok(Self { config, history: History::new(config.order) })
    }
}

impl Solver for DpmSolverMultistep {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        self.history.push(step.from, self.config.variable.of(&prediction));
        let coefs = Coefs::new(&self.config, &step);
        let order = self.config.order_at(step).min(self.history.len());
        let mut next = coefs.apply(x, &self.history, step.to.lambda(), order)?;
        if coefs.noise > 0.0 {
            next = next.f_add(&step_noise(noise, x, &step)?.f_mul_scalar(coefs.noise)?)?;
        }
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// Samples with [`DpmSolverMultistep`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn dpm_solver(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    config: DpmSolver,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, DpmSolverMultistep::new(config)?, schedule, x, noise).finish()
}

/// Coefficients of x, of the newest prediction, of its derivatives in λ, and of fresh noise.
pub(crate) struct Coefs {
    pub x: f64,
    pub value: f64,
    /// Of the first difference, at second order.
    pub second_order: f64,
    /// Of the first derivative, at third order.
    pub first_derivative: f64,
    /// Of the second derivative, at third order.
    pub second_derivative: f64,
    pub noise: f64,
}

impl Coefs {
    /// Lu et al. 2022a, appendix B; 2022b, appendix A and B.
    fn new(config: &DpmSolver, SolverStep { from, to, .. }: &SolverStep) -> Self {
        if to.is_noiseless() && config.variable == SolverVariable::NoisePrediction {
            // The limit of the step is the predicted image.
            let (x, value) = (1.0 / from.signal(), -from.sigma());
            return Self {
                x,
                value,
                second_order: 0.0,
                first_derivative: 0.0,
                second_derivative: 0.0,
                noise: 0.0,
            };
        }
        let h = to.lambda() - from.lambda();
        // Below are the integrals of e^s, s·e^s and s²·e^s over the step, relative to its length.
        let (scale, length, x, noise) = match (config.variable, config.stochastic) {
            (SolverVariable::DataPrediction, false) => {
                (to.signal(), -h, to.noise() / from.noise(), 0.0)
            }
            (SolverVariable::DataPrediction, true) => {
                let x = to.noise() / from.noise() * (-h).exp();
                (to.signal(), -2.0 * h, x, to.noise() * (-(-2.0 * h).exp_m1()).sqrt())
            }
            (SolverVariable::NoisePrediction, stochastic) => {
                let noise = if stochastic { to.noise() * (2.0 * h).exp_m1().sqrt() } else { 0.0 };
                (to.noise(), h, to.signal() / from.signal(), noise)
            }
        };
        // The SDE in noise prediction has twice the drift.
        let twice = config.variable == SolverVariable::NoisePrediction && config.stochastic;
        let scale = if twice { -2.0 * scale } else { -scale };
        let value = scale * length.exp_m1();
        let first_derivative = scale * (length.exp_m1() / length - 1.0);
        let half = scale * ((length.exp_m1() - length) / length.powi(2) - 0.5);
        let second_derivative = match (config.published_third, config.stochastic) {
            (false, _) => 2.0 * half,
            (true, false) => half,
            (true, true) => half + scale,
        };
        let second_order = match config.second {
            SecondOrder::Midpoint => 0.5 * value,
            SecondOrder::Heun => first_derivative,
        };
        Self { x, value, second_order, first_derivative, second_derivative, noise }
    }

    /// Coefficients of a singlestep solver, whose published third order has no halved term.
    pub(crate) fn singlestep(config: &DpmSolver, step: &SolverStep) -> Self {
        let published_third = config.published_third && config.stochastic;
        let coefs = Self::new(&DpmSolver { published_third, ..*config }, step);
        let factor = if published_third { 2.0 } else { 1.0 };
        Self { second_derivative: factor * coefs.second_derivative, ..coefs }
    }

    fn apply(
        &self,
        x: &Tensor,
        history: &History,
        to: f64,
        order: usize,
    ) -> Result<Tensor, SamplerError> {
        let lambda = |i: usize| history.level(i).lambda();
        let h = to - lambda(0);
        let ratio = |i: usize| (lambda(i) - lambda(i + 1)) / h;
        let slope = |i: usize| {
            let r = ratio(i);
            combine(&[(1.0 / r, history.value(i)), (-1.0 / r, history.value(i + 1))])
        };
        let (x, value) = ((self.x, x), (self.value, history.value(0)));
        match order {
            // A step of length 0 has no differences.
            _ if order == 1 || h == 0.0 => combine(&[x, value]),
            2 => combine(&[x, value, (self.second_order, &slope(0)?)]),
            _ => {
                let (r0, r1) = (ratio(0), ratio(1));
                let (newer, older) = (slope(0)?, slope(1)?);
                let difference = combine(&[(1.0, &newer), (-1.0, &older)])?;
                let first = combine(&[(1.0, &newer), (r0 / (r0 + r1), &difference)])?;
                let second = (self.second_derivative / (r0 + r1), &difference);
                combine(&[x, value, (self.first_derivative, &first), second])
            }
        }
    }
}
