//! DPM-Solver with adaptive step size (Lu et al. 2022a; k-diffusion's `sample_dpm_adaptive`).

use inkdrop_process::{Denoiser, Prediction};
use inkdrop_schedule::{NoiseLevel, NoiseLevels, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Kind, Tensor};

use crate::solver::{NoNoise, combine, renoise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Config of the adaptive DPM-Solver. The defaults are those of k-diffusion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DpmAdaptive {
    /// Order of the solver, 2 or 3; one less is its error estimate.
    pub order: usize,
    /// Relative tolerance of a step; > 0.
    pub rtol: f64,
    /// Absolute tolerance of a step, in units of data in [-1, 1]; > 0.
    pub atol: f64,
    /// First step size in λ; > 0.
    pub h_init: f64,
    /// The step size control.
    pub pid: PidCoefficients,
}

/// Coefficients of a PID controller of the step size (Söderlind 2003).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PidCoefficients {
    /// Proportional coefficient.
    pub p: f64,
    /// Integral coefficient.
    pub i: f64,
    /// Derivative coefficient.
    pub d: f64,
    /// A step is accepted if the step size would change by at least this factor.
    pub accept_safety: f64,
}

impl Default for DpmAdaptive {
    fn default() -> Self {
        let pid = PidCoefficients { p: 0.0, i: 1.0, d: 0.0, accept_safety: 0.81 };
        Self { order: 3, rtol: 0.05, atol: 0.0078, h_init: 0.05, pid }
    }
}

impl DpmAdaptive {
    fn check(&self) -> Result<(), SamplerError> {
        let refuse = |field, given: String, expected: &str| {
            Err(SamplerError::Request { field, given, expected: expected.into() })
        };
        if !(2..=3).contains(&self.order) {
            return refuse("order", self.order.to_string(), "2 or 3 for dpm-adaptive");
        }
        let sizes = [("rtol", self.rtol), ("atol", self.atol), ("h_init", self.h_init)];
        if let Some((field, value)) = sizes.into_iter().find(|(_, v)| !(*v > 0.0 && v.is_finite()))
        {
            return refuse(field, value.to_string(), "a finite number above 0");
        }
        let PidCoefficients { p, i, d, accept_safety } = self.pid;
        if ![p, i, d, accept_safety].iter().all(|c| c.is_finite()) {
            return refuse("pid", format!("{:?}", self.pid), "finite coefficients");
        }
        Ok(())
    }
}

/// Adaptive DPM-Solver: crosses each step of the schedule in sub-steps whose size follows from an error
/// estimate, the difference of two orders (Lu et al. 2022a, appendix C).
///
/// The step to clean data is an Euler step. The error is that of the whole batch, so an image depends on
/// its batch within the tolerance. Few steps in the schedule leave the choice to the solver:
/// σ_max, σ_min and clean data.
pub struct DpmAdaptiveSolver<'a> {
    levels: &'a dyn NoiseLevels,
    config: DpmAdaptive,
    control: StepSizeControl,
}

impl<'a> DpmAdaptiveSolver<'a> {
    /// Largest number of sub-steps in a step of the schedule.
    const MAX_SUBSTEPS: usize = 100_000;

    /// - levels: of the process, for the times of the levels between
    ///
    /// # Errors
    /// An order other than 2 and 3, a tolerance or step size of 0 or less, or a coefficient that is not
    /// finite.
    pub fn new(levels: &'a dyn NoiseLevels, config: DpmAdaptive) -> Result<Self, SamplerError> {
        config.check()?;
        Ok(Self { levels, config, control: StepSizeControl::new(&config) })
    }

    /// x by two orders, the lower one first.
    fn try_step(
        &self,
        denoiser: &dyn Denoiser,
        start: &Start<'_>,
        h: f64,
    ) -> Result<[Tensor; 2], SamplerError> {
        let to = self.level(start.level.lambda() + h);
        let between =
            |share: f64, slope: Option<(Slope, &Tensor)>| -> Result<Tensor, SamplerError> {
                let level = self.level(start.level.lambda() + share * h);
                let x = start.step(level, slope)?;
                let eps = denoiser.denoise(&x, &SolverStep::new(level, to))?.eps;
                Ok(eps.f_sub(&start.prediction.eps)?)
            };
        if self.config.order == 2 {
            let change = between(0.5, None)?;
            let second = (Slope::Midpoint { share: 0.5 }, &change);
            return Ok([start.step(to, None)?, start.step(to, Some(second))?]);
        }
        let (first, third) = (1.0 / 3.0, 2.0 / 3.0);
        let change = between(first, None)?;
        let last = between(third, Some((Slope::Middle { share: third, of: first }, &change)))?;
        let lower = start.step(to, Some((Slope::Midpoint { share: first }, &change)))?;
        let higher = start.step(to, Some((Slope::Linear { share: third }, &last)))?;
        Ok([lower, higher])
    }

    fn level(&self, lambda: f64) -> NoiseLevel {
        self.levels.level_at_sigma((-lambda).exp())
    }

    /// The root mean square of the difference in units of the tolerance, in x0 + σ·ε.
    fn error(
        &self,
        [lower, higher]: &[Tensor; 2],
        before: &Tensor,
        scale: f64,
    ) -> Result<f64, SamplerError> {
        let largest = lower.f_abs()?.f_div_scalar(scale)?.f_maximum(&before.f_abs()?)?;
        let tolerance = largest.f_mul_scalar(self.config.rtol)?.f_clamp_min(self.config.atol)?;
        let error = lower.f_sub(higher)?.f_div_scalar(scale)?.f_div(&tolerance)?;
        Ok(error.f_square()?.f_mean(Kind::Double)?.f_double_value(&[])?.sqrt())
    }
}

