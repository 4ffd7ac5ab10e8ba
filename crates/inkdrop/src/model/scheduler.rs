//! scheduler_config.json of diffusers: reading and writing a process.

use inkdrop_process::{
    ContinuousConfig, DiffusionConfig, PredictionType, ProcessConfig, TimeInput, Variance,
};
use inkdrop_schedule::{FlowPath, Preconditioning, ScheduleConfig};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::error::{bail, ensure, invalid};
use crate::scheduler::{Arguments, Class, Predicts};

/// Supported schedulers: their entries define the betas of a process.
const BETAS: [&str; 16] = [
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
    "SASolverScheduler",
    "DPMSolverSinglestepScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "LCMScheduler",
    "TCDScheduler",
];

/// Values of entries that a process can have.
const SUPPORTED: [(&str, &[&str]); 3] = [
    ("beta_schedule", &["linear", "scaled_linear", "sigmoid", "squaredcos_cap_v2"]),
    ("prediction_type", &["epsilon", "sample", "v_prediction"]),
    (
        "variance_type",
        &["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned_range"],
    ),
];

/// Reads the process of a scheduler config.
///
/// # Errors
/// Entries that no process has; all of them are listed.
pub fn read(config: &Value) -> Result<DiffusionConfig> {
    let name = config.get("_class_name").and_then(Value::as_str);
    match name.and_then(Class::named) {
        Some(class) if !class.has_betas() && class != Class::Ipndm => {
            Ok(continuous(class, config)?.into())
        }
        _ => Ok(discrete(config)?.into()),
    }
}

/// The process of the EDM, consistency and flow matching schedulers.
fn continuous(class: Class, config: &Value) -> Result<ContinuousConfig> {
    let arguments = Arguments::read(class, config)
        .map_err(|error| invalid!("scheduler_config.json: {error}; use --process instead"))?;
    let Arguments { sigma_data, sigma_min, sigma_max, .. } = arguments;
    let preconditioning = match (class, arguments.prediction_type) {
        (Class::FlowEuler | Class::FlowHeun, _) => {
            ensure!(
                !arguments.invert_sigmas,
                "scheduler_config.json has invert_sigmas: no process has the inverted time"
            );
            let time_scale = arguments.num_train_timesteps as f64;
            let path = Preconditioning::Flow { path: FlowPath::Linear, time_scale };
            return Ok(ContinuousConfig::new(path));
        }
        (Class::Consistency, _) => {
            let sigma_min = sigma_min.unwrap_or(0.002);
            Preconditioning::Consistency { sigma_data, sigma_min, time_scale: 1000.0 }
        }
        (_, Predicts::VPrediction) => Preconditioning::EdmVelocity { sigma_data },
        _ => Preconditioning::Edm { sigma_data },
    };
    let clip = class == Class::Consistency && arguments.clip_denoised;
    let sigma_min = Some(sigma_min.unwrap_or(0.002));
    let sigma_max = Some(sigma_max.unwrap_or(80.0));
    Ok(ContinuousConfig { preconditioning, sigma_min, sigma_max, clip })
}

/// The process of the schedulers with betas.
fn discrete(config: &Value) -> Result<ProcessConfig> {
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    let name = text("_class_name").unwrap_or(BETAS[0]);
    let mut wrong = Vec::new();
    if !BETAS.contains(&name) {
        wrong.push(format!("{name} (supported: {})", BETAS.join(", ")));
    }
    for (key, values) in SUPPORTED {
        if let Some(value) = text(key).filter(|value| !values.contains(value)) {
            wrong.push(format!("{key} {value} (supported: {})", values.join(", ")));
        }
    }
    if !wrong.is_empty() {
        bail!(
            "scheduler_config.json has unsupported entries: {}; use --process instead",
            wrong.join("; ")
        );
    }
    let variance = match text("variance_type") {
        Some("fixed_large" | "fixed_large_log") => Variance::FixedLarge,
        Some("learned_range") => Variance::LearnedRange,
        _ => Variance::FixedSmall,
    };
    let mut config = config.clone();
    config["variance_type"] = Value::Null;
    let class = Class::named(name).unwrap_or(Class::Ddpm);
    let arguments = Arguments::read(class, &config)
        .map_err(|error| invalid!("scheduler_config.json: {error}; use --process instead"))?;
    let schedule =
        arguments.noise_schedule(class).map_or_else(|| ScheduleConfig::linear(1000), plain);
    let epsilon = arguments.rest.get("predict_epsilon").and_then(Value::as_bool).unwrap_or(true);
    let prediction = match arguments.prediction_type {
        // The first releases of diffusers have predict_epsilon.
        Predicts::Epsilon if epsilon => PredictionType::Epsilon,
        Predicts::Epsilon | Predicts::Sample => PredictionType::Sample,
        Predicts::VPrediction | Predicts::FlowPrediction => PredictionType::Velocity,
    };
    // DDPM and DDIM clip by default; the other schedulers have no such entry.
    let clips = ["DDPMScheduler", "DDIMScheduler"].contains(&name);
    let clip = arguments.clip_sample.unwrap_or(clips);
    Ok(ProcessConfig {
        schedule,
        time: TimeInput::Index,
        prediction,
        variance,
        clip,
        consistency: None,
    })
}

