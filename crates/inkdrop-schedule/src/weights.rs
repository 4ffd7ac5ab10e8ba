//! How much the loss of each step counts.

use ndarray::{Array1, Zip};

use crate::{MeanType, Schedule, ScheduleError, error::require};

/// Factors on the squared error of what the network predicts that weigh the
/// squared error of x0 by min(SNR, γ) (Hang et al. 2023).
///
/// Given x_t, an error of x0 is one of SNR times its square in ε, of SNR + 1
/// times in v and of coef1² times in the posterior mean, so that the factors are
/// min(SNR, γ) over these.
///
/// Where the SNR is 0 an error of ε says nothing about x0; its factor is the
/// limit 1, that of all steps with an SNR up to γ. The other targets' is 0 there.
///
/// - gamma: γ, finite and above 0; 5 in the paper
///
/// Returns `[T]`, finite and ≥ 0.
///
/// # Errors
/// gamma is outside its range.
pub fn min_snr(
    schedule: &Schedule,
    mean: MeanType,
    gamma: f64,
) -> Result<Array1<f64>, ScheduleError> {
    require(gamma > 0.0 && gamma.is_finite(), "gamma", gamma, "a finite number above 0")?;
    Ok(Zip::from(&schedule.snr()).and(schedule.posterior_mean_coef1()).map_collect(
        |&snr, &coef1| match mean {
            MeanType::Epsilon if snr <= gamma => 1.0,
            MeanType::Epsilon => gamma / snr,
            MeanType::StartX => snr.min(gamma),
            MeanType::PreviousX => snr.min(gamma) / coef1.powi(2),
            MeanType::V => snr.min(gamma) / (snr + 1.0),
        },
    ))
}

/// Factors on the squared error of what the network predicts that weigh the
/// squared error of ε by 1/(k + SNR)^γ (Choi et al. 2022), which favours the
/// steps with much noise.
///
/// The conversion is that of [`min_snr`]; where the SNR is 0 the factors of all
/// targets but ε are 0.
///
/// - gamma: γ, finite and ≥ 0; 0 weighs all steps alike, 0.5 and 1 in the paper
/// - k: finite and above 0; 1 in the paper
///
/// Returns `[T]`, finite and ≥ 0.
///
/// # Errors
/// A number is outside its range, or k^γ is 0 in f64.
pub fn p2(
    schedule: &Schedule,
    mean: MeanType,
    gamma: f64,
    k: f64,
) -> Result<Array1<f64>, ScheduleError> {
    require(gamma >= 0.0 && gamma.is_finite(), "gamma", gamma, "a finite number, 0 or above")?;
    require(k > 0.0 && k.is_finite(), "k", k, "a finite number above 0")?;
    let weight = |snr: f64| (k + snr).powf(gamma).recip();
    require(weight(0.0).is_finite(), "k", k, "a number so large that 1/k^gamma is finite")?;
    Ok(Zip::from(&schedule.snr()).and(schedule.posterior_mean_coef1()).map_collect(
        |&snr, &coef1| match mean {
            MeanType::Epsilon => weight(snr),
            MeanType::StartX => weight(snr) * snr,
            MeanType::PreviousX => weight(snr) * snr / coef1.powi(2),
            MeanType::V => weight(snr) * snr / (snr + 1.0),
        },
    ))
}
