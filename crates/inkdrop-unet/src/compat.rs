//! A network from the arguments of its original's constructor, by name.

use serde::{Deserialize, Deserializer};

use crate::{
    ConfigError, ContextArguments, DdpmArguments, ImageSize, ImprovedArguments, ModelConfig,
    Unet2dArguments, Unrepresentable,
};

/// Why an original's arguments make no network here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// There is no such family.
    #[error("unknown family `{0}`: expected context, ddpm, improved, improved-super-res or unet2d")]
    Family(String),
    /// An argument that the original does not have, or of another type.
    #[error("arguments of {family}: {problem}")]
    Arguments {
        /// The family.
        family: String,
        /// What is wrong.
        problem: String,
    },
    /// A value that the family cannot use.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Options of diffusers that have no counterpart here.
    #[error(transparent)]
    Unrepresentable(#[from] Unrepresentable),
}

impl ModelConfig {
    /// The network that an original's constructor would make.
    ///
    /// - family: `context`, `ddpm`, `improved`, `improved-super-res` or `unet2d`
    /// - arguments: by the original's names (for `unet2d` the config.json); what is
    ///   not there has the original's default
    /// - size: of the images, where the arguments do not say it
    ///
    /// ```
    /// use inkdrop_unet::{DdpmConfig, ImageSize, ModelConfig};
    ///
    /// let json = r#"{"img_channels": 3, "base_channels": 128, "channel_mults": [1, 2, 2, 2],
    ///     "time_emb_dim": 512, "activation": "silu", "attention_resolutions": [1]}"#;
    /// let arguments: serde_json::Value = serde_json::from_str(json)?;
    /// let model = ModelConfig::from_arguments("ddpm", arguments, ImageSize::square(32))?;
    /// assert_eq!(model, ModelConfig::Ddpm(DdpmConfig::cifar10()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// An unknown family or argument, or values that make no network.
    pub fn from_arguments<'de, D: Deserializer<'de>>(
        family: &str,
        arguments: D,
        size: ImageSize,
    ) -> Result<Self, ArgumentsError> {
        fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
            family: &str,
            arguments: D,
        ) -> Result<T, ArgumentsError> {
            T::deserialize(arguments).map_err(|error| ArgumentsError::Arguments {
                family: family.to_string(),
                problem: error.to_string(),
            })
        }
        let model = match family {
            "context" => Self::Context(read::<ContextArguments, _>(family, arguments)?.config()),
            "ddpm" => Self::Ddpm(read::<DdpmArguments, _>(family, arguments)?.config(size)?),
            "improved" => {
                Self::Improved(read::<ImprovedArguments, _>(family, arguments)?.config(size))
            }
            "improved-super-res" => Self::ImprovedSuperRes(
                read::<ImprovedArguments, _>(family, arguments)?.config(size),
            ),
            "unet2d" => Self::Unet2d(read::<Unet2dArguments, _>(family, arguments)?.config(size)?),
            _ => return Err(ArgumentsError::Family(family.to_string())),
        };
        model.check()?;
        Ok(model)
    }
}
