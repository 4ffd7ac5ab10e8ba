//! The noise schedule in the buffers of a checkpoint, as nanodiffusion, lucidrains and latent-diffusion
//! save it beside the network.

use inkdrop_checkpoint::StateDict;
use inkdrop_process::{PredictionType, ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_torch::tch::Kind;
use inkdrop_unet::ModelConfig;

use super::scheduler::plain;

/// Buffers of β, and of ᾱ.
const BETAS: [&str; 2] = ["betas", "beta"];
const ALPHAS_CUMPROD: [&str; 5] =
    ["alphas_cumprod", "alpha_cumprod", "alphas_bar", "alpha_bar", "alphas_cum_prod"];

/// Other buffers of a diffusion process, by the beginning of their names.
const OTHERS: [&str; 13] = [
    "alphas",
    "sqrt_",
    "log_one_minus_alphas",
    "one_minus_alphas",
    "reciprocal_sqrt_alphas",
    "remove_noise_coeff",
    "sigma",
    "posterior_",
    "loss_weight",
    "p2_loss_weight",
    "lvlb_weights",
    "snr",
    "logvar",
];

/// True for the name of a schedule buffer.
pub fn is_buffer(key: &str) -> bool {
    BETAS.contains(&key)
        || ALPHAS_CUMPROD.contains(&key)
        // A layer may begin with the same letters: `logvar_linear.weight`.
        || (!key.contains('.') && OTHERS.iter().any(|start| key.starts_with(start)))
}

/// The process of a file by its schedule buffers; `None` without valid buffers.
///
/// Buffers do not tell the clipping, or the variance: small if there are buffers of the posterior
/// variance, else large. The prediction type follows from lucidrains' loss weights; without them it is v
/// for lucidrains' networks, as the package's default, and else ε. A ContextUnet gets the sprites
/// notebook's process.
///
/// - network: the network, if known
pub fn process(file: &StateDict, network: Option<&ModelConfig>) -> Option<ProcessConfig> {
    let betas = betas(file)?;
    if matches!(network, Some(ModelConfig::Context(_))) {
        return Some(ProcessConfig { schedule: recognise(betas), ..ProcessConfig::sprites() });
    }
    let named = |start: &str| file.iter().any(|(key, _)| last(key).starts_with(start));
    // nanodiffusion has these two, and does not clip.
    let nano = named("remove_noise_coeff") && named("reciprocal_sqrt_alphas");
    let variance = if named("posterior_") { Variance::FixedSmall } else { Variance::FixedLarge };
    Some(ProcessConfig {
        time: TimeInput::Index,
        prediction: weighted_prediction(file, &betas).unwrap_or(match network {
            Some(ModelConfig::Lucid(_)) => PredictionType::Velocity,
            _ => PredictionType::Epsilon,
        }),
        schedule: recognise(betas),
        variance,
        clip: !nano,
        consistency: None,
    })
}

/// The prediction type whose min-SNR or SNR weights are lucidrains' buffer `loss_weight`: at low SNR it is
/// 1 for ε, SNR for x0 and ᾱ for v. `None` without the buffer, or if no type has such weights.
fn weighted_prediction(file: &StateDict, betas: &[f64]) -> Option<PredictionType> {
    let mut buffers = file.iter().filter(|(key, _)| last(key) == "loss_weight");
    let weights = Vec::<f64>::try_from(buffers.next()?.1.f_to_kind(Kind::Double).ok()?).ok()?;
    let mut bar = 1.0;
    let bars: Vec<f64> = betas
        .iter()
        .map(|beta| {
            bar *= 1.0 - beta;
            bar
        })
        .collect();
    // SNR 0.5 and less is below every usual γ.
    let low: Vec<(f64, f64)> =
        bars.into_iter().zip(weights).filter(|(bar, _)| *bar < 1.0 / 3.0).collect();
    let weight = |prediction, bar: f64| match prediction {
        PredictionType::Sample => bar / (1.0 - bar),
        PredictionType::Velocity => bar,
        _ => 1.0,
    };
    let fits = |prediction: &PredictionType| {
        let near = |&(bar, given): &(f64, f64)| {
            (weight(*prediction, bar) - given).abs() <= 1e-3 * given.abs() + 1e-6
        };
        low.len() > 1 && low.iter().all(near)
    };
    [PredictionType::Epsilon, PredictionType::Sample, PredictionType::Velocity]
        .into_iter()
        .find(fits)
}

/// True if the β of a schedule are those of the file's buffers, or if the file has none.
pub fn agrees(file: &StateDict, schedule: &ScheduleConfig) -> bool {
    betas(file).is_none_or(|betas| is_same(schedule, &betas))
}

/// β of each timestep, from the first buffer of β or ᾱ; `None` if they are not those of a process.
fn betas(file: &StateDict) -> Option<Vec<f64>> {
    let buffer = |names: &[&str]| {
        let named = file.iter().filter(|(key, _)| names.contains(&last(key)));
        named.map(|(_, tensor)| tensor).find(|tensor| tensor.dim() == 1 && tensor.numel() > 1)
    };
    let values = |names| Vec::<f64>::try_from(buffer(names)?.f_to_kind(Kind::Double).ok()?).ok();
    let betas = values(&BETAS).or_else(|| {
        let mut previous = 1.0;
        let beta = |bar| {
            let beta = 1.0 - bar / previous;
            previous = bar;
            beta
        };
        Some(values(&ALPHAS_CUMPROD)?.into_iter().map(beta).collect())
    })?;
    let config = ScheduleConfig::Betas { betas };
    config.build().ok()?;
    match config {
        ScheduleConfig::Betas { betas } => Some(betas),
        _ => None,
    }
}

/// The last name of a key.
fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// The named schedule with these β; the β themselves if there is none.
fn recognise(betas: Vec<f64>) -> ScheduleConfig {
    let steps = betas.len();
    let (first, end) = (rounded(betas[0]), rounded(betas[steps - 1]));
    // The sigmoid schedule goes from σ(−6) to σ(6) of the way between its limits.
    let edge = 1.0 / (1.0 + 6f64.exp());
    let range = (end - first) / (1.0 - 2.0 * edge);
    let (beta_start, beta_end) = (first, end);
    let mut candidates = vec![
        ScheduleConfig::linear(steps),
        plain(ScheduleConfig::Linear { steps, beta_start: Some(first), beta_end: Some(end) }),
        ScheduleConfig::ScaledLinear { steps, beta_start: 0.00085, beta_end: 0.012 },
        ScheduleConfig::ScaledLinear { steps, beta_start, beta_end },
        ScheduleConfig::cosine(steps),
        ScheduleConfig::Sigmoid { steps, beta_start: 1e-4, beta_end: 0.02 },
        ScheduleConfig::Sigmoid {
            steps,
            beta_start: rounded(first - range * edge),
            beta_end: rounded(end + range * edge),
        },
        ScheduleConfig::SigmoidLucid { steps, start: -3.0, end: 3.0, tau: 1.0 },
        ScheduleConfig::SigmoidCumprod { steps, start: -3.0, end: 3.0, tau: 1.0 },
    ];
    let zero = |of: &ScheduleConfig| ScheduleConfig::ZeroTerminalSnr { of: Box::new(of.clone()) };
    let zero: Vec<ScheduleConfig> = candidates.iter().map(zero).collect();
    candidates.extend(zero);
    let found = candidates.into_iter().find(|candidate| is_same(candidate, &betas));
    found.unwrap_or(ScheduleConfig::Betas { betas })
}

/// The number that f32 holds, to 6 digits: 0.0001 and not 0.00009999999747378752.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// True if a schedule has these β, up to the rounding of f32.
fn is_same(schedule: &ScheduleConfig, betas: &[f64]) -> bool {
    let Ok(schedule) = schedule.build() else { return false };
    let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * b + 2e-7;
    schedule.betas().len() == betas.len() && schedule.betas().iter().zip(betas).all(same)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use inkdrop_torch::tch::Tensor;

    use super::*;

    fn file(buffers: &[(&str, Vec<f64>)]) -> StateDict {
        let mut file = StateDict::default();
        for (key, values) in buffers {
            file.insert(*key, Tensor::from_slice(values).to_kind(Kind::Float));
        }
        file
    }

    #[test]
    fn schedules_are_recognised_from_betas_and_from_their_product() {
        let (beta_start, beta_end) = (0.00085, 0.012);
        let scaled = ScheduleConfig::ScaledLinear { steps: 1000, beta_start, beta_end };
        for schedule in [
            ScheduleConfig::linear(1000),
            ScheduleConfig::linear(300),
            ScheduleConfig::cosine(1000),
            ScheduleConfig::cosine(50),
            scaled.clone(),
            ScheduleConfig::Sigmoid { steps: 500, beta_start: 1e-4, beta_end: 0.02 },
            ScheduleConfig::SigmoidCumprod { steps: 1000, start: -3.0, end: 3.0, tau: 1.0 },
            ScheduleConfig::ZeroTerminalSnr { of: Box::new(scaled) },
            ScheduleConfig::Betas { betas: vec![0.1, 0.3, 0.2] },
        ] {
            let built = schedule.build().unwrap();
            let betas = file(&[("diffusion.betas", built.betas().to_vec())]);
            let found = process(&betas, None).unwrap();
            let is_list = |config: &ScheduleConfig| matches!(config, ScheduleConfig::Betas { .. });
            assert!(is_same(&found.schedule, &built.betas().to_vec()), "{schedule:?}");
            assert_eq!(is_list(&found.schedule), is_list(&schedule), "{schedule:?}");
            assert!(agrees(&betas, &schedule) && !agrees(&betas, &ScheduleConfig::linear(7)));
            assert_eq!((found.variance, found.clip), (Variance::FixedLarge, true));
        }
        let bars = ScheduleConfig::linear(100).build().unwrap().alphas_cumprod().to_vec();
        let found = process(&file(&[("alphas_cumprod", bars)]), None).unwrap();
        assert_eq!(found.schedule, ScheduleConfig::linear(100));
    }

    #[test]
    fn numbers_of_linear_and_sigmoid_are_found() {
        let (beta_start, beta_end) = (2e-4, 0.01);
        let start = (Some(beta_start), Some(beta_end));
        for schedule in [
            ScheduleConfig::Linear { steps: 200, beta_start: start.0, beta_end: start.1 },
            ScheduleConfig::ScaledLinear { steps: 200, beta_start, beta_end },
            ScheduleConfig::Sigmoid { steps: 200, beta_start, beta_end },
        ] {
            let betas = schedule.build().unwrap().betas().to_vec();
            let found = process(&file(&[("betas", betas)]), None).unwrap().schedule;
            assert_eq!(found, schedule);
        }
    }

    #[test]
    fn other_buffers_say_variance_and_clipping() {
        let betas = ScheduleConfig::linear(100).build().unwrap().betas().to_vec();
        let with = |keys: &[&str]| {
            let mut buffers = vec![("betas", betas.clone())];
            buffers.extend(keys.iter().map(|&key| (key, betas.clone())));
            process(&file(&buffers), None).unwrap()
        };
        assert_eq!(with(&["posterior_variance"]).variance, Variance::FixedSmall);
        assert!(!with(&["remove_noise_coeff", "reciprocal_sqrt_alphas"]).clip);
    }

    /// min-SNR and SNR weights as lucidrains' GaussianDiffusion registers them.
    #[test]
    fn loss_weights_say_the_prediction_type() {
        use inkdrop_schedule::loss_weights::{min_snr, snr};
        for schedule in [ScheduleConfig::linear(100), ScheduleConfig::cosine(1000)] {
            let schedule = schedule.build().unwrap();
            for prediction in
                [PredictionType::Epsilon, PredictionType::Sample, PredictionType::Velocity]
            {
                let min_snr = min_snr(&schedule, prediction, 5.0).unwrap();
                for weights in [snr(&schedule, prediction), min_snr] {
                    let buffers =
                        [("betas", schedule.betas().to_vec()), ("loss_weight", weights.to_vec())];
                    assert_eq!(process(&file(&buffers), None).unwrap().prediction, prediction);
                }
            }
            let others = [("betas", schedule.betas().to_vec()), ("loss_weight", vec![7.0; 100])];
            let network = ModelConfig::preset("lucid");
            let found = process(&file(&others), network.as_ref()).unwrap().prediction;
            assert_eq!(found, PredictionType::Velocity, "the default of the package");
        }
    }

    #[test]
    fn buffers_that_are_no_schedule_are_ignored() {
        for betas in [vec![0.0, 0.5, 1.0], vec![0.1], vec![f64::NAN; 3], vec![-0.1, 0.2]] {
            assert!(process(&file(&[("betas", betas)]), None).is_none());
        }
        assert!(process(&file(&[("conv.weight", vec![0.1, 0.2])]), None).is_none());
    }
}
