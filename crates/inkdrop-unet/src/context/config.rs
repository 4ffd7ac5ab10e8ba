//! Config of the sprites notebook's ContextUnet.

use serde::{Deserialize, Serialize};

use crate::detect::{DetectedArchitecture, Shapes};
use crate::size::product;
use crate::{ConfigError, ModelConfig, Plan};

/// Config of a ContextUnet. The notebook's names are in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextConfig {
    /// Image channels (`in_channels`); ≥ 1.
    pub channels: i64,
    /// Channels of the first level (`n_feat`); a multiple of 8.
    pub features: i64,
    /// Width of the context vector (`n_cfeat`); ≥ 1.
    pub contexts: i64,
    /// Height and width of the images: 16, 20, 24 or 28.
    pub size: i64,
    /// The network takes the length of a time interval beside the time, for mean velocities (MeanFlow). The
    /// notebook has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interval: bool,
}

impl ContextConfig {
    /// The notebook's own: RGB, 64 features, 5 contexts, 16×16.
    pub fn sprites() -> Self {
        Self { channels: 3, features: 64, contexts: 5, size: 16, interval: false }
    }

    /// Detects the config from names and shapes, which determine all fields.
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let config = Self {
            channels: shapes.axis("init_conv.conv1.0.weight", 1)?, // [n, C, 3, 3]
            features: shapes.axis("init_conv.conv1.0.weight", 0)?,
            contexts: shapes.axis("contextembed1.model.0.weight", 1)?, // [2n, K]
            size: shapes.axis("up0.0.weight", 2)?.checked_mul(4)?,     // [2n, 2n, size/4, size/4]
            interval: shapes.any("intervalembed1."),
        };
        Some(DetectedArchitecture {
            config: ModelConfig::Context(config),
            undetermined: Vec::new(),
        })
    }

    /// Checks the config and plans the network, without a tensor.
    ///
    /// # Errors
    /// The invalid field.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        self.plan_at(&[self.size; 2])
    }

    pub(crate) fn plan_at(&self, size: &[i64]) -> Result<Plan, ConfigError> {
        self.check()?;
        if size != [self.size; 2] {
            let problem = format!("cannot be: this network takes {0}x{0} only", self.size);
            return Err(ConfigError::field("size", product(size), problem));
        }
        Ok(self.stages())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |field, given, problem: &str| Err(ConfigError::field(field, given, problem));
        if !(1..=1 << 16).contains(&self.channels) {
            return wrong("channels", self.channels, "is out of range: expected at least 1");
        }
        if !(8..=1 << 14).contains(&self.features) || self.features % 8 != 0 {
            return wrong(
                "features",
                self.features,
                "is not divisible by groups 8: expected 8, 16, 24, …",
            );
        }
        if !(1..=1 << 20).contains(&self.contexts) {
            return wrong("contexts", self.contexts, "is out of range: expected at least 1");
        }
        if ![16, 20, 24, 28].contains(&self.size) {
            return wrong(
                "size",
                self.size,
                "is not supported: expected 16, 20, 24 or 28, since the bottleneck pools size/4 to 1 with a 4×4 window",
            );
        }
        Ok(())
    }
}
