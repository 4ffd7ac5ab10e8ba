//! The config of a network of any family.

use inkdrop_nn::{Params, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind};
use serde::{Deserialize, Serialize};

use crate::spec::UnetSpec;
use crate::{
    BuildError, ConfigError, ContextConfig, ContextUnet, DdpmConfig, Dit, DitConfig, Edm2Config,
    Edm2Unet, EdmConfig, EdmUnet, ImageSize, ImprovedConfig, LucidConfig, Plan, Unet, Unet2dConfig,
};

/// Config of a network of any family, in the form of config files and checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// The sprites notebook's ContextUnet.
    Context(ContextConfig),
    /// nanodiffusion's U-Net.
    Ddpm(DdpmConfig),
    /// DiT, the diffusion transformer.
    Dit(DitConfig),
    /// EDM's SongUNet and DhariwalUNet.
    Edm(EdmConfig),
    /// EDM2's U-Net.
    Edm2(Edm2Config),
    /// improved-diffusion's U-Net, with guided-diffusion's options.
    Improved(ImprovedConfig),
    /// improved-diffusion's super-resolution U-Net.
    ImprovedSuperRes(ImprovedConfig),
    /// diffusers' UNet2DModel.
    Unet2d(Unet2dConfig),
    /// lucidrains' U-Nets (denoising-diffusion-pytorch).
    Lucid(LucidConfig),
}

