//! The sampler of EDM's ablations: any noise schedule σ(t) and scaling s(t) (Karras et al. 2022).

use inkdrop_process::{Denoiser, Prediction};
use inkdrop_schedule::{BetaRange, NoiseLevel, NoiseLevels, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{combine, noise_like};
use crate::{Churn, SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// The noise schedule σ(t), in whose time the solver takes its steps (Karras et al. 2022, table 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OdeSchedule {
    /// σ = √(exp(½·β_d·t² + β_min·t) − 1): variance preserving.
    Vp(BetaRange),
    /// σ = √t: variance exploding.
    Ve,
    /// σ = t: EDM and DDIM.
    Linear,
}

/// The scaling s(t) of x = s(t)·(x0 + σ(t)·ε).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OdeScaling {
    /// s = 1/√(1 + σ²).
    Vp,
    /// s = 1.
    None,
}

/// The Runge-Kutta method of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OdeMethod {
    /// Euler's method, of first order.
    Euler,
    /// The family of second order with its second point at the fraction α of the step, 0 < α ≤ 1: 1 is Heun's
    /// method, ½ the midpoint method (Karras et al. 2022, algorithm 3).
    SecondOrder(f64),
}

impl OdeSchedule {
    fn sigma(self, t: f64) -> f64 {
        match self {
            Self::Vp(betas) => betas.sigma(t),
            Self::Ve => t.sqrt(),
            Self::Linear => t,
        }
    }

    fn time(self, sigma: f64) -> f64 {
        match self {
            Self::Vp(betas) => betas.time_of_sigma(sigma),
            Self::Ve => sigma * sigma,
            Self::Linear => sigma,
        }
    }

    /// dσ/dt.
    fn slope(self, t: f64) -> f64 {
        let sigma = self.sigma(t);
        match self {
            Self::Vp(betas) => 0.5 * (betas.beta_min + betas.beta_d * t) * (sigma + 1.0 / sigma),
            Self::Ve => 0.5 / sigma,
            Self::Linear => 1.0,
        }
    }
}

/// A time with what the schedule and the scaling are there.
#[derive(Debug, Clone, Copy)]
struct Point {
    t: f64,
    sigma: f64,
    scale: f64,
}

/// Solves the probability flow ODE in the time of a schedule, of x in a scaling, with churn (Karras et al. 2022,
/// eq. 4, with the steps of algorithm 1 and the noise of algorithm 2).
///
/// [`Heun`](crate::Heun) and [`Edm`](crate::Edm) are the case of the linear schedule without scaling.
#[derive(Debug, Clone, Copy)]
pub struct GeneralOde<'a> {
    levels: &'a dyn NoiseLevels,
    schedule: OdeSchedule,
    scaling: OdeScaling,
    method: OdeMethod,
    churn: Churn,
}

impl<'a> GeneralOde<'a> {
    /// A deterministic solver.
    ///
    /// - levels: of the process, for the times of the noise levels between those of the run
    ///
    /// # Errors
    /// α outside its range.
    pub fn new(
        levels: &'a dyn NoiseLevels,
        schedule: OdeSchedule,
        scaling: OdeScaling,
        method: OdeMethod,
    ) -> Result<Self, SamplerError> {
        if let OdeMethod::SecondOrder(alpha) = method
            && !(alpha > 0.0 && alpha <= 1.0)
        {
            return Err(SamplerError::Request {
                field: "alpha",
                given: alpha.to_string(),
                expected: "a number above 0, at most 1".into(),
            });
        }
        let churn = Churn { churn: 0.0, ..Churn::default() };
        Ok(Self { levels, schedule, scaling, method, churn })
    }

    /// The same solver with noise in each step.
    ///
    /// # Errors
    /// As [`Edm::new`](crate::Edm::new).
    pub fn with_churn(self, churn: Churn) -> Result<Self, SamplerError> {
        churn.check()?;
        Ok(Self { churn, ..self })
    }