/// A note if a scheduler clips x0 otherwise than to −1 to 1, as its process does.
pub fn note_of_clipping(config: &Value) -> Option<String> {
    let DiffusionConfig::Timesteps(process) = read(config).ok()? else { return None };
    let range = config["clip_sample_range"].as_f64().unwrap_or(1.0);
    let how = match config["thresholding"] == true {
        true => "by dynamic thresholding".to_string(),
        false if range != 1.0 => format!("to ±{range}"),
        false => return None,
    };
    process.clip.then(|| {
        format!(
            "scheduler_config.json clips x0 {how}; without the scheduler (editing, conversion, other samplers) it is clipped to ±1"
        )
    })
}

/// The linear schedule without the β of its ends, if they are the defaults for T.
pub(super) fn plain(schedule: ScheduleConfig) -> ScheduleConfig {
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    match schedule {
        ScheduleConfig::ZeroTerminalSnr { of } => {
            ScheduleConfig::ZeroTerminalSnr { of: Box::new(plain(*of)) }
        }
        ScheduleConfig::Linear { steps, beta_start: Some(start), beta_end: Some(end) }
            if same(start, ends(steps).0) && same(end, ends(steps).1) =>
        {
            ScheduleConfig::linear(steps)
        }
        other => other,
    }
}

/// First and last β of the linear schedule.
fn ends(steps: usize) -> (f64, f64) {
    (0.1 / steps as f64, 20.0 / steps as f64)
}

/// The config of a scheduler for a process, if one exists: DDPMScheduler, EDMEulerScheduler,
/// FlowMatchEulerDiscreteScheduler or CMStochasticIterativeScheduler.
pub fn write(process: &DiffusionConfig) -> Option<Value> {
    match process {
        DiffusionConfig::Timesteps(config) => ddpm(config),
        DiffusionConfig::Continuous(config) => continuous_scheduler(config),
    }
}

/// The config of a scheduler of continuous noise levels.
fn continuous_scheduler(config: &ContinuousConfig) -> Option<Value> {
    let (sigma_min, sigma_max) = config.sigma_range();
    let edm = |sigma_data: f64, prediction: &str| {
        json!({
            "_class_name": "EDMEulerScheduler",
            "sigma_min": sigma_min,
            "sigma_max": sigma_max,
            "sigma_data": sigma_data,
            "sigma_schedule": "karras",
            "num_train_timesteps": 1000,
            "prediction_type": prediction,
            "rho": 7.0,
        })
    };
    Some(match config.preconditioning {
        // diffusers gives the network this time alone.
        Preconditioning::Consistency { time_scale, .. } if time_scale != 1000.0 => return None,
        Preconditioning::Consistency { sigma_data, .. } => json!({
            "_class_name": "CMStochasticIterativeScheduler",
            "sigma_min": sigma_min,
            "sigma_max": sigma_max,
            "sigma_data": sigma_data,
            "num_train_timesteps": 40,
            "s_noise": 1.0,
            "rho": 7.0,
            "clip_denoised": config.clip,
        }),
        // The other schedulers do not clip.
        _ if config.clip => return None,
        Preconditioning::Edm { sigma_data } => edm(sigma_data, "epsilon"),
        Preconditioning::EdmVelocity { sigma_data } => edm(sigma_data, "v_prediction"),
        Preconditioning::Flow { path: FlowPath::Linear, time_scale }
            // diffusers' smallest t is 1/num_train_timesteps.
            if time_scale.fract() == 0.0 && time_scale >= 100.0 && sigma_max.is_infinite() =>
        {
            json!({
                "_class_name": "FlowMatchEulerDiscreteScheduler",
                "num_train_timesteps": time_scale as u64,
                "shift": 1.0,
            })
        }
        _ => return None,
    })
}