/// A checked config: many families are a [`Unet`].
enum Architecture<'a> {
    Context(&'a ContextConfig),
    Dit(&'a DitConfig),
    Edm(&'a EdmConfig),
    Edm2(&'a Edm2Config),
    Unet(Box<UnetSpec>),
}

impl ModelConfig {
    /// The family's name: `context`, `ddpm`, `dit`, `edm`, `edm2`, `improved`, `improved-super-res`, `unet2d` or
    /// `lucid`.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Context(_) => "context",
            Self::Ddpm(_) => "ddpm",
            Self::Dit(_) => "dit",
            Self::Edm(_) => "edm",
            Self::Edm2(_) => "edm2",
            Self::Improved(_) => "improved",
            Self::ImprovedSuperRes(_) => "improved-super-res",
            Self::Unet2d(_) => "unet2d",
            Self::Lucid(_) => "lucid",
        }
    }

    /// Shape of one image, [C, H, W].
    pub fn image_shape(&self) -> [i64; 3] {
        let (channels, size) = match self {
            Self::Context(config) => (config.channels, ImageSize::square(config.size)),
            Self::Ddpm(config) => (config.channels, config.size),
            Self::Dit(config) => (config.channels, ImageSize::square(config.size)),
            Self::Edm(config) => (config.channels, ImageSize::square(config.size)),
            Self::Edm2(config) => (config.channels, ImageSize::square(config.size)),
            Self::Improved(config) | Self::ImprovedSuperRes(config) => {
                (config.channels, config.size)
            }
            Self::Unet2d(config) => (config.channels, config.size),
            Self::Lucid(config) => (config.channels, config.size),
        };
        [channels, size.height, size.width]
    }

    /// Sets the image size. The weights do not depend on it.
    ///
    /// # Errors
    /// A ContextUnet and DiT, whose weights depend on the size, and EDM's networks, whose layers are named by it.
    pub fn resize(&mut self, size: ImageSize) -> Result<(), ConfigError> {
        match self {
            Self::Context(ContextConfig { size: own, .. })
            | Self::Dit(DitConfig { size: own, .. })
                if size == ImageSize::square(*own) => {}
            Self::Context(ContextConfig { size: own, .. })
            | Self::Dit(DitConfig { size: own, .. }) => {
                let problem = format!("cannot be: this network takes {own}x{own} only");
                return Err(ConfigError::field("size", size, problem));
            }
            Self::Ddpm(config) => config.size = size,
            Self::Edm(EdmConfig { size: own, .. }) | Self::Edm2(Edm2Config { size: own, .. }) => {
                if size != ImageSize::square(*own) {
                    let problem = format!("cannot be: the layers are named by {own}x{own}");
                    return Err(ConfigError::field("size", size, problem));
                }
            }
            Self::Improved(config) | Self::ImprovedSuperRes(config) => config.size = size,
            Self::Unet2d(config) => config.size = size,
            Self::Lucid(config) => config.size = size,
        }
        Ok(())
    }

    /// Output channels: those of the image, or twice as many if the network learns the variance.
    pub fn outputs(&self) -> i64 {
        match self {
            Self::Context(config) => config.channels,
            Self::Ddpm(config) => config.channels,
            Self::Dit(config) => config.outputs,
            Self::Edm(config) => config.outputs,
            Self::Edm2(config) => config.channels,
            Self::Improved(config) | Self::ImprovedSuperRes(config) => config.outputs,
            Self::Unet2d(config) => config.outputs,
            Self::Lucid(config) => config.outputs,
        }
    }

    /// Number of named contexts; 0 for a family without.
    pub fn contexts(&self) -> i64 {
        match self {
            Self::Context(config) => config.contexts,
            _ => 0,
        }
    }

    /// The same network with an embedding of the length of a time interval, for mean velocities (MeanFlow).
    /// The embedding starts at zero.
    ///
    /// # Errors
    /// A family without one.
    pub fn with_interval(self) -> Result<Self, ConfigError> {
        match self {
            Self::Context(config) => Ok(Self::Context(ContextConfig { interval: true, ..config })),
            Self::Ddpm(config) => Ok(Self::Ddpm(DdpmConfig { interval: true, ..config })),
            other => {
                let problem = "takes no time interval: expected family context or ddpm";
                Err(ConfigError::field("family", other.family(), problem))
            }
        }
    }

    /// Names of the weights that embed the length of a time interval; empty for a network without.
    pub fn interval_keys(&self) -> Vec<String> {
        let scopes = match self {
            Self::Context(ContextConfig { interval: true, .. }) => {
                ["intervalembed1.model", "intervalembed2.model"].as_slice()
            }
            Self::Ddpm(DdpmConfig { interval: true, .. }) => &["interval_mlp"],
            _ => &[],
        };
        let layers = match self {
            Self::Context(_) => [0, 2],
            _ => [1, 3],
        };
        let keys = scopes.iter().flat_map(|scope| layers.map(|layer| format!("{scope}.{layer}")));
        keys.flat_map(|key| ["weight", "bias"].map(|name| format!("{key}.{name}"))).collect()
    }

    /// The same network with `channels` more in its input, for an image that is concatenated with x
    /// ([`ImageConditioned`](inkdrop_nn::ImageConditioned)). The outputs stay.
    ///
    /// # Errors
    /// A family whose output has the channels of its input, a self-conditioned network, or too many channels.
    pub fn with_image_condition(&self, channels: i64) -> Result<Self, ConfigError> {
        let mut wider = self.clone();
        let inputs = match &mut wider {
            Self::Lucid(LucidConfig { self_condition: true, .. }) => {
                let problem = "does not go with an image condition: expected false";
                return Err(ConfigError::field("self_condition", true, problem));
            }
            Self::Dit(config) => &mut config.channels,
            Self::Edm(config) => &mut config.channels,
            Self::Improved(config) => &mut config.channels,
            Self::Unet2d(config) => &mut config.channels,
            Self::Lucid(config) => &mut config.channels,
            other => {
                let problem =
                    "takes no image condition: expected family dit, edm, improved, lucid or unet2d";
                return Err(ConfigError::field("family", other.family(), problem));
            }
        };
        *inputs = inputs.saturating_add(channels);
        Ok(wider)
    }

    /// Number of class ids of a class-conditional network, its null class included.
    pub fn classes(&self) -> Option<i64> {
        match self {
            Self::Context(_) => None,
            Self::Ddpm(config) => config.classes,
            Self::Dit(_) | Self::Edm(_) | Self::Edm2(_) | Self::Lucid(_) => {
                self.null_class().map(|null| null.saturating_add(1))
            }
            Self::Improved(config) | Self::ImprovedSuperRes(config) => config.classes,
            Self::Unet2d(config) => config.classes,
        }
    }

    /// The class id of no class, if the family has one by itself: one past the config's `classes`.
    pub fn null_class(&self) -> Option<i64> {
        match self {
            Self::Dit(config) => config.classes,
            Self::Edm(config) => config.classes,
            Self::Edm2(config) => config.classes,
            Self::Lucid(config) => config.classes,
            _ => None,
        }
    }

    /// True if the network takes an earlier prediction of x0 beside x (self-conditioning).
    pub fn self_condition(&self) -> bool {
        matches!(self, Self::Lucid(LucidConfig { self_condition: true, .. }))
    }

    /// Checks the config without a tensor.
    ///
    /// # Errors
    /// The invalid field, its value and the expected one.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.architecture().map(drop)
    }

    fn architecture(&self) -> Result<Architecture<'_>, ConfigError> {
        Ok(match self {
            Self::Context(config) => {
                config.check()?;
                Architecture::Context(config)
            }
            Self::Ddpm(config) => Architecture::Unet(Box::new(config.spec()?)),
            Self::Dit(config) => {
                config.check()?;
                Architecture::Dit(config)
            }
            Self::Edm(config) => {
                config.check_layers()?;
                Architecture::Edm(config)
            }
            Self::Edm2(config) => {
                config.check()?;
                Architecture::Edm2(config)
            }
            Self::Improved(config) => Architecture::Unet(Box::new(config.spec(false)?)),
            Self::ImprovedSuperRes(config) => Architecture::Unet(Box::new(config.spec(true)?)),
            Self::Unet2d(config) => Architecture::Unet(Box::new(config.spec()?)),
            Self::Lucid(config) => Architecture::Unet(Box::new(config.spec()?)),
        })
    }

    /// Checks the config and plans the network, without a tensor.
    ///
    /// # Errors
    /// The invalid field, its value and the expected one.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        let [_, height, width] = self.image_shape();
        let axes = match self {
            Self::Improved(config) | Self::ImprovedSuperRes(config) if config.dims == 1 => {
                vec![width]
            }
            Self::Lucid(config) if config.dims == 1 => vec![width],
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
    /// An invalid field, or a size that is not divisible by all downsamplings.
    pub fn plan_at(&self, size: &[i64]) -> Result<Plan, ConfigError> {
        let spec = match self.architecture()? {
            Architecture::Context(config) => return config.plan_at(size),
            Architecture::Dit(config) => return config.plan_at(size),
            Architecture::Edm(config) => return config.plan_at(size),
            Architecture::Edm2(config) => return config.plan_at(size),
            Architecture::Unet(spec) => spec,
        };
        let padding = spec.inputs.padding;
        let padded: Vec<i64> = size.iter().map(|axis| axis.saturating_add(2 * padding)).collect();
        spec.check_size(&padded)?;
        Ok(Plan::of(&spec, &padded).cropped(size))
    }

    /// Builds the network with PyTorch's default initialisation, drawn from libtorch's global
    /// generator.
    ///
    /// - dtype: `Float` or `Double` for the whole network; `BFloat16` or `Half` for mixed precision,
    ///   with norms, embeddings and the last layer in f32
    ///
    /// # Errors
    /// The config is invalid, or libtorch cannot allocate the network.
    pub fn build(
        &self,
        dtype: Kind,
        device: Device,
    ) -> Result<Box<dyn TrainableNetwork>, BuildError> {
        self.build_in(Params::new(dtype, device))
    }

    /// Builds the network with uninitialised parameters, to be filled from a file or from another
    /// network. The default generator is not used. Buffers have their initial values.
    ///
    /// ```
    /// use inkdrop_torch::tch::{Device, Kind};
    /// use inkdrop_unet::{DdpmConfig, ModelConfig};
    ///
    /// let config = ModelConfig::Ddpm(DdpmConfig { features: 32, ..DdpmConfig::cifar10() });
    /// let network = config.build_uninitialized(Kind::Float, Device::Cpu)?;
    /// assert_eq!(network.params().trained_count() as i64, config.plan()?.parameters());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`ModelConfig::build`].
    pub fn build_uninitialized(
        &self,
        dtype: Kind,
        device: Device,
    ) -> Result<Box<dyn TrainableNetwork>, BuildError> {
        self.build_in(Params::uninitialized(dtype, device))
    }

    fn build_in(&self, params: Params) -> Result<Box<dyn TrainableNetwork>, BuildError> {
        Ok(match self.architecture()? {
            Architecture::Context(config) => Box::new(ContextUnet::new(config, params)?),
            Architecture::Dit(config) => Box::new(Dit::new(config, params)?),
            Architecture::Edm(config) => Box::new(EdmUnet::new(config, params)?),
            Architecture::Edm2(config) => Box::new(Edm2Unet::new(config, params)?),
            Architecture::Unet(spec) => Box::new(Unet::new(&spec, params)?),
        })
    }
}
