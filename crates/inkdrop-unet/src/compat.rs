//! Configs from the constructor arguments of the published networks.

use serde::{Deserialize, Deserializer};

use crate::{
    ConfigError, ContextArguments, DdpmArguments, DitArguments, Edm2Arguments, EdmArguments,
    ImageSize, ImprovedArguments, JitArguments, LucidArguments, ModelConfig, Unet2dArguments,
    Unrepresentable,
};

/// Error of a config from constructor arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// The family is unknown.
    #[error(
        "unknown family `{0}`: expected context, ddpm, dit, jit, edm, edm2, improved, improved-super-res, unet2d or lucid"
    )]
    Family(String),
    /// An unknown argument, or one of another type.
    #[error("arguments of {family}: {problem}")]
    Arguments {
        /// The family.
        family: String,
        /// The problem.
        problem: String,
    },
    /// An invalid value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Options of diffusers that have no counterpart here.
    #[error(transparent)]
    Unrepresentable(#[from] Unrepresentable),
}

impl ModelConfig {
    /// The network that the constructor of a published implementation would build.
    ///
    /// - family: `context`, `ddpm`, `dit`, `jit` (a config of `dit`), `edm`, `edm2`, `improved`, `improved-super-res`,
    ///   `unet2d` or `lucid`
    /// - arguments: by their published names (for `unet2d` the config.json); missing ones have
    ///   the published defaults
    /// - size: image size, used if the arguments have none
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
    /// An unknown family or argument, or an invalid value.
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
            "dit" => Self::Dit(read::<DitArguments, _>(family, arguments)?.config()?),
            "jit" => Self::Dit(read::<JitArguments, _>(family, arguments)?.config()),
            "edm" => Self::Edm(read::<EdmArguments, _>(family, arguments)?.config()?),
            "edm2" => Self::Edm2(read::<Edm2Arguments, _>(family, arguments)?.config()?),
            "improved" => {
                Self::Improved(read::<ImprovedArguments, _>(family, arguments)?.config(size))
            }
            "improved-super-res" => Self::ImprovedSuperRes(
                read::<ImprovedArguments, _>(family, arguments)?.config(size),
            ),
            "unet2d" => Self::Unet2d(read::<Unet2dArguments, _>(family, arguments)?.config(size)?),
            "lucid" => Self::Lucid(read::<LucidArguments, _>(family, arguments)?.config(size)?),
            _ => return Err(ArgumentsError::Family(family.to_string())),
        };
        model.check()?;
        Ok(model)
    }
}
