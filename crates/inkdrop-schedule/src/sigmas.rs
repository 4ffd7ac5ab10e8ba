//! σ grids (noise levels in the convention x = x0 + σ·ε).
//!
//! σ is the standard deviation of the noise in units of the data, and ᾱ = 1/(1 + σ²). A grid holds n
//! decreasing levels σ > 0, without a final zero.

use ndarray::Array1;

use crate::{
    ScheduleError,
    error::{MAX_STEPS, require},
    linspace::linspace,
};

/// Karras noise levels: linear in σ^(1/ρ) (Karras et al. 2022, eq. 5, with ρ = 7).
///
/// - sigma_min, sigma_max: 0 < sigma_min ≤ sigma_max, finite
/// - rho: > 0; larger puts more levels near sigma_min
///
/// Returns `[n]`, from sigma_max to sigma_min; just sigma_max for n = 1.
///
/// # Errors
/// n is not 1 to a million, or a number is outside its range.
///
/// ```
/// let sigmas = inkdrop_schedule::sigmas::karras(10, 0.002, 80.0, 7.0)?;
/// assert_eq!((sigmas[0], sigmas[9]), (80.0, 0.002));
/// # Ok::<(), inkdrop_schedule::ScheduleError>(())
/// ```
pub fn karras(
    n: usize,
    sigma_min: f64,
    sigma_max: f64,
    rho: f64,
) -> Result<Array1<f64>, ScheduleError> {
    check_rho(rho)?;
    // In units of sigma_max, since a small ρ would overflow otherwise.
    let root = (sigma_min / sigma_max).powf(1.0 / rho);
    between(n, sigma_min, sigma_max, |u| sigma_max * (1.0 + u * (root - 1.0)).powf(rho))
}

/// Noise levels as they are given.
///
/// - levels: strictly decreasing, from sigma_max to sigma_min at most (up to rounding to five digits)
///
/// # Errors
/// There are none or more than a million, or they are not as above.
pub fn given(levels: &[f64], sigma_min: f64, sigma_max: f64) -> Result<Array1<f64>, ScheduleError> {
    check_levels(levels.len())?;
    let falls = |i: usize| i == 0 || levels[i] < levels[i - 1];
    let inside =
        |level: f64| level >= sigma_min * (1.0 - 1e-5) && level <= sigma_max * (1.0 + 1e-5);
    let wrong = (0..levels.len()).find(|&i| !(falls(i) && inside(levels[i])));
    match wrong {
        Some(i) => Err(ScheduleError::Sigma { sigma: levels[i], sigma_min, sigma_max }),
        None => Ok(levels.iter().map(|level| level.clamp(sigma_min, sigma_max)).collect()),
    }
}

/// Noise levels of rectified flow: σ = t/(1 − t) for t evenly spaced from σ_max/(1 + σ_max) down, the
/// last one 1/n of that, shifted to s·t/(1 + (s − 1)·t) (Esser et al. 2024, eq. 23).
///
/// - sigma_max: > 0; may be infinite
/// - shift: s > 0; 1 keeps t
///
/// Returns `[n]`, decreasing.
///
/// # Errors
/// n is not 1 to a million, or a number is outside its range.
pub fn flow(n: usize, sigma_max: f64, shift: f64) -> Result<Array1<f64>, ScheduleError> {
    check_levels(n)?;
    require(sigma_max > 0.0, "sigma_max", sigma_max, "a number above 0")?;
    require(shift > 0.0 && shift.is_finite(), "shift", shift, "a finite number above 0")?;
    // t/(1 − t) of the shifted time is s·t/(1 − t).
    Ok(Array1::from_shape_fn(n, |i| match i {
        0 => sigma_max,
        _ => {
            let start = 1.0 / (1.0 + 1.0 / sigma_max); // shifted already
            let unshifted = start / (shift - (shift - 1.0) * start);
            let t = unshifted * (n - i) as f64 / n as f64;
            shift * t / (1.0 - t)
        }
    }))
}

