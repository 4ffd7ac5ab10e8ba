//! scheduler_config.json of diffusers: a process in its words.

use anyhow::{Result, anyhow, bail};
use inkdrop_process::{ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::ScheduleConfig;
use serde::Deserialize;
use serde_json::{Value, json};

/// Schedulers whose entries say the betas of a process; the ways to walk it are others.
const BETAS: [&str; 6] = [
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
];

/// The entries that make a process; how to walk it is a matter of samplers.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Entries {
    #[serde(rename = "_class_name")]
    class_name: String,
    num_train_timesteps: usize,
    beta_start: f64,
    beta_end: f64,
    beta_schedule: String,
    trained_betas: Option<Value>,
    variance_type: Option<String>,
    prediction_type: String,
    rescale_betas_zero_snr: bool,
    thresholding: bool,
    predict_epsilon: bool,
    clip_sample: Option<bool>,
    clip_sample_range: f64,
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
            thresholding: false,
            predict_epsilon: true,
            clip_sample: None,
            clip_sample_range: 1.0,
        }
    }
}

/// The process of a scheduler's config; everything that has no counterpart at once.
pub fn read(config: &Value) -> Result<ProcessConfig> {
    let entries = Entries::deserialize(config)
        .map_err(|error| anyhow!("scheduler_config.json: {error}; --process takes its place"))?;
    let mut wrong = Vec::new();
    if !BETAS.contains(&entries.class_name.as_str()) {
        wrong.push(format!("{} (supported: {})", entries.class_name, BETAS.join(", ")));
    }
    let schedule = schedule(&entries, &mut wrong);
    let variance = variance(entries.variance_type.as_deref(), &mut wrong);
    if entries.prediction_type != "epsilon" {
        wrong.push(format!("prediction_type {} (supported: epsilon)", entries.prediction_type));
    }
    if entries.trained_betas.is_some_and(|betas| !betas.is_null()) {
        wrong.push("trained_betas (supported: schedules by name)".to_string());
    }
    // DDPM and DDIM clip unless told not to; the others have no such entry.
    let clips = ["DDPMScheduler", "DDIMScheduler"].contains(&entries.class_name.as_str());
    let clip = entries.clip_sample.unwrap_or(clips);
    let others = [
        ("rescale_betas_zero_snr", entries.rescale_betas_zero_snr),
        ("thresholding", entries.thresholding),
        ("predict_epsilon false", !entries.predict_epsilon),
        ("a clip_sample_range other than 1", clip && entries.clip_sample_range != 1.0),
    ];
    wrong.extend(others.iter().filter(|(_, asked)| *asked).map(|(name, _)| name.to_string()));
    if !wrong.is_empty() {
        bail!(
            "scheduler_config.json asks for what is not supported: {}; --process takes its place",
            wrong.join("; ")
        );
    }
    Ok(ProcessConfig { schedule, time: TimeInput::Index, variance, clip })
}

fn schedule(entries: &Entries, wrong: &mut Vec<String>) -> ScheduleConfig {
    let steps = entries.num_train_timesteps;
    match entries.beta_schedule.as_str() {
        "linear" => {
            let (first, last) = ends(steps);
            let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
            if !(same(entries.beta_start, first) && same(entries.beta_end, last)) {
                wrong.push(format!(
                    "betas from {} to {} over {steps} steps (supported: {first} to {last})",
                    entries.beta_start, entries.beta_end
                ));
            }
            ScheduleConfig::linear(steps)
        }
        "squaredcos_cap_v2" => ScheduleConfig::Cosine { steps },
        other => {
            wrong.push(format!("beta_schedule {other} (supported: linear, squaredcos_cap_v2)"));
            ScheduleConfig::linear(steps)
        }
    }
}

fn variance(kind: Option<&str>, wrong: &mut Vec<String>) -> Variance {
    match kind {
        None | Some("fixed_small" | "fixed_small_log") => Variance::FixedSmall,
        Some("fixed_large" | "fixed_large_log") => Variance::FixedLarge,
        Some(other) => {
            wrong.push(format!("variance_type {other} (supported: fixed_small, fixed_large)"));
            Variance::FixedSmall
        }
    }
}

/// First and last β of the linear schedule.
fn ends(steps: usize) -> (f64, f64) {
    (0.1 / steps as f64, 20.0 / steps as f64)
}

/// A DDPMScheduler's config for a process, where it has one.
pub fn write(process: &ProcessConfig) -> Option<Value> {
    let steps = process.schedule.steps();
    let unscaled =
        process.time == TimeInput::Index || (process.time == TimeInput::Rescaled && steps == 1000);
    let schedule = match process.schedule {
        ScheduleConfig::Linear { beta_start: None, beta_end: None, .. } => "linear",
        ScheduleConfig::Cosine { .. } => "squaredcos_cap_v2",
        _ => return None,
    };
    let (beta_start, beta_end) = ends(steps);
    unscaled.then(|| {
        json!({
            "_class_name": "DDPMScheduler",
            "num_train_timesteps": steps,
            "beta_start": beta_start,
            "beta_end": beta_end,
            "beta_schedule": schedule,
            "variance_type": match process.variance {
                Variance::FixedSmall => "fixed_small",
                Variance::FixedLarge => "fixed_large",
            },
            "prediction_type": "epsilon",
            "clip_sample": process.clip,
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for schedule in [ScheduleConfig::linear(4000), ScheduleConfig::Cosine { steps: 50 }] {
            let (time, variance) = (TimeInput::Index, Variance::FixedLarge);
            let process = ProcessConfig { schedule, time, variance, clip: false };
            assert_eq!(read(&write(&process).unwrap()).unwrap(), process);
        }
        assert!(write(&ProcessConfig::sprites()).is_none());
    }

    #[test]
    fn what_has_no_counterpart_is_listed_at_once() {
        let config = json!({"beta_schedule": "sigmoid", "prediction_type": "v_prediction", "variance_type": "learned"});
        let error = read(&config).unwrap_err().to_string();
        for word in ["sigmoid", "v_prediction", "learned", "--process"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
