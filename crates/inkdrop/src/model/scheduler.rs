//! scheduler_config.json of diffusers: reading and writing a process.

use inkdrop_process::{PredictionType, ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::ScheduleConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Result;
use crate::error::{bail, invalid};

/// Supported schedulers: their entries define the betas of a process.
const BETAS: [&str; 11] = [
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
];

/// The entries that define a process.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Entries {
    #[serde(rename = "_class_name")]
    class_name: String,
    num_train_timesteps: usize,
    beta_start: f64,
    beta_end: f64,
    beta_schedule: String,
    trained_betas: Option<Vec<f64>>,
    variance_type: Option<String>,
    prediction_type: String,
    rescale_betas_zero_snr: bool,
    predict_epsilon: bool,
    clip_sample: Option<bool>,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            class_name: BETAS[0].to_string(),
            num_train_timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
            beta_schedule: "linear".to_string(),
            trained_betas: None,
            variance_type: None,
            prediction_type: "epsilon".to_string(),
            rescale_betas_zero_snr: false,
            predict_epsilon: true,
            clip_sample: None,
        }
    }
}

/// Reads the process of a scheduler config. The error lists all unsupported entries.
pub fn read(config: &Value) -> Result<ProcessConfig> {
    let entries = Entries::deserialize(config)
        .map_err(|error| invalid!("scheduler_config.json: {error}; use --process instead"))?;
    let mut wrong = Vec::new();
    if !BETAS.contains(&entries.class_name.as_str()) {
        wrong.push(format!("{} (supported: {})", entries.class_name, BETAS.join(", ")));
    }
    let schedule = schedule(&entries, &mut wrong);
    let variance = variance(entries.variance_type.as_deref(), &mut wrong);
    let prediction = prediction(&entries, &mut wrong);
    // DDPM and DDIM clip by default; the other schedulers have no such entry.
    let clips = ["DDPMScheduler", "DDIMScheduler"].contains(&entries.class_name.as_str());
    let clip = entries.clip_sample.unwrap_or(clips);
    if !wrong.is_empty() {
        bail!(
            "scheduler_config.json has unsupported entries: {}; use --process instead",
            wrong.join("; ")
        );
    }
    Ok(ProcessConfig { schedule, time: TimeInput::Index, prediction, variance, clip })
}

fn schedule(entries: &Entries, wrong: &mut Vec<String>) -> ScheduleConfig {
    let steps = entries.num_train_timesteps;
    let (beta_start, beta_end) = (entries.beta_start, entries.beta_end);
    let schedule = match (&entries.trained_betas, entries.beta_schedule.as_str()) {
        (Some(betas), _) => ScheduleConfig::Betas { betas: betas.clone() },
        (None, "linear") => linear(steps, beta_start, beta_end),
        (None, "scaled_linear") => ScheduleConfig::ScaledLinear { steps, beta_start, beta_end },
        (None, "sigmoid") => ScheduleConfig::Sigmoid { steps, beta_start, beta_end },
        (None, "squaredcos_cap_v2") => ScheduleConfig::cosine(steps),
        (None, other) => {
            wrong.push(format!(
                "beta_schedule {other} (supported: linear, scaled_linear, sigmoid, squaredcos_cap_v2)"
            ));
            ScheduleConfig::linear(steps)
        }
    };
    match entries.rescale_betas_zero_snr {
        true => ScheduleConfig::ZeroTerminalSnr { of: Box::new(schedule) },
        false => schedule,
    }
}

/// The linear schedule; β of the ends are omitted if they are the defaults for T.
fn linear(steps: usize, beta_start: f64, beta_end: f64) -> ScheduleConfig {
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    let (first, last) = ends(steps);
    if same(beta_start, first) && same(beta_end, last) {
        return ScheduleConfig::linear(steps);
    }
    ScheduleConfig::Linear { steps, beta_start: Some(beta_start), beta_end: Some(beta_end) }
}

fn prediction(entries: &Entries, wrong: &mut Vec<String>) -> PredictionType {
    match (entries.prediction_type.as_str(), entries.predict_epsilon) {
        ("epsilon", true) => PredictionType::Epsilon,
        // The first releases of diffusers have this entry.
        ("epsilon", false) | ("sample", _) => PredictionType::Sample,
        ("v_prediction", _) => PredictionType::Velocity,
        (other, _) => {
            wrong.push(format!(
                "prediction_type {other} (supported: epsilon, sample, v_prediction)"
            ));
            PredictionType::Epsilon
        }
    }
}

fn variance(kind: Option<&str>, wrong: &mut Vec<String>) -> Variance {
    match kind {
        None | Some("fixed_small" | "fixed_small_log") => Variance::FixedSmall,
        Some("fixed_large" | "fixed_large_log") => Variance::FixedLarge,
        Some("learned_range") => Variance::LearnedRange,
        Some(other) => {
            wrong.push(format!(
                "variance_type {other} (supported: fixed_small, fixed_large, learned_range)"
            ));
            Variance::FixedSmall
        }
    }
}

