//! Processes by name, and those that the published checkpoints were trained for.

use anyhow::{Context, Result, bail, ensure};
use inkdrop_process::{MeanType, ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_unet::{ImprovedFlags, ModelConfig};

use crate::model::tables;

/// `sprites` or `ddpm`; a schedule with words behind colons, such as `cosine:4000:rescaled`; or
/// a .toml or .json file with a process.
pub fn parse(text: &str) -> Result<ProcessConfig> {
    match text {
        "sprites" => return Ok(ProcessConfig::sprites()),
        "ddpm" => return parse("linear:unclipped"),
        _ => {}
    }
    if let Some(table) = tables::open(text)? {
        return serde_json::from_value(table.into()).with_context(|| text.to_string());
    }
    let (name, words) = text.split_once(':').unwrap_or((text, ""));
    let mut words = Words::parse(text, words)?;
    let steps = words.steps;
    let (beta_start, beta_end) = (0.00085, 0.012);
    let schedule = match name {
        "linear" => ScheduleConfig::linear(steps),
        "cosine" => ScheduleConfig::cosine(steps),
        "scaled-linear" => ScheduleConfig::ScaledLinear { steps, beta_start, beta_end },
        "sigmoid" => ScheduleConfig::Sigmoid { steps, beta_start: 1e-4, beta_end: 0.02 },
        _ => bail!(
            "unknown process `{name}`: expected sprites or ddpm (as they stand); linear, cosine, scaled-linear or sigmoid, with any of {WORDS} behind colons; or a .toml or .json file"
        ),
    };
    let of = || Box::new(schedule.clone());
    words.process.schedule =
        if words.zero { ScheduleConfig::ZeroTerminalSnr { of: of() } } else { schedule };
    Ok(words.process)
}

/// The words behind a schedule's name.
const WORDS: &str = "STEPS, rescaled, unclipped, zero-snr, start-x, previous-x, v, fixed-small, learned, learned-range";

/// What the words behind a schedule's name say.
struct Words {
    steps: usize,
    zero: bool,
    process: ProcessConfig,
}

impl Words {
    fn parse(whole: &str, words: &str) -> Result<Self> {
        let process = ProcessConfig {
            schedule: ScheduleConfig::linear(1000),
            time: TimeInput::Index,
            mean: MeanType::Epsilon,
            variance: Variance::FixedLarge,
            clip: true,
        };
        let mut said = Self { steps: 1000, zero: false, process };
        let mut kinds = Vec::new();
        for word in words.split(':').filter(|_| whole.contains(':')) {
            let kind = Self::kind(word);
            ensure!(!kinds.contains(&kind), "process `{whole}`: `{word}` says {kind} once more");
            kinds.push(kind);
            match word {
                "rescaled" => said.process.time = TimeInput::Rescaled,
                "unclipped" => said.process.clip = false,
                "zero-snr" => said.zero = true,
                "start-x" => said.process.mean = MeanType::StartX,
                "previous-x" => said.process.mean = MeanType::PreviousX,
                "v" => said.process.mean = MeanType::V,
                "fixed-small" => said.process.variance = Variance::FixedSmall,
                "learned" => said.process.variance = Variance::Learned,
                "learned-range" => said.process.variance = Variance::LearnedRange,
                number => {
                    let given = number.parse().ok().filter(|&steps| steps > 0);
                    said.steps = given.with_context(|| {
                        format!("process `{whole}`: `{number}` is none of {WORDS}")
                    })?;
                }
            }
        }
        Ok(said)
    }

    /// What a word is about.
    fn kind(word: &str) -> &'static str {
        match word {
            "rescaled" => "the time",
            "unclipped" => "the clipping",
            "zero-snr" => "the end",
            "start-x" | "previous-x" | "v" => "the prediction",
            "fixed-small" | "learned" | "learned-range" => "the variance",
            _ => "the steps",
        }
    }
}

/// A process that says nothing of a learned variance, for a network that has one: it gives twice
/// the channels of its images. improved-diffusion and guided-diffusion learn a range.
pub fn fit(process: ProcessConfig, network: &ModelConfig) -> ProcessConfig {
    let learns = network.outputs() == 2 * network.image_shape()[0];
    match (learns, process.variance) {
        (true, Variance::FixedSmall | Variance::FixedLarge) => {
            ProcessConfig { variance: Variance::LearnedRange, ..process }
        }
        _ => process,
    }
}