/// The config of a DDPMScheduler.
fn ddpm(process: &ProcessConfig) -> Option<Value> {
    let steps = process.schedule.num_timesteps();
    let unscaled =
        process.time == TimeInput::Index || (process.time == TimeInput::Rescaled && steps == 1000);
    // No scheduler of diffusers has this boundary condition.
    if process.consistency.is_some() {
        return None;
    }
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
                    let process = ProcessConfig {
                        schedule,
                        time,
                        prediction: mean,
                        variance,
                        clip: false,
                        consistency: None,
                    };
                    assert_eq!(discrete(&ddpm(&process).unwrap()).unwrap(), process);
                }
            }
        }
        let constant = ScheduleConfig::Constant { steps: 3, beta: 0.1 };
        let process = ProcessConfig {
            schedule: constant,
            time: TimeInput::Index,
            ..ProcessConfig::sprites()
        };
        let again = discrete(&ddpm(&process).unwrap()).unwrap();
        assert_eq!(again.schedule, ScheduleConfig::Betas { betas: vec![0.1; 3] });
        assert!(write(&ProcessConfig::sprites().into()).is_none());
        let learned = ProcessConfig { variance: Variance::Learned, ..process };
        assert!(write(&learned.into()).is_none());
    }

    #[test]
    fn clipping_that_the_process_does_not_have_is_noted() {
        let note = |more: Value| {
            let mut config = json!({"_class_name": "DDPMScheduler"});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            note_of_clipping(&config)
        };
        assert_eq!(note(json!({})), None);
        assert_eq!(note(json!({"clip_sample_range": 2.0, "clip_sample": false})), None);
        assert!(note(json!({"clip_sample_range": 2.0})).unwrap().contains("±2"));
        assert!(note(json!({"thresholding": true})).unwrap().contains("dynamic"));
    }

    /// The smallest time of diffusers' scheduler is 1 of its num_train_timesteps.
    #[test]
    fn flows_of_few_timesteps_have_no_scheduler() {
        let flow = |time_scale| {
            let path = FlowPath::Linear;
            let config = ContinuousConfig::new(Preconditioning::Flow { path, time_scale });
            write(&config.into())
        };
        assert_eq!(flow(1000.0).unwrap()["num_train_timesteps"], 1000);
        assert_eq!(flow(1.0), None);
    }

    #[test]
    fn schedulers_of_continuous_levels_have_a_preconditioning() {
        let of = |config: Value| {
            continuous(Class::named(config["_class_name"].as_str().unwrap()).unwrap(), &config)
        };
        let edm = of(json!({"_class_name": "EDMEulerScheduler", "sigma_max": 40.0})).unwrap();
        assert_eq!(edm.preconditioning, Preconditioning::Edm { sigma_data: 0.5 });
        assert_eq!(edm.sigma_range(), (0.002, 40.0));
        let v = json!({"_class_name": "EDMDPMSolverMultistepScheduler", "prediction_type": "v_prediction"});
        assert_eq!(
            of(v).unwrap().preconditioning,
            Preconditioning::EdmVelocity { sigma_data: 0.5 }
        );
        let consistency = of(json!({"_class_name": "CMStochasticIterativeScheduler"})).unwrap();
        assert!(consistency.clip);
        let flow =
            json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 100});
        let expected = Preconditioning::Flow { path: FlowPath::Linear, time_scale: 100.0 };
        assert_eq!(of(flow).unwrap().preconditioning, expected);
        let inverted =
            json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": true});
        assert!(of(inverted).unwrap_err().to_string().contains("invert_sigmas"));
        let ipndm = read(&json!({"_class_name": "IPNDMScheduler"})).unwrap_err();
        assert!(ipndm.to_string().contains("IPNDMScheduler (supported"));
        let lcm = discrete(&json!({"_class_name": "LCMScheduler"})).unwrap();
        assert!(matches!(lcm.schedule, ScheduleConfig::ScaledLinear { beta_start: 0.00085, .. }));
    }

    #[test]
    fn continuous_processes_are_written_and_read_back() {
        for preconditioning in [
            Preconditioning::Edm { sigma_data: 0.7 },
            Preconditioning::EdmVelocity { sigma_data: 0.5 },
            Preconditioning::Consistency { sigma_data: 0.5, sigma_min: 0.002, time_scale: 1000.0 },
            Preconditioning::Flow { path: FlowPath::Linear, time_scale: 1000.0 },
        ] {
            let config = ContinuousConfig::new(preconditioning);
            let written = write(&config.into()).unwrap();
            let DiffusionConfig::Continuous(again) = read(&written).unwrap() else { panic!() };
            assert_eq!(again.preconditioning, preconditioning);
            assert_eq!(again.sigma_range(), config.sigma_range());
            assert_eq!(again.clip, config.clip);
        }
        let cosine = Preconditioning::Flow { path: FlowPath::Cosine, time_scale: 1000.0 };
        assert!(write(&ContinuousConfig::new(cosine).into()).is_none());
        assert!(write(&ContinuousConfig::new(Preconditioning::Ve {}).into()).is_none());
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
