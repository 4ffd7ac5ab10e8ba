//! Diffusion processes by name, and those of published checkpoints.

use inkdrop_process::{
    ContinuousConfig, DiffusionConfig, Preconditioning, PredictionType, ProcessConfig, TimeInput,
    Variance,
};
use inkdrop_schedule::{BetaRange, FlowPath, ScheduleConfig};
use inkdrop_unet::{ImprovedFlags, ModelConfig};

use crate::Result;
use crate::error::{Context, bail, ensure};
use crate::model::spec::read_table;

/// Parses `sprites` or `ddpm`; a noise schedule with options, such as `cosine:4000:rescaled`; a process of
/// continuous noise levels, such as `edm` or `flow`; or a .toml or .json file.
pub fn parse(text: &str) -> Result<DiffusionConfig> {
    if let Some(table) = read_table(text)? {
        return serde_json::from_value(table.into()).with_context(|| text.to_string());
    }
    Ok(match continuous(text)? {
        Some(config) => config.into(),
        None => with_timesteps(text)?.into(),
    })
}

/// Parses `edm`, `trig-flow` or `consistency`, optionally with σ_data; `vp`, `ve`, `iddpm`, `flow-sample`, `jit`, `mean-flow`; `flow`,
/// `flow:cosine` or `flow:vp`. `None` for another name.
fn continuous(text: &str) -> Result<Option<ContinuousConfig>> {
    let (name, option) = match text.split_once(':') {
        None => (text, None),
        Some((name, option)) => (name, Some(option)),
    };
    let sigma_data = || {
        let given = option.map_or(Ok(0.5), str::parse).ok().filter(|&given: &f64| given > 0.0);
        given.with_context(|| format!("process `{text}`: expected σ_data, as in {name}:0.5"))
    };
    let path = || match option {
        None | Some("linear") => Ok(FlowPath::Linear),
        Some("cosine") => Ok(FlowPath::Cosine),
        Some("vp") => Ok(FlowPath::Vp(BetaRange::default())),
        Some(_) => bail!("process `{text}`: expected flow, flow:cosine or flow:vp"),
    };
    let consistency = |sigma_data| Preconditioning::Consistency {
        sigma_data,
        sigma_min: 0.002,
        time_scale: 1000.0,
    };
    let plain = |preconditioning| match option {
        None => Ok(preconditioning),
        Some(_) => bail!("process `{text}`: {name} has no option"),
    };
    let clip = name == "consistency"; // consistency_models clips every predicted image
    let preconditioning = match name {
        "edm" => Preconditioning::Edm { sigma_data: sigma_data()? },
        "consistency" => consistency(sigma_data()?),
        "trig-flow" => Preconditioning::TrigFlow { sigma_data: sigma_data()? },
        "flow" => Preconditioning::Flow { path: path()?, time_scale: 1000.0 },
        "flow-sample" => {
            plain(Preconditioning::FlowSample { time_scale: 1000.0, reversed: false })?
        }
        "jit" => plain(Preconditioning::FlowSample { time_scale: 1.0, reversed: true })?,
        "mean-flow" => plain(Preconditioning::MeanFlow { time_scale: 1000.0 })?,
        "vp" => plain(Preconditioning::Vp(BetaRange::default()))?,
        "ve" => plain(Preconditioning::Ve {})?,
        "iddpm" => plain(Preconditioning::Iddpm {})?,
        _ => return Ok(None),
    };
    Ok(Some(ContinuousConfig { clip, ..ContinuousConfig::new(preconditioning) }))
}

