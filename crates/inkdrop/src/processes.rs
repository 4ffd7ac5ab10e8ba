//! Processes by name, and those that the published checkpoints were trained for.

use anyhow::{Context, Result, bail, ensure};
use inkdrop_process::{ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::ScheduleConfig;

/// `sprites`, `ddpm`, `linear[:STEPS][:rescaled]` or `cosine[:STEPS][:rescaled]`.
pub fn parse(text: &str) -> Result<ProcessConfig> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let (mut steps, mut time) = (1000usize, TimeInput::Index);
    for part in parts {
        match part {
            "rescaled" => time = TimeInput::Rescaled,
            number => {
                let given = number.parse().ok().filter(|&steps| steps > 0);
                steps = given.with_context(|| {
                    format!(
                        "process `{text}`: `{number}` is neither a number of steps nor `rescaled`"
                    )
                })?;
            }
        }
    }
    let schedule = match name {
        "sprites" | "ddpm" => {
            ensure!(name == text, "process `{text}`: {name} takes no further words");
            if name == "sprites" {
                return Ok(ProcessConfig::sprites());
            }
            ScheduleConfig::Linear { steps }
        }
        "linear" => ScheduleConfig::Linear { steps },
        "cosine" => ScheduleConfig::Cosine { steps },
        _ => bail!(
            "unknown process `{name}`: expected sprites, ddpm, linear:STEPS or cosine:STEPS, the last two perhaps with :rescaled"
        ),
    };
    Ok(ProcessConfig { schedule, time, variance: Variance::FixedLarge })
}

/// DIFFUSION_FLAGS of the originals' READMEs, by the preset of the network.
pub fn of_preset(name: &str) -> Option<ProcessConfig> {
    let text = match name {
        "sprites" => "sprites",
        "ddpm_cifar10" | "unet2d_cifar10" => "ddpm",
        "improved_cifar10" | "improved_imagenet64" => "cosine:4000:rescaled",
        "improved_imagenet64_cond" => "cosine:4000",
        "improved_upsample_64_256" => "linear:4000",
        "guided_imagenet64" => "cosine:1000",
        name if name.starts_with("guided_") || name == "improved_lsun_bedroom" => "linear:1000",
        _ => return None,
    };
    parse(text).ok()
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
        assert_eq!(cifar.schedule, ScheduleConfig::Cosine { steps: 4000 });
        assert_eq!(cifar.time, TimeInput::Rescaled);
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for text in ["", "sprite", "linear:0", "linear:-1", "linear:4000:scaled", "ddpm:500"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("linear").unwrap(), parse("ddpm").unwrap());
    }
}
