//! Noise distribution: the noise levels of training images, for processes of continuous noise levels.

use serde::{Deserialize, Serialize};

use crate::error::require;
use crate::preconditioning::iddpm_sigmas;
use crate::{FlowPath, NoiseLevel, Preconditioning, ScheduleError};

/// Noise distribution: how often each noise level occurs in training.
///
/// [`NoiseDistribution::level`] is the quantile function: the level below which a fraction u of the
/// images lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NoiseDistribution {
    /// ln σ ~ N(mean, std²) (Karras et al. 2022, table 1: −1.2 and 1.2).
    LogNormal {
        /// P_mean.
        mean: f64,
        /// P_std; > 0.
        std: f64,
    },
    /// ln σ is uniform (Song et al. 2021, the VE column of Karras et al. 2022, table 1).
    LogUniform {
        /// Smallest σ; > 0.
        sigma_min: f64,
        /// Largest σ.
        sigma_max: f64,
    },
    /// The time t of the path is uniform in [0, 1]; for processes that are no flow, the time of the
    /// linear path, t = σ/(1 + σ), but for VP (Song et al. 2021) and for iDDPM, whose timesteps are uniform (Karras et
    /// al. 2022, table 1).
    Uniform,
    /// The time t of the path is sigmoid(z), z ~ N(mean, std²) (Esser et al. 2024, eq. 19).
    LogitNormal {
        /// Mean of the logit; 0 in the paper.
        mean: f64,
        /// Standard deviation of the logit; > 0, 1 in the paper.
        std: f64,
    },
    /// The cosine schedule, shifted and interpolated between two resolutions (Hoogeboom et al. 2023,
    /// section 3.2).
    CosineInterpolated {
        /// Side of the images in pixels; > 0.
        image_side: f64,
        /// Resolution whose noise is kept at high noise levels; > 0.
        low: f64,
        /// Resolution whose noise is kept at low noise levels; > 0.
        high: f64,
    },
}

/// Range of t that a uniform time leaves out at both ends, where σ is 0 or infinite.
const TIME_MARGIN: f64 = 1e-5;

/// Largest absolute log-SNR of the cosine schedule (Hoogeboom et al. 2023).
const MAX_LOG_SNR: f64 = 15.0;

impl NoiseDistribution {
    /// The distribution that the paper of a preconditioning uses.
    pub fn of(preconditioning: &Preconditioning) -> Self {
        match preconditioning {
            Preconditioning::Ve {} => Self::LogUniform { sigma_min: 0.02, sigma_max: 100.0 },
            Preconditioning::Vp(_) | Preconditioning::Iddpm {} => Self::Uniform,
            Preconditioning::Flow { .. } => Self::LogitNormal { mean: 0.0, std: 1.0 },
            Preconditioning::FlowSample { .. } => Self::LogitNormal { mean: 0.8, std: 0.8 },
            Preconditioning::TrigFlow { .. } => Self::LogNormal { mean: -1.0, std: 1.4 },
            _ => Self::LogNormal { mean: -1.2, std: 1.2 },
        }
    }

    /// Validates the numbers.
    ///
    /// # Errors
    /// A number outside its range.
    pub fn check(&self) -> Result<(), ScheduleError> {
        let above = |name, value: f64| {
            require(value > 0.0 && value.is_finite(), name, value, "a finite number above 0")
        };
        match *self {
            Self::LogNormal { mean, std } | Self::LogitNormal { mean, std } => {
                require(mean.is_finite(), "mean", mean, "a finite number")?;
                above("std", std)
            }
            Self::LogUniform { sigma_min, sigma_max } => {
                above("sigma_min", sigma_min)?;
                above("sigma_max", sigma_max)?;
                let (low, high) = (("sigma_min", sigma_min), ("sigma_max", sigma_max));
                if low.1 < high.1 { Ok(()) } else { Err(ScheduleError::Order { low, high }) }
            }
            Self::Uniform => Ok(()),
            Self::CosineInterpolated { image_side, low, high } => {
                [("image_side", image_side), ("low", low), ("high", high)]
                    .into_iter()
                    .try_for_each(|(name, value)| above(name, value))
            }
        }
    }