/// First and last β of the linear schedule.
fn ends(steps: usize) -> (f64, f64) {
    (0.1 / steps as f64, 20.0 / steps as f64)
}

/// The config of a DDPMScheduler for a process, if one exists.
pub fn write(process: &ProcessConfig) -> Option<Value> {
    let steps = process.schedule.num_timesteps();
    let unscaled =
        process.time == TimeInput::Index || (process.time == TimeInput::Rescaled && steps == 1000);
    let prediction = match process.prediction {
        PredictionType::Epsilon => "epsilon",
        PredictionType::Sample => "sample",
        PredictionType::Velocity => "v_prediction",
        PredictionType::PosteriorMean => return None,
    };
    let variance = match process.variance {
        Variance::FixedSmall => "fixed_small",
        Variance::FixedLarge => "fixed_large",
        Variance::LearnedRange => "learned_range",
        // diffusers interprets the output as the variance, not as its logarithm.
        Variance::Learned => return None,
    };
    let (schedule, zero) = match &process.schedule {
        ScheduleConfig::ZeroTerminalSnr { of } => (of.as_ref(), true),
        other => (other, false),
    };
    let mut config: Map<String, Value> = betas(schedule)?;
    config.insert("_class_name".into(), json!("DDPMScheduler"));
    config.insert("num_train_timesteps".into(), json!(steps));
    config.insert("variance_type".into(), json!(variance));
    config.insert("prediction_type".into(), json!(prediction));
    config.insert("clip_sample".into(), json!(process.clip));
    config.insert("rescale_betas_zero_snr".into(), json!(zero));
    unscaled.then(|| config.into())
}

/// The entries of a schedule: by name where diffusers has one, else all betas.
fn betas(schedule: &ScheduleConfig) -> Option<Map<String, Value>> {
    let steps = schedule.num_timesteps();
    let named = |name: &str, start: f64, end: f64| json!({"beta_schedule": name, "beta_start": start, "beta_end": end});
    let entries = match *schedule {
        ScheduleConfig::Linear { beta_start, beta_end, .. } => {
            let (start, end) = ends(steps);
            named("linear", beta_start.unwrap_or(start), beta_end.unwrap_or(end))
        }
        ScheduleConfig::ScaledLinear { beta_start, beta_end, .. } => {
            named("scaled_linear", beta_start, beta_end)
        }
        ScheduleConfig::Sigmoid { beta_start, beta_end, .. } => {
            named("sigmoid", beta_start, beta_end)
        }
        ScheduleConfig::Cosine { .. } => {
            let (start, end) = ends(steps);
            named("squaredcos_cap_v2", start, end)
        }
        // Its ᾱ is not the product of its betas.
        ScheduleConfig::Sprites { .. } => return None,
        _ => json!({"trained_betas": schedule.build().ok()?.betas().to_vec()}),
    };
    entries.as_object().cloned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let (beta_start, beta_end) = (0.00085, 0.012);
        let scaled = ScheduleConfig::ScaledLinear { steps: 1000, beta_start, beta_end };
        let (start, end) = (Some(beta_start), Some(beta_end));
        for schedule in [
            ScheduleConfig::linear(4000),
            ScheduleConfig::cosine(50),
            ScheduleConfig::Linear { steps: 100, beta_start: start, beta_end: end },
            ScheduleConfig::Sigmoid { steps: 100, beta_start, beta_end },
            ScheduleConfig::Betas { betas: vec![0.1, 0.2] },
            scaled.clone(),
            ScheduleConfig::ZeroTerminalSnr { of: Box::new(scaled) },
        ] {
            for mean in [PredictionType::Epsilon, PredictionType::Sample, PredictionType::Velocity]
            {
                for variance in [Variance::FixedLarge, Variance::LearnedRange] {
                    let (schedule, time) = (schedule.clone(), TimeInput::Index);
                    let process =
                        ProcessConfig { schedule, time, prediction: mean, variance, clip: false };
                    assert_eq!(read(&write(&process).unwrap()).unwrap(), process);
                }
            }
        }
        let constant = ScheduleConfig::Constant { steps: 3, beta: 0.1 };
        let process = ProcessConfig {
            schedule: constant,
            time: TimeInput::Index,
            ..ProcessConfig::sprites()
        };
        let again = read(&write(&process).unwrap()).unwrap();
        assert_eq!(again.schedule, ScheduleConfig::Betas { betas: vec![0.1; 3] });
        assert!(write(&ProcessConfig::sprites()).is_none());
        let learned = ProcessConfig { variance: Variance::Learned, ..process };
        assert!(write(&learned).is_none());
    }

    #[test]
    fn what_has_no_counterpart_is_listed_at_once() {
        let config = json!({"beta_schedule": "laplace", "prediction_type": "flow", "variance_type": "learned"});
        let error = read(&config).unwrap_err().to_string();
        for word in ["laplace", "flow", "learned", "--process"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