/// Parses a process with timesteps by name.
fn with_timesteps(text: &str) -> Result<ProcessConfig> {
    match text {
        "sprites" => return Ok(ProcessConfig::sprites()),
        "ddpm" => return with_timesteps("linear:unclipped"),
        _ => {}
    }
    let (name, options) = text.split_once(':').unwrap_or((text, ""));
    let mut options = ProcessOptions::parse((text, name), options)?;
    let steps = options.steps;
    let (beta_start, beta_end) = (0.00085, 0.012);
    let schedule = match name {
        "linear" => ScheduleConfig::linear(steps),
        "cosine" => ScheduleConfig::cosine(steps),
        "scaled-linear" => ScheduleConfig::ScaledLinear { steps, beta_start, beta_end },
        "sigmoid" => ScheduleConfig::Sigmoid { steps, beta_start: 1e-4, beta_end: 0.02 },
        "lucid" => ScheduleConfig::SigmoidLucid { steps, start: -3.0, end: 3.0, tau: 1.0 },
        _ => bail!(
            "process `{name}`: expected sprites or ddpm; linear, cosine, scaled-linear, sigmoid or lucid, followed by any of {OPTIONS}, each after a colon; edm, trig-flow, consistency, flow, flow-sample, jit, mean-flow, vp, ve or iddpm; or a .toml or .json file"
        ),
    };
    let of = || Box::new(schedule.clone());
    options.process.schedule =
        if options.zero { ScheduleConfig::ZeroTerminalSnr { of: of() } } else { schedule };
    Ok(options.process)
}

/// The options after the name of a schedule.
const OPTIONS: &str = "STEPS, rescaled, unclipped, zero-snr, epsilon, sample, posterior-mean, velocity, fixed-small, learned, learned-range";

/// The options after the name of a schedule.
struct ProcessOptions {
    steps: usize,
    zero: bool,
    process: ProcessConfig,
}

impl ProcessOptions {
    /// - whole, name: the process, and its schedule; those of lucidrains predict v by default
    fn parse((whole, name): (&str, &str), options: &str) -> Result<Self> {
        let (prediction, variance) = match name {
            "lucid" => (PredictionType::Velocity, Variance::FixedSmall),
            _ => (PredictionType::Epsilon, Variance::FixedLarge),
        };
        let process = ProcessConfig {
            schedule: ScheduleConfig::linear(1000),
            time: TimeInput::Index,
            prediction,
            variance,
            clip: true,
            consistency: None,
        };
        let mut parsed = Self { steps: 1000, zero: false, process };
        let mut kinds = Vec::new();
        for word in options.split(':').filter(|_| whole.contains(':')) {
            let kind = Self::kind(word);
            ensure!(
                !kinds.contains(&kind),
                "process `{whole}`: `{word}` sets {kind} a second time"
            );
            kinds.push(kind);
            match word {
                "rescaled" => parsed.process.time = TimeInput::Rescaled,
                "unclipped" => parsed.process.clip = false,
                "zero-snr" => parsed.zero = true,
                "epsilon" => parsed.process.prediction = PredictionType::Epsilon,
                "sample" | "start-x" => parsed.process.prediction = PredictionType::Sample,
                "posterior-mean" | "previous-x" => {
                    parsed.process.prediction = PredictionType::PosteriorMean;
                }
                "velocity" | "v" => parsed.process.prediction = PredictionType::Velocity,
                "fixed-small" => parsed.process.variance = Variance::FixedSmall,
                "learned" => parsed.process.variance = Variance::Learned,
                "learned-range" => parsed.process.variance = Variance::LearnedRange,
                number => {
                    let given = number.parse().ok().filter(|&steps| steps > 0);
                    parsed.steps = given.with_context(|| {
                        format!("process `{whole}`: `{number}`: expected one of {OPTIONS}")
                    })?;
                }
            }
        }
        Ok(parsed)
    }

    /// The setting that an option changes.
    fn kind(word: &str) -> &'static str {
        match word {
            "rescaled" => "the time input",
            "unclipped" => "the clipping",
            "zero-snr" => "the terminal SNR",
            "epsilon" | "sample" | "start-x" | "posterior-mean" | "previous-x" | "velocity"
            | "v" => "the prediction type",
            "fixed-small" | "learned" | "learned-range" => "the variance",
            _ => "the steps",
        }
    }
}

/// Sets the learned-range variance of improved-diffusion for a network with twice the output channels, if
/// the process does not name a learned variance.
pub fn fit(process: DiffusionConfig, network: &ModelConfig) -> DiffusionConfig {
    let learns = network.outputs() == 2 * network.image_shape()[0];
    match process {
        DiffusionConfig::Timesteps(process) if learns && !process.variance.is_learned() => {
            ProcessConfig { variance: Variance::LearnedRange, ..process }.into()
        }
        other => other,
    }
}

