//! One network call a step, with a polynomial through the last slopes.

use std::collections::VecDeque;

use inkdrop_process::Predictor;
use inkdrop_schedule::{Path, solver};
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::{combine, report};
use crate::{OnStep, SamplerError};

/// Linear multistep (Adams-Bashforth with the path's own spacing in σ): the slope dx/dσ = ε of
/// the step is that of a polynomial through the last slopes, as in k-diffusion's `sample_lms`.
///
/// - order: 1 (Euler) to 4, the slopes that are remembered
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// An order outside 1 to 4, the network cannot take x, or x stops being finite.
pub fn lms(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    order: usize,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    SamplerError::order("lms", order, 4)?;
    let _guard = no_grad_guard();
    let mut slopes: VecDeque<(f64, Tensor)> = VecDeque::new(); // the newest first
    for (i, leg) in path.legs().iter().enumerate() {
        let prediction = model.predict(&x, leg)?;
        // A level that is visited twice is one node, with its newest slope.
        if slopes.front().is_some_and(|(sigma, _)| *sigma == leg.from.sigma()) {
            slopes.pop_front();
        }
        slopes.push_front((leg.from.sigma(), prediction.eps));
        slopes.truncate(order);
        let nodes: Vec<f64> = slopes.iter().map(|(sigma, _)| *sigma).collect();
        let signal = leg.to.signal();
        let weights = solver::adams_weights(&nodes, leg.to.sigma());
        let mut terms = vec![(signal / leg.from.signal(), &x)];
        terms.extend(weights.iter().zip(&slopes).map(|(w, (_, slope))| (signal * w, slope)));
        x = combine(&terms)?;
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}