    /// The noise level at quantile u in (0, 1), with the time that the network receives.
    pub fn level(&self, u: f64, preconditioning: &Preconditioning) -> NoiseLevel {
        preconditioning.level(match *self {
            Self::LogNormal { mean, std } => (mean + std * normal_quantile(u)).exp(),
            Self::LogUniform { sigma_min, sigma_max } => {
                sigma_min * (sigma_max / sigma_min).powf(u)
            }
            Self::Uniform => match preconditioning {
                // Song et al. 2021 and Karras et al. 2022, table 1: t from 1e-5 to 1.
                Preconditioning::Vp(betas) => betas.sigma(TIME_MARGIN + u * (1.0 - TIME_MARGIN)),
                Preconditioning::Iddpm {} => {
                    let levels = iddpm_sigmas(); // the largest first, 0 last
                    let timestep = ((1.0 - u) * (levels.len() - 1) as f64) as usize;
                    f64::from(levels[timestep.min(levels.len() - 2)])
                }
                _ => {
                    path(preconditioning).level(TIME_MARGIN + u * (1.0 - 2.0 * TIME_MARGIN)).sigma()
                }
            },
            Self::LogitNormal { mean, std } => {
                let logit = mean + std * normal_quantile(u);
                path(preconditioning).level(1.0 / (1.0 + (-logit).exp())).sigma()
            }
            Self::CosineInterpolated { image_side, low, high } => {
                let (low, high) = (2.0 * (low / image_side).ln(), 2.0 * (high / image_side).ln());
                let log_snr = u * (cosine_log_snr(u, low)) + (1.0 - u) * cosine_log_snr(u, high);
                (-0.5 * log_snr).exp()
            }
        })
    }
}

/// The path of a flow; the linear one for other processes.
fn path(preconditioning: &Preconditioning) -> FlowPath {
    match preconditioning {
        Preconditioning::Flow { path, .. } => *path,
        _ => FlowPath::Linear,
    }
}

/// The cosine schedule's log-SNR at time u, shifted (Hoogeboom et al. 2023, eq. 3 and 4).
fn cosine_log_snr(u: f64, shift: f64) -> f64 {
    let angle = |log_snr: f64| (-0.5 * log_snr).exp().atan();
    let (start, end) = (angle(MAX_LOG_SNR - shift), angle(-MAX_LOG_SNR - shift));
    shift - 2.0 * (start + u * (end - start)).tan().ln()
}

/// The inverse of the normal distribution function, to about 1e-15 relative (Wichura 1988, algorithm
/// AS 241, PPND16).
pub(crate) fn normal_quantile(u: f64) -> f64 {
    let q = u - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(0.180625 - q * q, &CENTRAL);
    }
    let r = (-(u.min(1.0 - u)).ln()).sqrt();
    let tail = if r <= 5.0 { ratio(r - 1.6, &MIDDLE) } else { ratio(r - 5.0, &FAR) };
    tail.copysign(q)
}

/// A ratio of two polynomials; coefficients from the constant term up.
fn ratio(r: f64, [numerator, denominator]: &[[f64; 8]; 2]) -> f64 {
    let evaluate = |terms: &[f64; 8]| terms.iter().rev().fold(0.0, |sum, term| sum * r + term);
    evaluate(numerator) / evaluate(denominator)
}

/// |u − ½| ≤ 0.425.
const CENTRAL: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
];

/// √(−ln u) up to 5.
const MIDDLE: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

