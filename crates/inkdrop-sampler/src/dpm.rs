//! One network call a step, exact in the linear part: DPM-Solver and DPM-Solver++, multistep.

use std::collections::VecDeque;

use inkdrop_process::Predictor;
use inkdrop_schedule::{Leg, Path};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::{combine, draw, report};
use crate::{OnStep, SamplerError};

/// Which multistep DPM-Solver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DpmSolver {
    /// 1 (DDIM) to 3: how many predictions a step stands on.
    pub order: usize,
    /// What is extrapolated.
    pub of: Extrapolated,
    /// Whether the reverse SDE is solved, with fresh noise in every step, instead of the ODE.
    pub stochastic: bool,
    /// How the second order is written.
    pub second: SecondOrder,
    /// Whether the last steps are of lower order where there are fewer than 15: steadier.
    pub lower_order_final: bool,
    /// Whether the last step is of first order however many there are; it always is where it
    /// ends without noise.
    pub euler_at_final: bool,
    /// Whether the third order is taken as the authors' program and diffusers release it: with
    /// half of its last term (for the SDE, with another sign, too), which leaves it of second
    /// order. For comparison with their pictures.
    pub published_third: bool,
}

/// What a DPM-Solver extrapolates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extrapolated {
    /// The predicted image: DPM-Solver++ (Lu et al. 2022b).
    Image,
    /// The predicted noise: DPM-Solver (Lu et al. 2022a).
    Noise,
}

/// The two ways to write the second order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondOrder {
    /// The step's slope is that at its middle.
    Midpoint,
    /// The slope's change is integrated exactly.
    Heun,
}

impl DpmSolver {
    /// DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2).
    pub const PP_2M: Self = Self {
        order: 2,
        of: Extrapolated::Image,
        stochastic: false,
        second: SecondOrder::Midpoint,
        lower_order_final: true,
        euler_at_final: false,
        published_third: false,
    };

    /// DPM-Solver++(3M).
    pub const PP_3M: Self = Self { order: 3, ..Self::PP_2M };

    /// SDE-DPM-Solver++(2M) (Lu et al. 2022b, section 5).
    pub const PP_2M_SDE: Self = Self { stochastic: true, ..Self::PP_2M };

    /// SDE-DPM-Solver++(3M).
    pub const PP_3M_SDE: Self = Self { stochastic: true, ..Self::PP_3M };

    /// The order of step `i`: as many predictions as there are, fewer at the end.
    fn order_at(&self, i: usize, path: &Path) -> usize {
        let (left, few) = (path.steps() - i, self.lower_order_final && path.steps() < 15);
        let clean = path.legs()[i].to.is_clean();
        let most = match left {
            1 if clean || few || self.euler_at_final => 1,
            2 if few => 2,
            _ => self.order,
        };
        most.min(self.order).min(i + 1)
    }
}