/// Exponential noise levels: linear in ln σ.
///
/// Ranges and result are those of [`karras`].
///
/// # Errors
/// n is not 1 to a million, or a number is outside its range.
pub fn exponential(n: usize, sigma_min: f64, sigma_max: f64) -> Result<Array1<f64>, ScheduleError> {
    polyexponential(n, sigma_min, sigma_max, 1.0)
}

/// Polyexponential noise levels: ln σ = ln sigma_min + (1 − u)^ρ·(ln sigma_max − ln sigma_min), u from 0 to 1
/// (Crowson's k-diffusion, `get_sigmas_polyexponential`).
///
/// Ranges and result are those of [`karras`]; ρ = 1 is [`exponential`].
///
/// # Errors
/// n is not 1 to a million, or a number is outside its range.
pub fn polyexponential(
    n: usize,
    sigma_min: f64,
    sigma_max: f64,
    rho: f64,
) -> Result<Array1<f64>, ScheduleError> {
    check_rho(rho)?;
    let (low, high) = (sigma_min.ln(), sigma_max.ln());
    between(n, sigma_min, sigma_max, |u| ((1.0 - u).powf(rho) * (high - low) + low).exp())
}

/// Noise levels of the continuous variance-preserving (VP) process,
/// σ(t) = √(exp(β_d·t²/2 + β_min·t) − 1) at even t from 1 to ε_s
/// (Song et al. 2021, in the form of Karras et al. 2022, table 1).
///
/// - beta_d, beta_min: ≥ 0, not both 0; 19.9 and 0.1 in the paper
/// - eps_s: the last t, in (0, 1]; 1e-3 in the paper
///
/// Returns `[n]`; just σ(1) for n = 1.
///
/// # Errors
/// n is not 1 to a million, a number is outside its range, or σ is ∞ at 1 or 0
/// at eps_s in f64.
pub fn vp(n: usize, beta_d: f64, beta_min: f64, eps_s: f64) -> Result<Array1<f64>, ScheduleError> {
    check_levels(n)?;
    for (name, beta) in [("beta_d", beta_d), ("beta_min", beta_min)] {
        require(beta >= 0.0 && beta.is_finite(), name, beta, "a finite number, 0 or above")?;
    }
    require(eps_s > 0.0 && eps_s <= 1.0, "eps_s", eps_s, "0 < eps_s <= 1")?;
    let sigma = |t: f64| (beta_d * t * t / 2.0 + beta_min * t).exp_m1().sqrt();
    let (name, first) = if beta_d > beta_min { ("beta_d", beta_d) } else { ("beta_min", beta_min) };
    require(sigma(1.0) > 0.0, name, first, "beta_d or beta_min to be above 0")?;
    require(sigma(1.0).is_finite(), name, first, "beta_d/2 + beta_min to be below 709")?;
    require(sigma(eps_s) > 0.0, "eps_s", eps_s, "a time at which there is noise in f64")?;
    let time = linspace(1.0, eps_s, n);
    Ok(Array1::from_shape_fn(n, |i| sigma(time(i))))
}

/// n levels of a curve over u in [0, 1] from `max` to `min`, clamped to these against rounding.
fn between(
    n: usize,
    min: f64,
    max: f64,
    curve: impl Fn(f64) -> f64,
) -> Result<Array1<f64>, ScheduleError> {
    check_levels(n)?;
    for (name, sigma) in [("sigma_min", min), ("sigma_max", max)] {
        require(sigma > 0.0 && sigma.is_finite(), name, sigma, "a finite number above 0")?;
    }
    if min > max {
        return Err(ScheduleError::Order { low: ("sigma_min", min), high: ("sigma_max", max) });
    }
    let u = linspace(0.0, 1.0, n);
    Ok(Array1::from_shape_fn(n, |i| match i {
        0 => max,
        _ if i == n - 1 => min,
        _ => curve(u(i)).clamp(min, max),
    }))
}

fn check_levels(n: usize) -> Result<(), ScheduleError> {
    if (1..=MAX_STEPS).contains(&n) { Ok(()) } else { Err(ScheduleError::LevelCount(n)) }
}

fn check_rho(rho: f64) -> Result<(), ScheduleError> {
    require(rho > 0.0 && rho.is_finite(), "rho", rho, "a finite number above 0")
}
