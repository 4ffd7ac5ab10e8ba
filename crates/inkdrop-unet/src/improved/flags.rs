//! The flags of improved-diffusion's and guided-diffusion's scripts.

use super::{ImprovedArguments, ImprovedConfig};
use crate::{ConfigError, ImageSize, ModelConfig};

/// Model flags of improved- and guided-diffusion's scripts (`MODEL_FLAGS` in their READMEs), with
/// their defaults.
///
/// ```
/// use inkdrop_unet::{ImprovedConfig, ImprovedFlags, ModelConfig};
///
/// let flags = "--image_size 32 --num_channels 128 --num_res_blocks 3 --learn_sigma True --dropout 0.3";
/// let model = ImprovedFlags::parse(flags.split_whitespace())?.model()?;
/// assert_eq!(model, ModelConfig::Improved(ImprovedConfig::cifar10()));
/// # Ok::<(), inkdrop_unet::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the scripts' names; ImprovedConfig explains them
pub struct ImprovedFlags {
    pub image_size: i64,
    /// Of a super-resolution network, instead of `image_size`.
    pub large_size: Option<i64>,
    pub num_channels: i64,
    pub num_res_blocks: i64,
    pub num_heads: i64,
    pub num_heads_upsample: i64,
    pub num_head_channels: i64,
    /// Sizes in pixels, such as `16,8`; the down-sampling rate is image_size / size.
    pub attention_resolutions: Vec<i64>,
    /// Empty: by image size.
    pub channel_mult: Vec<f64>,
    pub dropout: f64,
    pub class_cond: bool,
    pub learn_sigma: bool,
    pub use_checkpoint: bool,
    pub use_scale_shift_norm: bool,
    pub resblock_updown: bool,
    pub use_new_attention_order: bool,
    /// Flags that concern the process, the training or the precision, not the network.
    pub others: Vec<(String, String)>,
}

impl Default for ImprovedFlags {
    fn default() -> Self {
        Self {
            image_size: 64,
            large_size: None,
            num_channels: 128,
            num_res_blocks: 2,
            num_heads: 4,
            num_heads_upsample: -1,
            num_head_channels: -1,
            attention_resolutions: vec![16, 8],
            channel_mult: Vec::new(),
            dropout: 0.0,
            class_cond: false,
            learn_sigma: false,
            use_checkpoint: false,
            use_scale_shift_norm: true,
            resblock_updown: false,
            use_new_attention_order: false,
            others: Vec::new(),
        }
    }
}

/// Flags of the same scripts that do not concern the network.
const OTHERS: [&str; 29] = [
    "small_size",
    "use_fp16",
    "diffusion_steps",
    "noise_schedule",
    "timestep_respacing",
    "use_kl",
    "predict_xstart",
    "rescale_timesteps",
    "rescale_learned_sigmas",
    "sigma_small",
    "lr",
    "batch_size",
    "microbatch",
    "schedule_sampler",
    "weight_decay",
    "lr_anneal_steps",
    "ema_rate",
    "log_interval",
    "save_interval",
    "resume_checkpoint",
    "fp16_scale_growth",
    "data_dir",
    "clip_denoised",
    "num_samples",
    "use_ddim",
    "model_path",
    "base_samples",
    "anneal_lr",
    "iterations",
];

