//! Preconditioning: how a network of a continuous noise level becomes a denoiser
//! (Karras et al. 2022, table 1; flow matching; TrigFlow).

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use serde::{Deserialize, Serialize};

use crate::error::require;
use crate::{NoiseLevel, ScheduleError};

/// How a network F becomes a denoiser D(x; σ) = c_skip·x + c_out·F(c_in·x; c_noise) of x = x0 + σ·ε
/// (Karras et al. 2022, eq. 7).
///
/// `Edm`, `Vp`, `Ve` and `Iddpm` are the columns of table 1 there. In a config: `name = "edm"`,
/// `sigma_data = 0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Preconditioning {
    /// EDM: input and target of F have unit variance; c_noise = ¼·ln σ.
    Edm {
        /// σ_data, the standard deviation of the data; > 0, 0.5 by default.
        #[serde(default = "half")]
        sigma_data: f64,
    },
    /// EDM with the opposite sign of F (`v_prediction` of diffusers' EDM schedulers).
    EdmVelocity {
        /// σ_data; > 0.
        #[serde(default = "half")]
        sigma_data: f64,
    },
    /// A consistency model: EDM with D(x; σ_min) = x (Song et al. 2023, appendix C);
    /// c_noise = time_scale·¼·ln σ.
    Consistency {
        /// σ_data; > 0.
        #[serde(default = "half")]
        sigma_data: f64,
        /// σ_min, the noise level at which D is the identity; > 0.
        sigma_min: f64,
        /// Scale of the time that the network receives; > 0, 1000 by default as in OpenAI's models, 1 for
        /// one that is tuned from EDM.
        #[serde(default = "thousand", skip_serializing_if = "is_thousand")]
        time_scale: f64,
    },
    /// Variance preserving (Song et al. 2021): F predicts ε; c_noise = 999·t, where
    /// σ(t)² = exp(½·β_d·t² + β_min·t) − 1.
    Vp(BetaRange),
    /// Variance exploding (Song et al. 2021): F predicts −ε; c_noise = ln(σ/2).
    Ve {},
    /// The cosine process of improved-diffusion with 1000 timesteps (Nichol & Dhariwal 2021): F predicts
    /// ε; c_noise is the nearest timestep, 0 to 999.
    Iddpm {},
    /// Flow matching: F predicts the velocity v = dx/dt on a path from data (t = 0) to noise (t = 1)
    /// (Lipman et al. 2023, Liu et al. 2023).
    Flow {
        /// The path.
        #[serde(default)]
        path: FlowPath,
        /// c_noise = time_scale·t; > 0, 1000 by default as in diffusers.
        #[serde(default = "thousand")]
        time_scale: f64,
    },
    /// Flow matching where F predicts the data: D(x; σ) = F, on the linear path, trained by the error of the velocity
    /// (x_t − F)/t (Li & He 2025, "Back to Basics: Let Denoising Generative Models Denoise").
    FlowSample {
        /// c_noise = time_scale·t; > 0, 1000 by default.
        #[serde(default = "thousand")]
        time_scale: f64,
        /// c_noise = time_scale·(1 − t): the time of JiT's networks runs from noise (0) to data (1).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reversed: bool,
    },
    /// MeanFlow: F predicts the mean velocity from t down to another time r on the path z = (1 − t)·x0 + t·ε
    /// (Geng et al. 2025, "Mean Flows for One-step Generative Modeling"); c_noise = time_scale·t, and the
    /// network also receives time_scale·(t − r).
    MeanFlow {
        /// > 0, 1000 by default.
        #[serde(default = "thousand")]
        time_scale: f64,
    },
    /// TrigFlow: x_t = cos t·x0 + sin t·ε with ε of standard deviation σ_data; F·σ_data predicts the
    /// velocity; c_noise = t = atan(σ/σ_data) (Lu & Song 2025, section 3).
    TrigFlow {
        /// σ_data; > 0.
        #[serde(default = "half")]
        sigma_data: f64,
    },
}

fn half() -> f64 {
    0.5
}

fn thousand() -> f64 {
    1000.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_thousand(value: &f64) -> bool {
    *value == thousand()
}

/// The linear β(t) = β_min + β_d·t of a variance-preserving process (Song et al. 2021).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BetaRange {
    /// β_d; > 0.
    pub beta_d: f64,
    /// β_min; > 0.
    pub beta_min: f64,
}

