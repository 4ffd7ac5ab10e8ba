//! Whether a layout can be built: groups, heads and numbers of channels.

use inkdrop_nn::{AttentionConfig, LayerConfig, NormConfig, NormKind, ResBlockConfig};

use super::Layout;
use crate::ConfigError;
use crate::size::product;

/// The most channels that a layer may have; more is a mistake, not a network.
const CHANNELS: i64 = 1 << 16;

impl Layout {
    /// # Errors
    /// The first layer that cannot be, with the field that makes it so.
    pub fn check(&self) -> Result<(), ConfigError> {
        for stage in self.stages() {
            for (key, layer) in &stage.layers {
                match layer {
                    LayerConfig::Res(config) => check_res(key, config)?,
                    LayerConfig::Attention(config) => check_attention(key, config)?,
                    LayerConfig::Conv(config) => check_channels(key, config.outputs)?,
                    LayerConfig::Down(config) | LayerConfig::Up(config) => {
                        check_channels(key, config.channels)?;
                    }
                }
            }
        }
        check_norm(self.head.norm_key, self.head.norm, self.head.conv.inputs)
    }

    /// Whether an image of this size, padding included, can be halved as often as needed.
    ///
    /// # Errors
    /// The axis that cannot.
    pub fn check_size(&self, size: &[i64], padding: i64) -> Result<(), ConfigError> {
        let multiple = self.multiple();
        if size.len() != self.dims {
            let problem = format!("has {} axes, the network runs over {}", size.len(), self.dims);
            return Err(ConfigError::field("size", product(size), problem));
        }
        for axis in size {
            ConfigError::within("size", axis - 2 * padding, 1, 1 << 20)?;
        }
        let halved = &size[size.len().saturating_sub(2)..];
        let wrong = halved.iter().find(|&&axis| axis % multiple != 0);
        let Some(axis) = wrong else { return Ok(()) };
        let (halvings, next) = (multiple.ilog2(), (axis / multiple + 1) * multiple);
        let padded = match padding {
            0 => String::new(),
            _ => format!(" after {padding} are added at both ends"),
        };
        let problem = format!(
            "cannot be halved {halvings} times: expected a multiple of {multiple}{padded}, such as {}",
            next - 2 * padding
        );
        Err(ConfigError::field("size", axis - 2 * padding, problem))
    }
}

fn check_res(key: &str, config: &ResBlockConfig) -> Result<(), ConfigError> {
    for channels in [config.inputs, config.outputs] {
        check_channels(key, channels)?;
        check_norm(key, config.norm, channels)?;
    }
    Ok(())
}

fn check_attention(key: &str, config: &AttentionConfig) -> Result<(), ConfigError> {
    let (channels, heads) = (config.channels, config.heads);
    check_channels(key, channels)?;
    check_norm(key, config.norm, channels)?;
    if heads < 1 || config.inner < heads || config.inner % heads != 0 {
        let problem = format!("do not divide the {channels} channels of {key}");
        return Err(ConfigError::field("heads", heads, problem));
    }
    Ok(())
}

fn check_channels(key: &str, channels: i64) -> Result<(), ConfigError> {
    if (1..=CHANNELS).contains(&channels) {
        return Ok(());
    }
    let problem = format!("in {key} cannot be: expected 1 to {CHANNELS}");
    Err(ConfigError::field("channels", channels, problem))
}

fn check_norm(key: &str, norm: NormConfig, channels: i64) -> Result<(), ConfigError> {
    let divides = norm.groups >= 1 && channels % norm.groups == 0;
    if norm.kind != NormKind::Group || divides {
        return Ok(());
    }
    let problem = format!("do not divide the {channels} channels of {key}");
    Err(ConfigError::field("groups", norm.groups, problem))
}