/// A place from which sub-steps start.
struct Start<'x> {
    level: NoiseLevel,
    x: &'x Tensor,
    prediction: &'x Prediction,
}

/// How the change of ε enters a step of DPM-Solver.
enum Slope {
    /// DPM-Solver-2 with a node at a share of the step (Lu et al. 2022a, algorithm 4).
    Midpoint {
        /// r₁, of the step.
        share: f64,
    },
    /// The last stage of DPM-Solver-3 (Lu et al. 2022a, algorithm 5).
    Linear {
        /// r₂, of the step.
        share: f64,
    },
    /// The second stage of DPM-Solver-3.
    Middle {
        /// r₂, of the step.
        share: f64,
        /// r₁, of the step.
        of: f64,
    },
}

impl Start<'_> {
    /// x at a level by order 1, or with the change of ε by a higher order.
    fn step(
        &self,
        to: NoiseLevel,
        slope: Option<(Slope, &Tensor)>,
    ) -> Result<Tensor, SamplerError> {
        let h = to.lambda() - self.level.lambda();
        let first = -to.noise() * h.exp_m1();
        let linear = -to.noise() * (h.exp_m1() / h - 1.0);
        let mut terms =
            vec![(to.signal() / self.level.signal(), self.x), (first, &self.prediction.eps)];
        terms.extend(slope.map(|(slope, change)| match slope {
            Slope::Midpoint { share } => (first / (2.0 * share), change),
            Slope::Linear { share } => (linear / share, change),
            Slope::Middle { share, of } => (linear * share / of, change),
        }));
        combine(&terms)
    }
}

impl Solver for DpmAdaptiveSolver<'_> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let mut prediction = denoiser.denoise(x, &step)?;
        if step.to.is_noiseless() {
            return Ok(SolverOutput { x: renoise(step.to, &prediction)?, x0: prediction.x0 });
        }
        let (mut x, mut level) = (x.shallow_clone(), step.from);
        let mut before = x.f_abs()?.f_div_scalar(level.signal())?;
        let end = step.to.lambda();
        for _ in 0..Self::MAX_SUBSTEPS {
            let left = end - level.lambda();
            if left <= 1e-9 {
                return Ok(SolverOutput { x, x0: prediction.x0 });
            }
            let last = self.control.h >= left;
            let start = Start { level, x: &x, prediction: &prediction };
            let tried = self.try_step(denoiser, &start, self.control.h.min(left))?;
            let next = if last { step.to } else { self.level(level.lambda() + self.control.h) };
            let error = self.error(&tried, &before, next.signal())?;
            if !error.is_finite() {
                return Err(SamplerError::NotFinite {
                    number: step.index() + 1,
                    total: step.count(),
                });
            }
            if self.control.accepts(error) {
                let [lower, higher] = tried;
                before = lower.f_div_scalar(next.signal())?;
                (x, level) = (higher, next);
                if !last {
                    prediction = denoiser.denoise(&x, &SolverStep::new(level, step.to))?;
                }
            }
        }
        Err(SamplerError::Request {
            field: "rtol",
            given: format!("{} with atol {}", self.config.rtol, self.config.atol),
            expected: "tolerances that the precision of the network permits".into(),
        })
    }
}

/// A PID controller of the step size in λ (Söderlind 2003, in the form of k-diffusion).
struct StepSizeControl {
    h: f64,
    exponents: [f64; 3],
    accept_safety: f64,
    /// Inverse errors: of this step and of the last two accepted ones.
    inverse: Option<[f64; 3]>,
}

impl StepSizeControl {
    fn new(config: &DpmAdaptive) -> Self {
        let PidCoefficients { p, i, d, accept_safety } = config.pid;
        let order = config.order as f64;
        let exponents = [(p + i + d) / order, -(p + 2.0 * d) / order, d / order];
        Self { h: config.h_init, exponents, accept_safety, inverse: None }
    }

    /// True if a step with this error is accepted; adapts the step size.
    fn accepts(&mut self, error: f64) -> bool {
        let newest = 1.0 / (error + 1e-8);
        let [_, last, older] = self.inverse.unwrap_or([newest; 3]);
        let inverse = [newest, last, older];
        let product: f64 = inverse.iter().zip(self.exponents).map(|(e, b)| e.powf(b)).product();
        // A smooth limit: between 0.21 and 2.57.
        let factor = 1.0 + (product - 1.0).atan();
        let accepted = factor >= self.accept_safety;
        self.inverse = Some(if accepted { [newest, newest, last] } else { inverse });
        self.h *= factor;
        accepted
    }
}

/// Samples with [`DpmAdaptiveSolver`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn dpm_adaptive(
    denoiser: &dyn Denoiser,
    levels: &dyn NoiseLevels,
    schedule: &SamplingSchedule,
    x: Tensor,
    config: DpmAdaptive,
) -> Result<Tensor, SamplerError> {
    let solver = DpmAdaptiveSolver::new(levels, config)?;
    SamplingSteps::new(denoiser, solver, schedule, x, NoNoise).finish()
}