/// DIFFUSION_FLAGS of the originals' READMEs, by the preset of the network.
pub fn of_preset(name: &str) -> Option<ProcessConfig> {
    let text = match name {
        "sprites" => "sprites",
        "ddpm_cifar10" => "ddpm",
        "unet2d_cifar10" => "linear:1000",
        "improved_cifar10" | "improved_imagenet64" => "cosine:4000:rescaled",
        "improved_imagenet64_cond" => "cosine:4000",
        "improved_upsample_64_256" => "linear:4000",
        "guided_imagenet64" => "cosine:1000",
        name if name.starts_with("guided_") || name == "improved_lsun_bedroom" => "linear:1000",
        _ => return None,
    };
    parse(text).ok()
}

/// The process of a README's flags, where they say anything about it: what they leave out
/// has the scripts' defaults. improved-diffusion's scale the time unless told not to;
/// guided-diffusion's, known by its own flags, do not.
pub fn of_flags(text: &str) -> Result<Option<ProcessConfig>> {
    let flags = ImprovedFlags::parse(text.split_whitespace()).context("--flags")?;
    let other = |name: &str| {
        let found = flags.others.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let asked =
        ["diffusion_steps", "noise_schedule", "rescale_timesteps", "predict_xstart", "sigma_small"];
    if asked.iter().all(|name| other(name).is_none()) {
        return Ok(None);
    }
    let truth = |value: &str| {
        matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "t" | "y" | "yes")
    };
    let steps = other("diffusion_steps").unwrap_or("1000");
    let schedule = other("noise_schedule").unwrap_or("linear");
    let guided =
        flags.resblock_updown || flags.use_new_attention_order || flags.num_head_channels != -1;
    let rescaled = other("rescale_timesteps").map_or(!guided, truth);
    ensure!(["linear", "cosine"].contains(&schedule), "--flags: unknown noise_schedule {schedule}");
    let mut text = format!("{schedule}:{steps}");
    let words = [
        (rescaled, ":rescaled"),
        (other("predict_xstart").is_some_and(truth), ":start-x"),
        (other("sigma_small").is_some_and(truth), ":fixed-small"),
    ];
    text.extend(words.iter().filter(|(said, _)| *said).map(|(_, word)| *word));
    parse(&text).context("--flags").map(Some)
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
        assert_eq!(cifar.schedule, ScheduleConfig::cosine(4000));
        assert_eq!(cifar.time, TimeInput::Rescaled);
    }

    #[test]
    fn flags_of_a_readme_bring_their_process() {
        let of = |text| of_flags(text).unwrap();
        assert_eq!(of("--image_size 32"), None);
        let cifar = "--learn_sigma True --diffusion_steps 4000 --noise_schedule cosine";
        assert_eq!(of(cifar), of_preset("improved_cifar10"));
        let cond = "--diffusion_steps 4000 --noise_schedule cosine --rescale_timesteps False";
        assert_eq!(of(cond), of_preset("improved_imagenet64_cond"));
        let guided = "--num_head_channels 64 --diffusion_steps 1000 --noise_schedule cosine";
        assert_eq!(of(guided), of_preset("guided_imagenet64"));
        let start = "--diffusion_steps 10 --predict_xstart True --sigma_small True";
        assert_eq!(of(start), Some(parse("linear:10:rescaled:start-x:fixed-small").unwrap()));
        assert!(of_flags("--diffusion_steps no").is_err());
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for text in [
            "",
            "sprite",
            "linear:0",
            "linear:-1",
            "linear:4000:scaled",
            "ddpm:500",
            "linear:v:start-x",
            "linear:10:20",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("linear:unclipped").unwrap(), parse("ddpm").unwrap());
        assert!(parse("cosine:50").unwrap().clip);
        let v = parse("scaled-linear:zero-snr:v").unwrap();
        assert_eq!(v.mean, MeanType::V);
        assert_eq!(v.schedule.build().unwrap().snr()[999], 0.0);
    }
}