/// The process of a preset; DIFFUSION_FLAGS of the READMEs for improved-diffusion and guided-diffusion.
pub fn of_preset(name: &str) -> Option<DiffusionConfig> {
    let text = match name {
        "consistency_imagenet64" | "consistency_lsun256" => "consistency",
        "sprites" => "sprites",
        "ddpm_cifar10" => "ddpm",
        "unet2d_cifar10" => "linear:1000",
        "improved_cifar10" | "improved_imagenet64" => "cosine:4000:rescaled",
        "improved_imagenet64_cond" => "cosine:4000",
        "improved_upsample_64_256" => "linear:4000",
        "guided_imagenet64" => "cosine:1000",
        name if name.starts_with("edm") => "edm",
        "lucid" => "lucid",
        "lucid_classes" => "cosine:1000:fixed-small",
        "dit_sprites" => "flow-sample",
        name if name.starts_with("jit") => "jit",
        name if name.starts_with("dit") => "linear:1000:unclipped", // latents
        name if name.starts_with("guided_") || name == "improved_lsun_bedroom" => "linear:1000",
        _ => return None,
    };
    parse(text).ok()
}

/// The process of command-line flags of improved-diffusion or guided-diffusion, if they set any of its
/// options; the others have the defaults of the scripts. improved-diffusion rescales timesteps by
/// default; guided-diffusion, which is detected by its own flags, does not.
pub fn of_flags(text: &str) -> Result<Option<ProcessConfig>> {
    let flags = ImprovedFlags::parse(text.split_whitespace()).context("--flags")?;
    let other = |name: &str| {
        let found = flags.others.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let truth = |name: &str| flags.truth(name).with_context(|| format!("--flags: --{name}"));
    let sampled =
        other("timestep_respacing").filter(|steps| !steps.trim_matches(['"', '\'']).is_empty());
    ensure!(
        sampled.is_none() && truth("use_ddim")? != Some(true),
        "--flags: --timestep_respacing and --use_ddim choose a sampler, not the model: leave them out, and sample with --steps and --sampler"
    );
    ensure!(
        ["classifier_scale", "classifier_path"].iter().all(|name| other(name).is_none()),
        "--flags: there is no guidance by a classifier: leave --classifier_scale and --classifier_path out"
    );
    let options = [
        "diffusion_steps",
        "noise_schedule",
        "rescale_timesteps",
        "predict_xstart",
        "sigma_small",
        "clip_denoised",
    ];
    if options.iter().all(|name| other(name).is_none()) {
        return Ok(None);
    }
    let steps = other("diffusion_steps").unwrap_or("1000");
    let schedule = other("noise_schedule").unwrap_or("linear");
    let guided =
        flags.resblock_updown || flags.use_new_attention_order || flags.num_head_channels != -1;
    let rescaled = truth("rescale_timesteps")?.unwrap_or(!guided);
    ensure!(["linear", "cosine"].contains(&schedule), "--flags: unknown noise_schedule {schedule}");
    let mut text = format!("{schedule}:{steps}");
    let options = [
        (rescaled, ":rescaled"),
        (truth("predict_xstart")? == Some(true), ":sample"),
        (truth("sigma_small")? == Some(true), ":fixed-small"),
        (truth("clip_denoised")? == Some(false), ":unclipped"),
    ];
    text.extend(options.iter().filter(|(given, _)| *given).map(|(_, word)| *word));
    with_timesteps(&text).context("--flags").map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use inkdrop_unet::Preset;

    use super::*;

    #[test]
    fn every_preset_has_its_process() {
        for preset in Preset::ALL {
            assert!(of_preset(preset.name).is_some(), "{}", preset.name);
        }
        let cifar = of_preset("improved_cifar10").unwrap();
        let cifar = cifar.timesteps().unwrap();
        assert_eq!(cifar.schedule, ScheduleConfig::cosine(4000));
        assert_eq!(cifar.time, TimeInput::Rescaled);
        let clips = |name| match of_preset(name).unwrap() {
            DiffusionConfig::Timesteps(config) => config.clip,
            DiffusionConfig::Continuous(config) => config.clip,
        };
        // As DiT's and consistency_models' samplers.
        assert!(!clips("dit_xl2") && clips("consistency_imagenet64") && !clips("edm_cifar10"));
    }

    #[test]
    fn flags_of_a_readme_bring_their_process() {
        let of = |text| of_flags(text).unwrap();
        assert_eq!(of("--image_size 32"), None);
        let cifar = "--learn_sigma True --diffusion_steps 4000 --noise_schedule cosine";
        assert_eq!(of(cifar).map(DiffusionConfig::from), of_preset("improved_cifar10"));
        let cond = "--diffusion_steps 4000 --noise_schedule cosine --rescale_timesteps False";
        assert_eq!(of(cond).map(DiffusionConfig::from), of_preset("improved_imagenet64_cond"));
        let guided = "--num_head_channels 64 --diffusion_steps 1000 --noise_schedule cosine";
        assert_eq!(of(guided).map(DiffusionConfig::from), of_preset("guided_imagenet64"));
        let start = "--diffusion_steps 10 --predict_xstart True --sigma_small True";
        assert_eq!(
            of(start),
            Some(with_timesteps("linear:10:rescaled:sample:fixed-small").unwrap())
        );
        let unclipped = "--diffusion_steps 1000 --clip_denoised False --timestep_respacing ''";
        assert_eq!(of(unclipped), Some(with_timesteps("linear:1000:rescaled:unclipped").unwrap()));
        for (flag, word) in [
            ("timestep_respacing 250", "--steps"),
            ("use_ddim True", "--sampler"),
            ("classifier_scale 10", "classifier"),
        ] {
            let error = of_flags(&format!("--diffusion_steps 10 --{flag}")).unwrap_err().report();
            assert!(error.contains(word), "{error}");
        }
        assert!(of_flags("--diffusion_steps no").is_err());
        for name in ["rescale_timesteps", "predict_xstart", "sigma_small"] {
            let error = of_flags(&format!("--{name} ture")).unwrap_err().report();
            assert!(error.contains(&format!("--{name}")) && error.contains("True or False"));
        }
    }

    #[test]
    fn continuous_processes_have_names() {
        let of = |text| match parse(text).unwrap() {
            DiffusionConfig::Continuous(config) => config.preconditioning,
            other => panic!("{other:?}"),
        };
        assert_eq!(of("edm"), Preconditioning::Edm { sigma_data: 0.5 });
        assert_eq!(of("trig-flow:0.25"), Preconditioning::TrigFlow { sigma_data: 0.25 });
        let flow = Preconditioning::Flow { path: FlowPath::Cosine, time_scale: 1000.0 };
        assert_eq!(of("flow:cosine"), flow);
        assert!(parse("ddpm").unwrap().timesteps().is_some());
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        for text in ["edm:no", "edm:-1", "flow:linear:1", "ve:1"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in [
            "",
            "sprite",
            "linear:0",
            "linear:-1",
            "linear:4000:scaled",
            "ddpm:500",
            "linear:velocity:sample",
            "linear:10:20",
        ] {
            assert!(with_timesteps(text).is_err(), "{text}");
        }
        assert_eq!(with_timesteps("linear:unclipped").unwrap(), with_timesteps("ddpm").unwrap());
        for (old, new) in
            [("start-x", "sample"), ("previous-x", "posterior-mean"), ("v", "velocity")]
        {
            let of = |name| with_timesteps(&format!("linear:{name}")).unwrap();
            assert_eq!(of(old), of(new), "names of earlier versions are accepted");
        }
        assert!(with_timesteps("cosine:50").unwrap().clip);
        let v = with_timesteps("scaled-linear:zero-snr:v").unwrap();
        assert_eq!(v.prediction, PredictionType::Velocity);
        assert_eq!(v.schedule.build().unwrap().snr()[999], 0.0);
    }
}
