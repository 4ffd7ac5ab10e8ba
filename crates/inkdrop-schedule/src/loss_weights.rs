//! Loss weighting by timestep: min-SNR, soft min-SNR and P2.

use ndarray::{Array1, Zip};

use crate::{PredictionType, Schedule, ScheduleError, error::require};

/// Min-SNR loss weights (Hang et al. 2023): weight the squared error of x0 by min(SNR, γ).
///
/// The weights apply to the squared error of the prediction target. An error of x0 equals SNR times
/// the squared error in ε, SNR + 1 times in v, and coef1² times in the posterior mean; the weights are
/// min(SNR, γ) divided by these.
///
/// Where the SNR is 0, the weight of ε is its limit 1, as for every SNR up to γ. The weight of the other
/// targets is 0 there.
///
/// - gamma: γ, finite and above 0; 5 in the paper
///
/// Returns `[T]`, finite and ≥ 0.
///
/// # Errors
/// gamma outside its range.
pub fn min_snr(
    schedule: &Schedule,
    prediction: PredictionType,
    gamma: f64,
) -> Result<Array1<f64>, ScheduleError> {
    require(gamma > 0.0 && gamma.is_finite(), "gamma", gamma, "a finite number above 0")?;
    Ok(bounded_snr(schedule, prediction, gamma))
}

/// Loss weights SNR of the squared error of x0: whatever the network predicts, those of an unweighted
/// error of ε (Ho et al. 2020, eq. 14).
///
/// Conversion to other prediction targets and result are those of [`min_snr`].
pub fn snr(schedule: &Schedule, prediction: PredictionType) -> Array1<f64> {
    bounded_snr(schedule, prediction, f64::INFINITY)
}

/// min(SNR, γ) for the error of x0, converted to another prediction type.
fn bounded_snr(schedule: &Schedule, prediction: PredictionType, gamma: f64) -> Array1<f64> {
    Zip::from(&schedule.snr()).and(schedule.posterior_mean_coef1()).map_collect(|&snr, &coef1| {
        match prediction {
            PredictionType::Epsilon if snr <= gamma => 1.0,
            PredictionType::Epsilon => gamma / snr,
            PredictionType::Sample => snr.min(gamma),
            PredictionType::PosteriorMean => snr.min(gamma) / coef1.powi(2),
            PredictionType::Velocity => snr.min(gamma) / (snr + 1.0),
        }
    })
}

/// γ·SNR/(γ + SNR), the smooth minimum of SNR and γ.
///
/// - snr: ≥ 0
pub fn soft_min(snr: f64, gamma: f64) -> f64 {
    snr / (1.0 + snr / gamma)
}

/// Soft min-SNR loss weights (Crowson et al. 2024, eq. 2): weight the squared error of x0 by
/// [`soft_min`].
///
/// Range, conversion to other prediction targets and result are those of [`min_snr`].
///
/// # Errors
/// gamma outside its range.
pub fn soft_min_snr(
    schedule: &Schedule,
    prediction: PredictionType,
    gamma: f64,
) -> Result<Array1<f64>, ScheduleError> {
    require(gamma > 0.0 && gamma.is_finite(), "gamma", gamma, "a finite number above 0")?;
    Ok(Zip::from(&schedule.snr()).and(schedule.posterior_mean_coef1()).map_collect(
        |&snr, &coef1| match prediction {
            PredictionType::Epsilon => 1.0 / (1.0 + snr / gamma),
            PredictionType::Sample => soft_min(snr, gamma),
            PredictionType::PosteriorMean => soft_min(snr, gamma) / coef1.powi(2),
            PredictionType::Velocity => soft_min(snr, gamma) / (snr + 1.0),
        },
    ))
}

/// P2 loss weights (Choi et al. 2022): weight the squared error of ε by 1/(k + SNR)^γ, which favours
/// noisy timesteps.
///
/// The conversion to other prediction targets is that of [`min_snr`]. Where the SNR is 0, only ε has
/// a weight above 0.
///
/// - gamma: γ, finite and ≥ 0; 0 gives uniform weights, the paper uses 0.5 and 1
/// - k: finite and above 0; 1 in the paper
///
/// Returns `[T]`, finite and ≥ 0.
///
/// # Errors
/// A number outside its range, or k^γ = 0 in f64.
pub fn p2(
    schedule: &Schedule,
    prediction: PredictionType,
    gamma: f64,
    k: f64,
) -> Result<Array1<f64>, ScheduleError> {
    require(gamma >= 0.0 && gamma.is_finite(), "gamma", gamma, "a finite number, 0 or above")?;
    require(k > 0.0 && k.is_finite(), "k", k, "a finite number above 0")?;
    let weight = |snr: f64| (k + snr).powf(gamma).recip();
    require(weight(0.0).is_finite(), "k", k, "a number so large that 1/k^gamma is finite")?;
    Ok(Zip::from(&schedule.snr()).and(schedule.posterior_mean_coef1()).map_collect(
        |&snr, &coef1| match prediction {
            PredictionType::Epsilon => weight(snr),
            PredictionType::Sample => weight(snr) * snr,
            PredictionType::PosteriorMean => weight(snr) * snr / coef1.powi(2),
            PredictionType::Velocity => weight(snr) * snr / (snr + 1.0),
        },
    ))
}
