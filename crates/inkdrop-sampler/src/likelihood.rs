//! Likelihood of images under the probability flow (Song et al. 2021, section 4.3 and appendix D.2).

use std::f64::consts::{LN_2, PI};

use inkdrop_process::Denoiser;
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Kind, Tensor};

use crate::SamplerError;

/// How the trace of the denoiser's Jacobian is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// An unbiased estimate vᵀ·J·v with random signs v, drawn once per image: one backward pass per
    /// evaluation (Hutchinson 1990; Grathwohl et al. 2019).
    Hutchinson,
    /// One backward pass for each element of an image; for small images.
    Exact,
}

/// The likelihood of images: an iterator over the steps of the probability flow from data to noise, two
/// evaluations of the denoiser each (Heun's method).
///
/// Along the flow dx/dσ = ε, the log-density changes by the divergence (Song et al. 2021, eq. 39), which
/// is integrated over ln σ. The density is that of images that the flow makes of N(0, 1) at the start of the schedule.
#[must_use = "nothing is computed before the iterator is advanced"]
pub struct FlowLikelihood<'a> {
    denoiser: Box<dyn Denoiser + 'a>,
    trace: Trace,
    /// From the least noise up.
    levels: Vec<NoiseLevel>,
    /// Random signs, [B, C, H, W].
    probe: Tensor,
    /// x0 + σ·ε, [B, C, H, W].
    x: Tensor,
    /// The integral of the divergence, `[B]` in f64.
    divergence: Tensor,
    index: usize,
}

impl<'a> FlowLikelihood<'a> {
    /// Prepares the flow of images in [−1, 1] from the last noise level of a schedule to its first.
    ///
    /// - denoiser: with gradients with respect to x; a compiled network has none
    /// - schedule: two levels or more
    ///
    /// # Shapes
    /// - x0: [B, C, H, W]
    ///
    /// # Errors
    /// A schedule of a single level, or the noise source runs out.
    pub fn new(
        denoiser: impl Denoiser + 'a,
        schedule: &SamplingSchedule,
        x0: &Tensor,
        trace: Trace,
        noise: &mut dyn NoiseSource,
    ) -> Result<Self, SamplerError> {
        let schedule = schedule.with_min_signal();
        let levels: Vec<NoiseLevel> = schedule.steps().iter().rev().map(|step| step.from).collect();
        if levels.len() < 2 {
            let expected = "at least 2 for a likelihood".to_string();
            return Err(SamplerError::Request { field: "steps", given: "1".into(), expected });
        }
        let signs = noise.normal(&x0.size(), x0.device())?.f_to_kind(x0.kind())?.f_sign()?;
        let divergence = Tensor::f_zeros([x0.size()[0]], (Kind::Double, x0.device()))?;
        let (denoiser, x) = (Box::new(denoiser), x0.f_detach()?);
        Ok(Self { denoiser, trace, levels, probe: signs, x, divergence, index: 0 })
    }

    /// Number of steps left.
    pub fn remaining(&self) -> usize {
        self.levels.len() - 1 - self.index
    }

    /// Takes the remaining steps; returns the log-density of each image in nats, `[B]` in f64.
    ///
    /// # Errors
    /// The denoiser fails or has no gradients.
    pub fn log_density(mut self) -> Result<Tensor, SamplerError> {
        for step in self.by_ref() {
            step?;
        }
        // x of unit variance is N(0, 1) at the first noise level of a schedule.
        let signal = self.levels[self.index].signal();
        let elements = (self.x.numel() as i64 / self.x.size()[0]) as f64;
        let x = self.x.f_to_kind(Kind::Double)?.f_mul_scalar(signal)?.f_flatten(1, -1)?;
        let squares = x.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?;
        let prior = squares.f_mul_scalar(-0.5)?;
        let constant = elements * (signal.ln() - 0.5 * (2.0 * PI).ln());
        Ok(prior.f_add(&self.divergence)?.f_add_scalar(constant)?)
    }

