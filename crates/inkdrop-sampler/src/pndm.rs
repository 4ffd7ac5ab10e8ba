//! Pseudo numerical methods: classic multistep weights, with DDIM's step as the ruler.

use std::collections::VecDeque;

use inkdrop_process::Predictor;
use inkdrop_schedule::{Leg, Level, Path, Schedule};
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::{combine, report};
use crate::{OnStep, SamplerError};

/// PLMS: DDIM's step with the noise extrapolated from the last four predictions; the first step
/// is taken twice (Liu et al. 2022, eq. 12, with the start of Rombach et al. 2022). n steps take
/// n + 1 network calls. The weights are those of even steps, whatever the path's.
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// The network cannot take x, or x stops being finite.
pub fn plms(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let _guard = no_grad_guard();
    let legs = path.legs();
    let mut past = VecDeque::new();
    for (i, leg) in legs.iter().enumerate() {
        let prediction = model.predict(&x, leg)?;
        let eps = match legs.get(1).filter(|_| i == 0) {
            Some(next) => {
                let guess = transfer(&x, &prediction.eps, leg.from, leg.to)?;
                let second = model.predict(&guess, next)?.eps;
                let mean = combine(&[(0.5, &prediction.eps), (0.5, &second)])?;
                past.push_front(prediction.eps);
                mean
            }
            None => extrapolated(&mut past, prediction.eps)?,
        };
        x = transfer(&x, &eps, leg.from, leg.to)?;
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}

/// PNDM: three steps of a pseudo Runge-Kutta method of four network calls each, then PLMS (Liu et
/// al. 2022, algorithm 2). n steps take n + 9 network calls.
///
/// - schedule: the full process's, which says what the middle levels are
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// Fewer than 4 steps, the network cannot take x, or x stops being finite.
pub fn pndm(
    model: &dyn Predictor,
    schedule: &Schedule,
    path: &Path,
    mut x: Tensor,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    if path.steps() < 4 {
        let (given, expected) = (path.steps().to_string(), "at least 4 for pndm".into());
        return Err(SamplerError::Request { field: "steps", given, expected });
    }
    let _guard = no_grad_guard();
    let mut past = VecDeque::new();
    for (i, leg) in path.legs().iter().enumerate() {
        let prediction = model.predict(&x, leg)?;
        let x0 = prediction.x0;
        let eps = if i < 3 {
            let mean = runge_kutta(model, schedule, leg, &x, &prediction.eps)?;
            past.push_front(prediction.eps);
            mean
        } else {
            extrapolated(&mut past, prediction.eps)?
        };
        x = transfer(&x, &eps, leg.from, leg.to)?;
        report(path, i, &x, &x0, on_step)?;
    }
    Ok(x)
}

/// The mean slope of the classic method of four calls, each reached by a transfer.
fn runge_kutta(
    model: &dyn Predictor,
    schedule: &Schedule,
    leg: &Leg,
    x: &Tensor,
    first: &Tensor,
) -> Result<Tensor, SamplerError> {
    // The step in the middle, the later one where there are two.
    let time = ((leg.from.time + leg.to.time) / 2.0).ceil();
    let middle = schedule.level_at_time(time);
    let half = |eps: &Tensor| transfer(x, eps, leg.from, middle);
    let second = model.predict(&half(first)?, &Leg::new(middle, leg.to))?.eps;
    let third = model.predict(&half(&second)?, &Leg::new(middle, leg.to))?.eps;
    let end = transfer(x, &third, leg.from, leg.to)?;
    let fourth = model.predict(&end, &Leg::new(leg.to, Level::CLEAN))?.eps;
    let (outer, inner) = (1.0 / 6.0, 1.0 / 3.0);
    combine(&[(outer, first), (inner, &second), (inner, &third), (outer, &fourth)])
}

/// Adams and Bashforth's slope from up to four predictions; the newest joins the past ones.
fn extrapolated(past: &mut VecDeque<Tensor>, newest: Tensor) -> Result<Tensor, SamplerError> {
    const WEIGHTS: [&[f64]; 4] = [
        &[1.0],
        &[3.0 / 2.0, -1.0 / 2.0],
        &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    ];
    past.push_front(newest);
    past.truncate(4);
    let weights = WEIGHTS[past.len() - 1].iter().copied();
    combine(&weights.zip(past.iter()).collect::<Vec<_>>())
}

/// DDIM's step with a given noise (Liu et al. 2022, eq. 9).
fn transfer(x: &Tensor, eps: &Tensor, from: Level, to: Level) -> Result<Tensor, SamplerError> {
    let ratio = to.signal() / from.signal();
    combine(&[(ratio, x), (to.noise() - ratio * from.noise(), eps)])
}