impl Default for BetaRange {
    fn default() -> Self {
        Self { beta_d: 19.9, beta_min: 0.1 }
    }
}

/// A path x_t = α_t·x0 + σ_t·ε from data to noise, t from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowPath {
    /// α = 1 − t, σ = t: rectified flow (Liu et al. 2023).
    #[default]
    Linear,
    /// α = cos(πt/2), σ = sin(πt/2) (Albergo & Vanden-Eijnden 2023).
    Cosine,
    /// α² = exp(−½·β_d·t² − β_min·t), σ² = 1 − α² (Song et al. 2021).
    Vp(BetaRange),
}

/// The coefficients of a preconditioning at one noise level, for x of unit variance:
/// x0 = skip·x + output·F(input·x; time).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreconditioningCoefs {
    /// Coefficient of x, c_skip/√ᾱ.
    pub skip: f64,
    /// Coefficient of the network's output, c_out.
    pub output: f64,
    /// Scale of the network's input, c_in/√ᾱ.
    pub input: f64,
    /// The time that the network receives, c_noise.
    pub time: f64,
}

impl Preconditioning {
    /// Number of timesteps of `Vp` and `Iddpm`, M in the paper.
    const STEPS: usize = 1000;

    /// Validates the numbers.
    ///
    /// # Errors
    /// A number that is not finite and above 0.
    pub fn check(&self) -> Result<(), ScheduleError> {
        let betas =
            |betas: &BetaRange| vec![("beta_d", betas.beta_d), ("beta_min", betas.beta_min)];
        let numbers = match self {
            Self::Edm { sigma_data }
            | Self::EdmVelocity { sigma_data }
            | Self::TrigFlow { sigma_data } => vec![("sigma_data", *sigma_data)],
            Self::Consistency { sigma_data, sigma_min, time_scale } => vec![
                ("sigma_data", *sigma_data),
                ("sigma_min", *sigma_min),
                ("time_scale", *time_scale),
            ],
            Self::Vp(range) => betas(range),
            Self::Ve {} | Self::Iddpm {} => Vec::new(),
            Self::Flow { path: FlowPath::Vp(range), time_scale } => {
                [betas(range), vec![("time_scale", *time_scale)]].concat()
            }
            Self::Flow { time_scale, .. }
            | Self::FlowSample { time_scale, .. }
            | Self::MeanFlow { time_scale } => {
                vec![("time_scale", *time_scale)]
            }
        };
        numbers.into_iter().try_for_each(|(name, value)| {
            require(value > 0.0 && value.is_finite(), name, value, "a finite number above 0")
        })
    }

    /// The noise levels of sampling, smallest and largest σ (Karras et al. 2022, tables 1 and 7). Flows
    /// start at pure noise, where σ is infinite.
    pub fn sigma_range(&self) -> (f64, f64) {
        match self {
            Self::Edm { .. } | Self::EdmVelocity { .. } | Self::TrigFlow { .. } => (0.002, 80.0),
            Self::Consistency { sigma_min, .. } => (*sigma_min, 80.0),
            Self::Vp(betas) => (betas.sigma(1e-3), betas.sigma(1.0)),
            Self::Ve {} => (0.02, 100.0),
            Self::Iddpm {} => (0.002, 81.0),
            Self::Flow { path: FlowPath::Vp(betas), .. } => (betas.sigma(1e-3), betas.sigma(1.0)),
            Self::Flow { .. } | Self::FlowSample { .. } | Self::MeanFlow { .. } => {
                (1e-3, f64::INFINITY)
            }
        }
    }

    /// The noise levels that the network knows, smallest and largest σ, as EDM's `sigma_min` and `sigma_max` are
    /// computed in f32; unbounded where a network takes any σ.
    pub fn network_range(&self) -> (f64, f64) {
        match self {
            Self::Vp(betas) => (betas.sigma_in_f32(1e-5), betas.sigma_in_f32(1.0)),
            Self::Ve {} => (0.02, 100.0),
            Self::Iddpm {} => {
                let levels = iddpm_sigmas();
                (f64::from(levels[Self::STEPS - 1]), f64::from(levels[0]))
            }
            _ => (0.0, f64::INFINITY),
        }
    }

    /// The noise level that the network knows nearest to σ: one of `Iddpm`'s, or σ itself (`round_sigma` of EDM's
    /// preconditionings).
    pub fn round_sigma(&self, sigma: f64) -> f64 {
        match self {
            Self::Iddpm {} => {
                let levels = iddpm_sigmas();
                f64::from(levels[iddpm_index(&levels, sigma)])
            }
            _ => sigma,
        }
    }

