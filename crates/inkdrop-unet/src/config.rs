//! Which network: one variant per family.

use inkdrop_nn::Network;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Device, Kind};
use serde::{Deserialize, Serialize};

use crate::{ContextConfig, ContextUnet, Plan};

/// A network of any family, as configs and checkpoints spell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelConfig {
    /// The sprites notebook's ContextUnet.
    Context(ContextConfig),
}

/// A config that describes no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A field has a value that the family cannot use.
    #[error("{field} {given} {problem}")]
    Field {
        /// The config's field.
        field: &'static str,
        /// Its value.
        given: i64,
        /// What is wrong, and what is expected.
        problem: String,
    },
}

/// Why a network could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The config describes no network.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// libtorch could not allocate it.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl ModelConfig {
    /// The family's name: `context`.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Context(_) => "context",
        }
    }

    /// Shape of one image, [C, H, W].
    pub fn image_shape(&self) -> [i64; 3] {
        match self {
            Self::Context(config) => [config.channels, config.size, config.size],
        }
    }

    /// How many named contexts the network takes; 0 for a family without.
    pub fn contexts(&self) -> i64 {
        match self {
            Self::Context(config) => config.contexts,
        }
    }

    /// The config of a network from its keys and shapes, where they fit a known family.
    ///
    /// - shape: the shape of the tensor of a name, where there is one
    pub fn recognise(shape: &dyn Fn(&str) -> Option<Vec<i64>>) -> Option<Self> {
        ContextConfig::recognise(shape).map(Self::Context)
    }

    /// Checks the config and says what the network will be, without a tensor.
    ///
    /// # Errors
    /// The field that cannot be, its value and what is expected.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        match self {
            Self::Context(config) => config.plan(),
        }
    }

    /// The network with PyTorch's default initialisation, drawn from libtorch's global generator.
    ///
    /// # Errors
    /// The config describes no network, or libtorch cannot allocate it.
    pub fn build(&self, kind: Kind, device: Device) -> Result<Box<dyn Network>, BuildError> {
        match self {
            Self::Context(config) => Ok(Box::new(ContextUnet::new(config, kind, device)?)),
        }
    }
}