/// A multistep DPM-Solver: the part of the step that is linear in x is solved exactly, the rest
/// by a polynomial in λ (half the log-SNR) through the last predictions.
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// An order outside 1 to 3, the network cannot take x, the noise runs out, or x stops being
/// finite.
pub fn dpm_solver(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    config: DpmSolver,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    SamplerError::order("dpm-solver", config.order, 3)?;
    let _guard = no_grad_guard();
    let mut past: VecDeque<(f64, Tensor)> = VecDeque::new(); // (λ, prediction), the newest first
    for (i, leg) in path.legs().iter().enumerate() {
        let prediction = model.predict(&x, leg)?;
        let said = match config.of {
            Extrapolated::Image => prediction.x0.shallow_clone(),
            Extrapolated::Noise => prediction.eps,
        };
        // A level that is visited twice is one node, with its newest prediction.
        if past.front().is_some_and(|(lambda, _)| *lambda == leg.from.lambda()) {
            past.pop_front();
        }
        past.push_front((leg.from.lambda(), said));
        past.truncate(config.order);
        let coefs = Coefs::of(&config, leg);
        x = coefs.step(&x, &past, leg.to.lambda(), config.order_at(i, path).min(past.len()))?;
        if coefs.noise > 0.0 {
            x = x.f_add(&draw(noise, &x)?.f_mul_scalar(coefs.noise)?)?;
        }
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}

/// What a step takes of x, of the prediction and its slopes in λ, and of fresh noise.
struct Coefs {
    x: f64,
    value: f64,
    /// Of the change over one step, at second order.
    change: f64,
    /// Of the change over one step, at third order.
    slope: f64,
    /// Of the slope's change.
    bend: f64,
    noise: f64,
}

impl Coefs {
    /// Lu et al. 2022a, appendix B; 2022b, appendix A and B.
    fn of(config: &DpmSolver, Leg { from, to, .. }: &Leg) -> Self {
        if to.is_clean() && config.of == Extrapolated::Noise {
            // The limit of the step: the predicted image.
            let (x, value) = (1.0 / from.signal(), -from.sigma());
            return Self { x, value, change: 0.0, slope: 0.0, bend: 0.0, noise: 0.0 };
        }
        let h = to.lambda() - from.lambda();
        // The integrals of e^{s}, s·e^{s} and s²·e^{s} over the step, in units of it.
        let (scale, length, x, noise) = match (config.of, config.stochastic) {
            (Extrapolated::Image, false) => (to.signal(), -h, to.noise() / from.noise(), 0.0),
            (Extrapolated::Image, true) => {
                let x = to.noise() / from.noise() * (-h).exp();
                (to.signal(), -2.0 * h, x, to.noise() * (-(-2.0 * h).exp_m1()).sqrt())
            }
            (Extrapolated::Noise, stochastic) => {
                let noise = if stochastic { to.noise() * (2.0 * h).exp_m1().sqrt() } else { 0.0 };
                (to.noise(), h, to.signal() / from.signal(), noise)
            }
        };
        // The SDE of the noise form has twice the drift.
        let twice = config.of == Extrapolated::Noise && config.stochastic;
        let scale = if twice { -2.0 * scale } else { -scale };
        let value = scale * length.exp_m1();
        let slope = scale * (length.exp_m1() / length - 1.0);
        let half = scale * ((length.exp_m1() - length) / length.powi(2) - 0.5);
        let bend = match (config.published_third, config.stochastic) {
            (false, _) => 2.0 * half,
            (true, false) => half,
            (true, true) => half + scale,
        };
        let change = match config.second {
            SecondOrder::Midpoint => 0.5 * value,
            SecondOrder::Heun => slope,
        };
        Self { x, value, change, slope, bend, noise }
    }

    /// - past: (λ, prediction), the newest first
    fn step(
        &self,
        x: &Tensor,
        past: &VecDeque<(f64, Tensor)>,
        to: f64,
        order: usize,
    ) -> Result<Tensor, SamplerError> {
        let h = to - past[0].0;
        let slope = |i: usize| -> Result<Tensor, SamplerError> {
            let r = (past[i].0 - past[i + 1].0) / h;
            combine(&[(1.0 / r, &past[i].1), (-1.0 / r, &past[i + 1].1)])
        };
        let (x, value) = ((self.x, x), (self.value, &past[0].1));
        match order {
            // A step of no length changes nothing at any order.
            _ if order == 1 || h == 0.0 => combine(&[x, value]),
            2 => combine(&[x, value, (self.change, &slope(0)?)]),
            _ => {
                let (r0, r1) = ((past[0].0 - past[1].0) / h, (past[1].0 - past[2].0) / h);
                let (near, far) = (slope(0)?, slope(1)?);
                let bend = combine(&[(1.0, &near), (-1.0, &far)])?;
                let first = combine(&[(1.0, &near), (r0 / (r0 + r1), &bend)])?;
                combine(&[x, value, (self.slope, &first), (self.bend / (r0 + r1), &bend)])
            }
        }
    }
}