    /// The noise level σ, with the time that the network receives.
    ///
    /// - sigma: > 0; infinite for pure noise in `Flow` and `TrigFlow`
    pub fn level(&self, sigma: f64) -> NoiseLevel {
        let level = NoiseLevel::from_sigma(sigma, 0.0);
        NoiseLevel { timestep: self.time(level), ..level }
    }

    /// The coefficients at a noise level above 0. All are finite at ᾱ = 0 for `Flow` (linear and cosine)
    /// and `TrigFlow`.
    pub fn coefs(&self, level: NoiseLevel) -> PreconditioningCoefs {
        let (a, b) = (level.signal(), level.noise());
        let time = self.time(level);
        let coefs = |skip, output, input| PreconditioningCoefs { skip, output, input, time };
        match *self {
            Self::Edm { sigma_data } => edm(a, b, sigma_data, 0.0, coefs),
            Self::EdmVelocity { sigma_data } | Self::TrigFlow { sigma_data } => {
                edm(a, b, sigma_data, 0.0, |skip, output, input| coefs(skip, -output, input))
            }
            Self::Consistency { sigma_data, sigma_min, .. } => {
                edm(a, b, sigma_data, sigma_min, coefs)
            }
            Self::Vp(_) | Self::Iddpm {} => coefs(1.0 / a, -b / a, 1.0),
            Self::Ve {} => coefs(1.0 / a, b / a, 1.0 / a),
            Self::Flow { path, .. } => {
                let (skip, output, input) = path.coefs(a, b);
                coefs(skip, output, input)
            }
            Self::FlowSample { .. } => coefs(0.0, 1.0, 1.0 / (a + b)),
            Self::MeanFlow { .. } => {
                let (skip, output, input) = FlowPath::Linear.coefs(a, b);
                coefs(skip, output, input)
            }
        }
    }

    /// The weight of the squared error of F that its paper trains with: 1, or 1/t² for `FlowSample`, whose error of the
    /// velocity is that of F over t; t is at least 0.05 in it (Li & He 2025, section 4).
    pub fn loss_weight(&self, level: NoiseLevel) -> f64 {
        match self {
            Self::FlowSample { .. } => FlowPath::Linear.time(level).max(0.05).powi(-2),
            _ => 1.0,
        }
    }

    /// c_noise.
    fn time(&self, level: NoiseLevel) -> f64 {
        let (a, b) = (level.signal(), level.noise());
        match *self {
            Self::Edm { .. } | Self::EdmVelocity { .. } => 0.25 * (b / a).ln(),
            Self::Consistency { time_scale, .. } => time_scale * 0.25 * (b / a).ln(),
            Self::Vp(betas) => (Self::STEPS - 1) as f64 * betas.time(level),
            Self::Ve {} => (0.5 * b / a).ln(),
            Self::Iddpm {} => iddpm_timestep(b / a) as f64,
            Self::Flow { path, time_scale } => time_scale * path.time(level),
            Self::FlowSample { time_scale, reversed: true } => {
                time_scale * (1.0 - FlowPath::Linear.time(level))
            }
            Self::FlowSample { time_scale, .. } | Self::MeanFlow { time_scale } => {
                time_scale * FlowPath::Linear.time(level)
            }
            Self::TrigFlow { sigma_data } => b.atan2(a * sigma_data),
        }
    }
}

/// c_skip, c_out and c_in of EDM, with σ − σ_min for σ in c_skip and c_out for consistency models.
fn edm<T>(
    a: f64,
    b: f64,
    sigma_data: f64,
    sigma_min: f64,
    coefs: impl Fn(f64, f64, f64) -> T,
) -> T {
    let (above, data) = (b - a * sigma_min, a * sigma_data);
    let norm = b.hypot(data); // √(σ² + σ_data²), times √ᾱ
    let skip = data * sigma_data / (above * above + data * data);
    coefs(skip, above * sigma_data / norm, 1.0 / norm)
}

impl BetaRange {
    /// β(t).
    fn beta(&self, t: f64) -> f64 {
        self.beta_min + self.beta_d * t
    }

    /// σ(t) = √(exp(½·β_d·t² + β_min·t) − 1).
    pub fn sigma(&self, t: f64) -> f64 {
        (0.5 * self.beta_d * t * t + self.beta_min * t).exp_m1().sqrt()
    }

