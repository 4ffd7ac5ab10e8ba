//! Which network: one variant per family.

use inkdrop_nn::Network;
use inkdrop_torch::tch::{Device, Kind};
use serde::{Deserialize, Serialize};

use crate::{
    BuildError, ConfigError, ContextConfig, ContextUnet, DdpmConfig, DdpmUnet, ImageSize,
    ImprovedConfig, ImprovedUnet, Plan, Unet2d, Unet2dConfig,
};

/// A network of any family, as configs and checkpoints spell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// The sprites notebook's ContextUnet.
    Context(ContextConfig),
    /// nanodiffusion's U-Net.
    Ddpm(DdpmConfig),
    /// improved-diffusion's U-Net, with guided-diffusion's options.
    Improved(ImprovedConfig),
    /// The same, for making large images of small ones.
    ImprovedSuperRes(ImprovedConfig),
    /// diffusers' UNet2DModel.
    Unet2d(Unet2dConfig),
}

impl ModelConfig {
    /// The family's name: `context`, `ddpm`, `improved`, `improved-super-res` or `unet2d`.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Context(_) => "context",
            Self::Ddpm(_) => "ddpm",
            Self::Improved(_) => "improved",
            Self::ImprovedSuperRes(_) => "improved-super-res",
            Self::Unet2d(_) => "unet2d",
        }
    }

    /// Shape of one image, [C, H, W].
    pub fn image_shape(&self) -> [i64; 3] {
        let (channels, size) = match self {
            Self::Context(config) => (config.channels, ImageSize::square(config.size)),
            Self::Ddpm(config) => (config.channels, config.size),
            Self::Improved(config) | Self::ImprovedSuperRes(config) => {
                (config.channels, config.size)
            }
            Self::Unet2d(config) => (config.channels, config.size),
        };
        [channels, size.height, size.width]
    }

    /// Makes it a network for images of another size; the weights stay the same.
    ///
    /// # Errors
    /// A ContextUnet, whose weights depend on the size.
    pub fn resize(&mut self, size: ImageSize) -> Result<(), ConfigError> {
        match self {
            Self::Context(config) if size == ImageSize::square(config.size) => {}
            Self::Context(config) => {
                let problem = format!("cannot be: this network takes {0}x{0} only", config.size);
                return Err(ConfigError::field("size", size, problem));
            }
            Self::Ddpm(config) => config.size = size,
            Self::Improved(config) | Self::ImprovedSuperRes(config) => config.size = size,
            Self::Unet2d(config) => config.size = size,
        }
        Ok(())
    }

    /// Channels out: those of the image, or twice as many where the network learns the variance.
    pub fn outputs(&self) -> i64 {
        match self {
            Self::Context(config) => config.channels,
            Self::Ddpm(config) => config.channels,
            Self::Improved(config) | Self::ImprovedSuperRes(config) => config.outputs,
            Self::Unet2d(config) => config.outputs,
        }
    }

    /// How many named contexts the network takes; 0 for a family without.
    pub fn contexts(&self) -> i64 {
        match self {
            Self::Context(config) => config.contexts,
            _ => 0,
        }
    }

    /// How many classes the network knows, where it needs to be told one.
    pub fn classes(&self) -> Option<i64> {
        match self {
            Self::Context(_) => None,
            Self::Ddpm(config) => config.classes,
            Self::Improved(config) | Self::ImprovedSuperRes(config) => config.classes,
            Self::Unet2d(config) => config.classes,
        }
    }

    /// Checks the config without a tensor.
    ///
    /// # Errors
    /// The field that cannot be, its value and what is expected.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Context(config) => config.check(),
            Self::Ddpm(config) => config.layout().map(drop),
            Self::Improved(config) => config.layout(config.channels).map(drop),
            Self::ImprovedSuperRes(config) => {
                config.layout(config.channels.saturating_mul(2)).map(drop)
            }
            Self::Unet2d(config) => config.layout().map(drop),
        }
    }

    /// Checks the config and says what the network will be, without a tensor.
    ///
    /// # Errors
    /// The field that cannot be, its value and what is expected.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        let [_, height, width] = self.image_shape();
        let axes = match self {
            Self::Improved(config) | Self::ImprovedSuperRes(config) if config.dims == 1 => {
                vec![width]
            }
            Self::Improved(config) | Self::ImprovedSuperRes(config) if config.dims == 3 => {
                vec![height, height, width]
            }
            _ => vec![height, width],
        };
        self.plan_at(&axes)
    }

    /// The plan for images of another size.
    ///
    /// - size: height and width; width alone for one axis, depth before them for three
    ///
    /// # Errors
    /// A field that cannot be, or a size that cannot be halved as often as the network does.
    pub fn plan_at(&self, size: &[i64]) -> Result<Plan, ConfigError> {
        let (layout, channels, padding, checkpoint) = match self {
            Self::Context(config) => return config.plan_at(size),
            Self::Ddpm(config) => {
                (config.layout()?, config.channels, config.padding, config.checkpoint)
            }
            Self::Improved(config) => {
                (config.layout(config.channels)?, config.channels, 0, config.checkpoint)
            }
            Self::ImprovedSuperRes(config) => {
                let inputs = config.channels.saturating_mul(2);
                (config.layout(inputs)?, inputs, 0, config.checkpoint)
            }
            Self::Unet2d(config) => (config.layout()?, config.channels, 0, config.checkpoint),
        };
        let padded: Vec<i64> = size.iter().map(|axis| axis.saturating_add(2 * padding)).collect();
        layout.check_size(&padded, padding)?;
        Ok(Plan::of(&layout, channels, &padded, checkpoint).cropped(size))
    }

    /// The network with PyTorch's default initialisation, drawn from libtorch's global generator.
    ///
    /// - kind: `Float` or `Double` for all of it; `BFloat16` or `Half` for its
    ///   convolutions, with norms, embeddings and the last layer in f32
    ///
    /// # Errors
    /// The config describes no network, or libtorch cannot allocate it.
    pub fn build(&self, kind: Kind, device: Device) -> Result<Box<dyn Network>, BuildError> {
        Ok(match self {
            Self::Context(config) => Box::new(ContextUnet::new(config, kind, device)?),
            Self::Ddpm(config) => Box::new(DdpmUnet::new(config, kind, device)?),
            Self::Improved(config) => Box::new(ImprovedUnet::new(config, kind, device)?),
            Self::ImprovedSuperRes(config) => {
                Box::new(ImprovedUnet::super_res(config, kind, device)?)
            }
            Self::Unet2d(config) => Box::new(Unet2d::new(config, kind, device)?),
        })
    }
}