/// √(−ln u) above 5.
const FAR: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_7e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Known quantiles of the normal distribution (Abramowitz & Stegun 1972, table 26.2 and beyond).
    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (u, z) in [
            (0.5, 0.0),
            (0.841_344_746_068_542_9, 1.0),
            (0.975, 1.959_963_984_540_054),
            (0.999, 3.090_232_306_167_813_5),
            (1e-9, -5.997_807_015_007_686),
            (1e-15, -7.941_345_326_170_997),
        ] {
            assert!((normal_quantile(u) - z).abs() < 1e-12, "{u}: {}", normal_quantile(u));
        }
    }

    #[test]
    fn quantiles_rise_and_have_their_medians() {
        let edm = Preconditioning::Edm { sigma_data: 0.5 };
        let flow = Preconditioning::Flow { path: FlowPath::Linear, time_scale: 1.0 };
        let cosine = Preconditioning::Flow { path: FlowPath::Cosine, time_scale: 1.0 };
        let cases = [
            (NoiseDistribution::of(&edm), edm, (-1.2f64).exp()),
            (NoiseDistribution::LogUniform { sigma_min: 0.01, sigma_max: 100.0 }, edm, 1.0),
            (NoiseDistribution::Uniform, flow, 1.0),
            (NoiseDistribution::Uniform, cosine, 1.0),
            (NoiseDistribution::of(&flow), flow, 1.0),
            (
                NoiseDistribution::CosineInterpolated { image_side: 64.0, low: 64.0, high: 64.0 },
                edm,
                1.0,
            ),
        ];
        for (distribution, preconditioning, median) in cases {
            distribution.check().unwrap();
            let sigma = |u: f64| distribution.level(u, &preconditioning).sigma();
            assert!((sigma(0.5) / median - 1.0).abs() < 1e-9, "{distribution:?} {}", sigma(0.5));
            let levels: Vec<f64> = (1..200).map(|i| sigma(f64::from(i) / 200.0)).collect();
            assert!(levels.windows(2).all(|pair| pair[0] < pair[1]), "{distribution:?}");
        }
    }

    /// Karras et al. 2022, table 1: each of the 1000 timesteps alike.
    #[test]
    fn the_uniform_distribution_of_iddpm_is_that_of_its_timesteps() {
        let iddpm = Preconditioning::Iddpm {};
        let distribution = NoiseDistribution::of(&iddpm);
        let level = |i: u32| distribution.level((f64::from(i) + 0.5) / 1000.0, &iddpm);
        let found: Vec<f32> = (0..1000).map(|i| level(i).sigma() as f32).collect();
        let expected: Vec<f32> = iddpm_sigmas()[..1000].iter().rev().copied().collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        }
        let ends = [1e-12, 1.0 - 1e-12].map(|u| distribution.level(u, &iddpm).sigma());
        assert!(ends[0] > 0.0 && (ends[1] / f64::from(iddpm_sigmas()[0]) - 1.0).abs() < 1e-6);
    }

    /// Doubling the resolution that keeps its noise doubles σ (Hoogeboom et al. 2023, eq. 4).
    #[test]
    fn shifted_cosine_schedules_scale_sigma() {
        let edm = Preconditioning::Edm { sigma_data: 0.5 };
        let at = |side| NoiseDistribution::CosineInterpolated {
            image_side: side,
            low: 32.0,
            high: 32.0,
        };
        for u in [0.3, 0.5, 0.7] {
            let ratio = at(64.0).level(u, &edm).sigma() / at(32.0).level(u, &edm).sigma();
            assert!((ratio - 2.0).abs() < 0.01, "{u}: {ratio}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let cases = [
            (NoiseDistribution::LogNormal { mean: f64::NAN, std: 1.0 }, "mean"),
            (NoiseDistribution::LogitNormal { mean: 0.0, std: 0.0 }, "std"),
            (NoiseDistribution::LogUniform { sigma_min: 2.0, sigma_max: 1.0 }, "sigma_min"),
        ];
        for (distribution, name) in cases {
            let error = distribution.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