    fn at_sigma(&self, sigma: f64) -> Point {
        self.point(self.schedule.time(sigma), sigma)
    }

    fn at_time(&self, t: f64) -> Point {
        self.point(t, self.schedule.sigma(t))
    }

    fn point(&self, t: f64, sigma: f64) -> Point {
        let scale = match self.scaling {
            OdeScaling::Vp => 1.0 / sigma.hypot(1.0),
            OdeScaling::None => 1.0,
        };
        Point { t, sigma, scale }
    }

    /// dx/dt (Karras et al. 2022, eq. 4), and the prediction.
    ///
    /// - x: in the scaling
    /// - level: that of the point, with the time that the network receives
    fn derivative(
        &self,
        denoiser: &dyn Denoiser,
        x: &Tensor,
        point: Point,
        step: &SolverStep,
    ) -> Result<(Tensor, Prediction), SamplerError> {
        let Point { t, sigma, scale } = point;
        let prediction = denoiser.denoise(&x.f_mul_scalar(step.from.signal() / scale)?, step)?;
        let slope = self.schedule.slope(t);
        let scale_slope = match self.scaling {
            OdeScaling::Vp => -sigma * slope * scale.powi(3),
            OdeScaling::None => 0.0,
        };
        let of_x = slope / sigma + scale_slope / scale;
        let of_x0 = -slope * scale / sigma;
        Ok((combine(&[(of_x, x), (of_x0, &prediction.x0)])?, prediction))
    }
}

impl Solver for GeneralOde<'_> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let from = self.at_sigma(step.from.sigma());
        let (mut level, mut start) = (step.from, from);
        let mut x = x.f_mul_scalar(from.scale / step.from.signal())?;
        let gamma = self.churn.gamma(from.sigma, step.count());
        if gamma > 0.0 {
            level = self.levels.level_at_sigma(self.levels.round_sigma(from.sigma * (1.0 + gamma)));
            start = self.at_sigma(level.sigma());
            let added = (start.sigma.powi(2) - from.sigma.powi(2)).max(0.0).sqrt();
            let factor = added * start.scale * self.churn.noise;
            let ratio = start.scale / from.scale;
            x = combine(&[(ratio, &x), (factor, &noise_like(noise, &x)?)])?;
        }
        let to =
            if step.to.is_noiseless() { self.at_time(0.0) } else { self.at_sigma(step.to.sigma()) };
        let h = to.t - start.t;
        let (slope, first) =
            self.derivative(denoiser, &x, start, &SolverStep::new(level, step.to))?;
        let next = match self.method {
            OdeMethod::SecondOrder(alpha) if !step.to.is_noiseless() => {
                let middle = self.at_time(start.t + alpha * h);
                let at_middle = combine(&[(1.0, &x), (alpha * h, &slope)])?;
                let level = match alpha {
                    1.0 => step.to,
                    _ => self.levels.level_at_sigma(middle.sigma),
                };
                let then = step.next().map_or(NoiseLevel::NOISELESS, |next| next.to);
                let then = if alpha == 1.0 { then } else { step.to };
                let inner = SolverStep::new(level, then);
                let (second, _) = self.derivative(denoiser, &at_middle, middle, &inner)?;
                let share = 0.5 / alpha;
                combine(&[(1.0, &x), (h * (1.0 - share), &slope), (h * share, &second)])?
            }
            _ => combine(&[(1.0, &x), (h, &slope)])?,
        };
        let x = next.f_mul_scalar(step.to.signal() / to.scale)?;
        Ok(SolverOutput { x, x0: first.x0 })
    }
}

/// Samples with a [`GeneralOde`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn general_ode(
    denoiser: &dyn Denoiser,
    solver: GeneralOde<'_>,
    schedule: &SamplingSchedule,
    x: Tensor,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, solver, schedule, x, noise).finish()
}