    /// σ(t) with the roundings of f32: near t = 0 the difference exp(…) − 1 keeps three digits.
    fn sigma_in_f32(&self, t: f64) -> f64 {
        let (beta_d, beta_min, t) = (self.beta_d as f32, self.beta_min as f32, t as f32);
        f64::from(((0.5 * beta_d * (t * t) + beta_min * t).exp() - 1.0).sqrt())
    }

    /// The range of β for which σ(ε_s) and σ(1) are these (Karras et al. 2022, appendix C.1).
    ///
    /// - eps_s: in (0, 1)
    pub fn of_range(sigma_min: f64, sigma_max: f64, eps_s: f64) -> Self {
        let log = |sigma: f64| (sigma * sigma).ln_1p();
        let beta_d = 2.0 * (log(sigma_min) / eps_s - log(sigma_max)) / (eps_s - 1.0);
        Self { beta_d, beta_min: log(sigma_max) - 0.5 * beta_d }
    }

    /// t at which ln ᾱ = −½·β_d·t² − β_min·t.
    fn time(&self, level: NoiseLevel) -> f64 {
        self.time_of_sigma(level.sigma())
    }

    /// t at which σ(t) is this.
    pub fn time_of_sigma(&self, sigma: f64) -> f64 {
        // −ln ᾱ = ln(1 + σ²), accurate for small σ.
        let log = sigma.powi(2).ln_1p();
        let root = (self.beta_min.powi(2) + 2.0 * self.beta_d * log).sqrt();
        (root - self.beta_min) / self.beta_d
    }
}

impl FlowPath {
    /// The noise level at time t in [0, 1], without the network's time.
    pub fn level(&self, t: f64) -> NoiseLevel {
        let alpha_cumprod = match self {
            Self::Linear => (1.0 - t).powi(2) / ((1.0 - t).powi(2) + t * t),
            Self::Cosine => (FRAC_PI_2 * t).cos().powi(2),
            Self::Vp(betas) => (-t * (betas.beta_min + 0.5 * betas.beta_d * t)).exp(),
        };
        NoiseLevel { alpha_cumprod, timestep: t }
    }

    /// The time in [0, 1] of a noise level.
    pub fn time(&self, level: NoiseLevel) -> f64 {
        let (a, b) = (level.signal(), level.noise());
        match self {
            Self::Linear => b / (a + b),
            Self::Cosine => FRAC_2_PI * b.atan2(a),
            Self::Vp(betas) => betas.time(level),
        }
    }

    /// Coefficients for x of unit variance, from x0 = (σ'·x_t − σ·v)/(α·σ' − α'·σ), where ' is d/dt.
    fn coefs(&self, a: f64, b: f64) -> (f64, f64, f64) {
        match self {
            // x_t has the scale √(α² + σ²) = 1/(a + b).
            Self::Linear => (1.0 / (a + b), -b / (a + b), 1.0 / (a + b)),
            Self::Cosine => (a, -FRAC_2_PI * b, 1.0),
            Self::Vp(betas) => {
                let level = NoiseLevel { alpha_cumprod: a * a, timestep: 0.0 };
                let beta = betas.beta(betas.time(level));
                (a, -2.0 * b * b / (beta * a), 1.0)
            }
        }
    }
}

/// The timestep of improved-diffusion's cosine process whose σ is nearest, M − 1 − argmin_j |u_j − σ|
/// (Karras et al. 2022, table 1).
fn iddpm_timestep(sigma: f64) -> usize {
    let last = Preconditioning::STEPS - 1;
    last - iddpm_index(&iddpm_sigmas(), sigma).min(last)
}

/// The index of the nearest level.
fn iddpm_index(levels: &[f32], sigma: f64) -> usize {
    let distance = |&j: &usize| (f64::from(levels[j]) - sigma).abs();
    let nearest = (0..levels.len()).min_by(|i, j| distance(i).total_cmp(&distance(j)));
    nearest.unwrap_or(0)
}