    /// The bits per dimension of images with 256 levels in [−1, 1], whose values have been spread evenly
    /// over their bins of width 2/255 (uniform dequantisation, Theis et al. 2016), `[B]` in f64.
    ///
    /// # Errors
    /// As for [`FlowLikelihood::log_density`].
    pub fn bits_per_dim(self) -> Result<Tensor, SamplerError> {
        let elements = (self.x.numel() as i64 / self.x.size()[0]) as f64;
        let nats = self.log_density()?;
        Ok(nats.f_mul_scalar(-1.0 / (elements * LN_2))?.f_add_scalar(127.5f64.log2())?)
    }

    /// One step of Heun's method for x, and of the trapezoidal rule for the divergence.
    fn advance(&mut self) -> Result<(), SamplerError> {
        let (from, to) = (self.levels[self.index], self.levels[self.index + 1]);
        let length = to.sigma() - from.sigma();
        let (first, first_divergence) = self.slope(&self.x, from)?;
        let euler = self.x.f_add(&first.f_mul_scalar(length)?)?;
        let (second, second_divergence) = self.slope(&euler, to)?;
        self.x = self.x.f_add(&first.f_add(&second)?.f_mul_scalar(length / 2.0)?)?;
        let log_length = to.sigma().ln() - from.sigma().ln();
        let gained = first_divergence.f_add(&second_divergence)?.f_mul_scalar(log_length / 2.0)?;
        self.divergence = self.divergence.f_add(&gained)?;
        self.index += 1;
        Ok(())
    }

    /// ε = (x − D(x; σ))/σ of x = x0 + σ·ε, and its divergence times σ.
    fn slope(&self, x: &Tensor, level: NoiseLevel) -> Result<(Tensor, Tensor), SamplerError> {
        let x = x.f_detach()?.f_set_requires_grad(true)?;
        let step = SolverStep::new(level, NoiseLevel::NOISELESS);
        let x0 = self.denoiser.denoise(&x.f_mul_scalar(level.signal())?, &step)?.x0;
        if !x0.requires_grad() {
            return Err(SamplerError::Request {
                field: "denoiser",
                given: "without gradients".into(),
                expected: "one with gradients with respect to x: a network that is not compiled, with gradients enabled".into(),
            });
        }
        let elements = (x.numel() as i64 / x.size()[0]) as f64;
        let trace = match self.trace {
            Trace::Hutchinson => quadratic_form(&x0, &x, &self.probe, false)?,
            Trace::Exact => exact_trace(&x0, &x)?,
        };
        let divergence = trace.f_neg()?.f_add_scalar(elements)?;
        let eps = x.f_detach()?.f_sub(&x0.f_detach()?)?.f_div_scalar(level.sigma())?;
        Ok((eps, divergence))
    }
}

impl Iterator for FlowLikelihood<'_> {
    type Item = Result<(), SamplerError>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.remaining() > 0).then(|| self.advance())
    }
}

/// vᵀ·(dy/dx)·v of each image, `[B]` in f64.
fn quadratic_form(
    y: &Tensor,
    x: &Tensor,
    v: &Tensor,
    keep_graph: bool,
) -> Result<Tensor, SamplerError> {
    let sum = y.f_mul(v)?.f_sum(y.kind())?;
    let gradient = Tensor::f_run_backward(&[sum], &[x], keep_graph, false)?;
    let product = gradient[0].f_mul(v)?.f_to_kind(Kind::Double)?.f_flatten(1, -1)?;
    Ok(product.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?)
}

/// The trace of dy/dx of each image, `[B]` in f64.
fn exact_trace(y: &Tensor, x: &Tensor) -> Result<Tensor, SamplerError> {
    let elements = x.numel() as i64 / x.size()[0];
    let mut trace = Tensor::f_zeros([x.size()[0]], (Kind::Double, x.device()))?;
    for element in 0..elements {
        let unit = x.f_detach()?.f_zeros_like()?;
        let mut column = unit.f_view([x.size()[0], elements])?.f_narrow(1, element, 1)?;
        let _ = column.f_fill_(1.0)?;
        trace = trace.f_add(&quadratic_form(y, x, &unit, element + 1 < elements)?)?;
    }
    Ok(trace)
}
