//! Processes by name, and those that the published checkpoints were trained for.

use anyhow::{Context, Result, bail, ensure};
use inkdrop_process::{ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_unet::ImprovedFlags;

/// `sprites`, `ddpm`, or `linear` or `cosine` with `:STEPS`, `:rescaled`, `:unclipped`.
pub fn parse(text: &str) -> Result<ProcessConfig> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let (mut steps, mut time, mut clip) = (1000usize, TimeInput::Index, true);
    for part in parts {
        match part {
            "rescaled" => time = TimeInput::Rescaled,
            "unclipped" => clip = false,
            number => {
                let given = number.parse().ok().filter(|&steps| steps > 0);
                steps = given.with_context(|| {
                    format!(
                        "process `{text}`: `{number}` is no number of steps, `rescaled` or `unclipped`"
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
            clip = false;
            ScheduleConfig::linear(steps)
        }
        "linear" => ScheduleConfig::linear(steps),
        "cosine" => ScheduleConfig::Cosine { steps },
        _ => bail!(
            "unknown process `{name}`: expected sprites, ddpm, linear:STEPS or cosine:STEPS, the last two perhaps with :rescaled and :unclipped"
        ),
    };
    Ok(ProcessConfig { schedule, time, variance: Variance::FixedLarge, clip })
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
    let asked = ["diffusion_steps", "noise_schedule", "rescale_timesteps"];
    if asked.iter().all(|name| other(name).is_none()) {
        return Ok(None);
    }
    let truth = |value: &str| {
        matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "t" | "y" | "yes")
    };
    ensure!(
        !other("predict_xstart").is_some_and(truth),
        "--flags: predict_xstart is not supported yet"
    );
    let steps = other("diffusion_steps").unwrap_or("1000");
    let schedule = other("noise_schedule").unwrap_or("linear");
    let guided =
        flags.resblock_updown || flags.use_new_attention_order || flags.num_head_channels != -1;
    let rescaled = other("rescale_timesteps").map_or(!guided, truth);
    let rescaled = if rescaled { ":rescaled" } else { "" };
    ensure!(["linear", "cosine"].contains(&schedule), "--flags: unknown noise_schedule {schedule}");
    parse(&format!("{schedule}:{steps}{rescaled}")).context("--flags").map(Some)
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
    fn flags_of_a_readme_bring_their_process() {
        let of = |text| of_flags(text).unwrap();
        assert_eq!(of("--image_size 32"), None);
        let cifar = "--learn_sigma True --diffusion_steps 4000 --noise_schedule cosine";
        assert_eq!(of(cifar), of_preset("improved_cifar10"));
        let cond = "--diffusion_steps 4000 --noise_schedule cosine --rescale_timesteps False";
        assert_eq!(of(cond), of_preset("improved_imagenet64_cond"));
        let guided = "--num_head_channels 64 --diffusion_steps 1000 --noise_schedule cosine";
        assert_eq!(of(guided), of_preset("guided_imagenet64"));
        assert!(of_flags("--diffusion_steps 10 --predict_xstart True").is_err());
        assert!(of_flags("--diffusion_steps no").is_err());
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for text in ["", "sprite", "linear:0", "linear:-1", "linear:4000:scaled", "ddpm:500"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("linear:unclipped").unwrap(), parse("ddpm").unwrap());
        assert!(parse("cosine:50").unwrap().clip);
    }
}