/// u_0 to u_M, from the noisiest level to 0 (Karras et al. 2022, table 1, with C1 = 0.001, C2 = 0.008).
///
/// The recursion amplifies rounding, and EDM computes it in f32: so does this. What is left is 1.3e-5 relative, from
/// the last bit of PyTorch's sines.
pub fn iddpm_sigmas() -> Vec<f32> {
    let steps = Preconditioning::STEPS;
    let bar = |j: usize| {
        let angle = (std::f32::consts::FRAC_PI_2 * j as f32) / steps as f32 / 1.008;
        angle.sin().powi(2)
    };
    let mut u = vec![0.0f32; steps + 1];
    for j in (1..=steps).rev() {
        let ratio = bar(j - 1) / bar(j);
        u[j - 1] = ((u[j] * u[j] + 1.0) / ratio.max(0.001) - 1.0).sqrt();
    }
    u
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            r#"{"name": "ve", "sigma_max": 50.0}"#,
            r#"{"name": "iddpm", "steps": 500}"#,
            r#"{"name": "edm", "sigma_max": 50.0}"#,
        ] {
            assert!(serde_json::from_str::<Preconditioning>(text).is_err(), "{text}");
        }
        let ve: Preconditioning = serde_json::from_str(r#"{"name": "ve"}"#).expect("its name");
        assert_eq!(serde_json::to_string(&ve).expect("JSON"), r#"{"name":"ve"}"#);
    }

    const ALL: [Preconditioning; 11] = [
        Preconditioning::Edm { sigma_data: 0.5 },
        Preconditioning::EdmVelocity { sigma_data: 0.5 },
        Preconditioning::Consistency { sigma_data: 0.5, sigma_min: 0.002, time_scale: 1000.0 },
        Preconditioning::Vp(BetaRange { beta_d: 19.9, beta_min: 0.1 }),
        Preconditioning::Ve {},
        Preconditioning::Flow { path: FlowPath::Linear, time_scale: 1.0 },
        Preconditioning::Flow { path: FlowPath::Cosine, time_scale: 1.0 },
        Preconditioning::Flow {
            path: FlowPath::Vp(BetaRange { beta_d: 19.9, beta_min: 0.1 }),
            time_scale: 1.0,
        },
        Preconditioning::TrigFlow { sigma_data: 0.5 },
        Preconditioning::FlowSample { time_scale: 1.0, reversed: false },
        Preconditioning::FlowSample { time_scale: 1.0, reversed: true },
    ];

    /// Table 1 of Karras et al. 2022, in the coordinates x0 + σ·ε.
    #[test]
    fn edm_has_the_coefficients_of_its_table() {
        for sigma in [0.002f64, 0.3, 1.0, 80.0] {
            let level = Preconditioning::Edm { sigma_data: 0.5 }.level(sigma);
            let PreconditioningCoefs { skip, output, input, time } =
                Preconditioning::Edm { sigma_data: 0.5 }.coefs(level);
            let sum = sigma * sigma + 0.25;
            let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
            close(skip * level.signal(), 0.25 / sum);
            close(output, sigma * 0.5 / sum.sqrt());
            close(input * level.signal(), 1.0 / sum.sqrt());
            assert!((time - sigma.ln() / 4.0).abs() < 1e-9);
        }
    }

    /// x0 from the true velocity dx/dt, by a difference quotient of the path.
    #[test]
    fn the_velocity_of_a_path_gives_back_the_data() {
        let betas = BetaRange::default();
        for path in [FlowPath::Linear, FlowPath::Cosine, FlowPath::Vp(betas)] {
            let scale = |t: f64| match path {
                FlowPath::Linear => ((1.0 - t).powi(2) + t * t).sqrt(),
                _ => 1.0,
            };
            let (x0, eps) = (0.7, -1.3);
            let unit = |t: f64| path.level(t).signal() * x0 + path.level(t).noise() * eps;
            for t in [0.1, 0.5, 0.9] {
                let d = 1e-6;
                let at = |t: f64| unit(t) * scale(t);
                let velocity = (at(t + d) - at(t - d)) / (2.0 * d);
                let flow = Preconditioning::Flow { path, time_scale: 1.0 };
                let coefs = flow.coefs(path.level(t));
                assert!((coefs.input * unit(t) - at(t)).abs() < 1e-9);
                assert!((coefs.time - t).abs() < 1e-9, "{path:?}");
                let found = coefs.skip * unit(t) + coefs.output * velocity;
                assert!((found - x0).abs() < 1e-7, "{path:?} at {t}: {found}");
            }
        }
    }

    /// Every preconditioning tends to D(x; σ) = x as σ goes to its minimum.
    #[test]
    fn without_noise_the_denoiser_is_the_identity() {
        // A network that predicts the data itself has no skip connection around it.
        let skips = |p: &&Preconditioning| !matches!(p, Preconditioning::FlowSample { .. });
        for preconditioning in ALL.iter().filter(skips) {
            let sigma = 0.002;
            let coefs = preconditioning.coefs(preconditioning.level(sigma));
            assert!((coefs.skip - 1.0).abs() < 0.01, "{preconditioning:?} {coefs:?}");
            assert!(coefs.output.abs() < 0.01, "{preconditioning:?} {coefs:?}");
        }
    }

    /// Li & He 2025, table 1: v = (x_t − x0)/t on the path x_t = (1 − t)·x0 + t·ε.
    #[test]
    fn the_error_of_the_velocity_is_that_of_the_data_over_t() {
        let process = Preconditioning::FlowSample { time_scale: 1000.0, reversed: false };
        let velocity = Preconditioning::Flow { path: FlowPath::Linear, time_scale: 1000.0 };
        for t in [0.06, 0.5, 0.9, 1.0] {
            let level = FlowPath::Linear.level(t);
            let (coefs, v) = (process.coefs(level), velocity.coefs(level));
            assert_eq!((coefs.skip, coefs.output), (0.0, 1.0));
            assert!(
                (coefs.input - v.input).abs() < 1e-12 && (coefs.time - 1000.0 * t).abs() < 1e-9
            );
            // x0 = skip·x + output·v: an error of v is output times as large in x0.
            assert!((process.loss_weight(level) * v.output.powi(2) - 1.0).abs() < 1e-9, "{t}");
        }
        let reversed = Preconditioning::FlowSample { time_scale: 1.0, reversed: true };
        for t in [0.0, 0.2, 0.9, 1.0] {
            let level = FlowPath::Linear.level(t);
            let (coefs, plain) = (reversed.coefs(level), process.coefs(level));
            assert!((coefs.time - (1.0 - t)).abs() < 1e-9, "{t}");
            assert_eq!((coefs.input, coefs.output), (plain.input, plain.output));
        }
        assert_eq!(process.loss_weight(FlowPath::Linear.level(0.01)).round(), 400.0);
        assert_eq!(velocity.loss_weight(FlowPath::Linear.level(0.01)), 1.0);
    }

    #[test]
    fn pure_noise_has_finite_coefficients_in_flows() {
        let paths = [FlowPath::Linear, FlowPath::Cosine];
        let flows = paths.map(|path| Preconditioning::Flow { path, time_scale: 1000.0 });
        for flow in flows.into_iter().chain([Preconditioning::TrigFlow { sigma_data: 0.5 }]) {
            let coefs = flow.coefs(flow.level(f64::INFINITY));
            assert!(coefs.skip.is_finite() && coefs.output.is_finite(), "{flow:?} {coefs:?}");
            assert!(coefs.time > 1.5 && coefs.time <= 1000.0);
        }
    }

    #[test]
    fn timesteps_of_iddpm_are_those_of_its_cosine_schedule() {
        let u = iddpm_sigmas();
        assert_eq!((u.len(), u[1000]), (1001, 0.0));
        // Of EDM's buffer.
        for (j, sigma) in [(0, 20291.172), (1, 641.66), (999, 0.006_422_337)] {
            assert!((u[j] / sigma - 1.0).abs() < 1e-4, "u_{j} = {}", u[j]);
        }
        for j in [1, 500, 999] {
            let sigma = f64::from(u[j]);
            assert_eq!(Preconditioning::Iddpm {}.level(sigma).timestep, (999 - j) as f64);
            assert_eq!(Preconditioning::Iddpm {}.round_sigma(sigma * 1.0001), sigma);
        }
        assert_eq!(Preconditioning::Iddpm {}.round_sigma(0.0), 0.0);
    }

    /// EDM's values, which f64 would not give.
    #[test]
    fn the_range_of_vp_has_the_roundings_of_f32() {
        let (min, max) = Preconditioning::Vp(BetaRange::default()).network_range();
        assert_eq!((min, max), (0.000_976_562_5, 152.166_976_928_710_94));
    }

    #[test]
    fn the_time_of_vp_inverts_its_sigma() {
        let betas = BetaRange::default();
        for t in [1e-5, 1e-3, 0.5, 1.0] {
            let level = Preconditioning::Vp(betas).level(betas.sigma(t));
            assert!((level.timestep / 999.0 / t - 1.0).abs() < 1e-6, "{t} {}", level.timestep);
        }
    }
}