impl ImprovedFlags {
    /// Reads `--name value` and `--name=value`.
    ///
    /// # Errors
    /// A flag that the scripts do not have, or an invalid value.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let mut flags = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| {
                ConfigError::field("flag", word, "does not start with --: expected --name value")
            })?;
            let (name, value) = match name.split_once('=') {
                Some(pair) => pair,
                None => (
                    name,
                    words.next().ok_or_else(|| ConfigError::field("flag", word, "has no value"))?,
                ),
            };
            flags.set(name, value)?;
        }
        Ok(flags)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "image_size" => self.image_size = number(value)?,
            "large_size" => self.large_size = Some(number(value)?),
            "num_channels" => self.num_channels = number(value)?,
            "num_res_blocks" => self.num_res_blocks = number(value)?,
            "num_heads" => self.num_heads = number(value)?,
            "num_heads_upsample" => self.num_heads_upsample = number(value)?,
            "num_head_channels" => self.num_head_channels = number(value)?,
            "attention_resolutions" => self.attention_resolutions = list(value)?,
            "channel_mult" => self.channel_mult = list(value)?,
            "dropout" => self.dropout = number(value)?,
            "class_cond" => self.class_cond = truth(value)?,
            "learn_sigma" => self.learn_sigma = truth(value)?,
            "use_checkpoint" => self.use_checkpoint = truth(value)?,
            "use_scale_shift_norm" => self.use_scale_shift_norm = truth(value)?,
            "resblock_updown" => self.resblock_updown = truth(value)?,
            "use_new_attention_order" => self.use_new_attention_order = truth(value)?,
            _ if OTHERS.contains(&name) || name.starts_with("classifier_") => {
                self.others.push((name.to_string(), value.to_string()));
            }
            _ => {
                return Err(ConfigError::field(
                    "flag",
                    name,
                    "is unknown: expected a flag of improved-diffusion's scripts",
                ));
            }
        }
        Ok(())
    }

    /// The value of a boolean among the other flags, of which the last one counts.
    ///
    /// # Errors
    /// It is neither true nor false.
    pub fn truth(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        let found = self.others.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| truth(value)).transpose()
    }

    /// The network that the scripts would make.
    ///
    /// # Errors
    /// An image size that the scripts have no `channel_mult` for, or attention at a size
    /// that does not divide it.
    pub fn model(&self) -> Result<ModelConfig, ConfigError> {
        let size = self.large_size.unwrap_or(self.image_size);
        let config = self.arguments(size)?.config(ImageSize::square(size));
        Ok(match self.large_size {
            None => ModelConfig::Improved(config),
            Some(_) => ModelConfig::ImprovedSuperRes(config),
        })
    }

    fn arguments(&self, size: i64) -> Result<ImprovedArguments, ConfigError> {
        let rate = |&pixels: &i64| match pixels {
            1.. => Ok(size / pixels),
            _ => Err(ConfigError::field(
                "attention_resolutions",
                pixels,
                "is not a size in pixels: expected 1 or more",
            )),
        };
        Ok(ImprovedArguments {
            image_size: None,
            in_channels: 3,
            model_channels: self.num_channels,
            out_channels: if self.learn_sigma { 6 } else { 3 },
            num_res_blocks: self.num_res_blocks,
            attention_resolutions: self
                .attention_resolutions
                .iter()
                .map(rate)
                .collect::<Result<_, _>>()?,
            dropout: self.dropout,
            channel_mult: self.multipliers(size)?,
            num_classes: self.class_cond.then_some(ImprovedConfig::SCRIPT_CLASSES),
            use_checkpoint: self.use_checkpoint,
            num_heads: self.num_heads,
            num_heads_upsample: self.num_heads_upsample,
            num_head_channels: self.num_head_channels,
            use_scale_shift_norm: self.use_scale_shift_norm,
            resblock_updown: self.resblock_updown,
            use_new_attention_order: self.use_new_attention_order,
            ..ImprovedArguments::default()
        })
    }

    /// The scripts' `channel_mult` of an image size.
    fn multipliers(&self, size: i64) -> Result<Vec<f64>, ConfigError> {
        if !self.channel_mult.is_empty() {
            return Ok(self.channel_mult.clone());
        }
        Ok(match (size, self.large_size) {
            (512, None) => vec![0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0],
            (512 | 256, _) => vec![1.0, 1.0, 2.0, 2.0, 4.0, 4.0],
            (128, None) => vec![1.0, 1.0, 2.0, 3.0, 4.0],
            (64, _) => vec![1.0, 2.0, 3.0, 4.0],
            (32, None) => vec![1.0, 2.0, 2.0, 2.0],
            _ => {
                let problem = "has no default channel_mult in the scripts (only 32, 64, 128, 256 and 512); give --channel_mult";
                return Err(ConfigError::field("image_size", size, problem));
            }
        })
    }
}

impl ImprovedConfig {
    /// How many classes the scripts' class-conditional networks have.
    pub const SCRIPT_CLASSES: i64 = 1000;
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, ConfigError> {
    value.trim().parse().map_err(|_| ConfigError::field("value", value, "is not a number"))
}

fn list<T: std::str::FromStr>(value: &str) -> Result<Vec<T>, ConfigError> {
    value.split(',').filter(|part| !part.trim().is_empty()).map(number).collect()
}

/// As the scripts read it.
fn truth(value: &str) -> Result<bool, ConfigError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "t" | "y" | "1" => Ok(true),
        "no" | "false" | "f" | "n" | "0" => Ok(false),
        _ => Err(ConfigError::field("value", value, "is not a boolean: expected True or False")),
    }
}
