//! Compatibility with the sprites notebook: its argument names.

use serde::Deserialize;

use super::ContextConfig;

/// The arguments of the notebook's `ContextUnet`, with its defaults.
///
/// ```
/// use inkdrop_unet::{ContextArguments, ContextConfig};
///
/// let arguments = ContextArguments { n_feat: 64, n_cfeat: 5, height: 16, ..Default::default() };
/// assert_eq!(arguments.config(), ContextConfig::sprites());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // the notebook's names; ContextConfig explains them
pub struct ContextArguments {
    pub in_channels: i64,
    pub n_feat: i64,
    pub n_cfeat: i64,
    pub height: i64,
}

impl Default for ContextArguments {
    fn default() -> Self {
        Self { in_channels: 3, n_feat: 256, n_cfeat: 10, height: 28 }
    }
}

impl ContextArguments {
    /// The same network as a config.
    pub fn config(&self) -> ContextConfig {
        ContextConfig {
            channels: self.in_channels,
            features: self.n_feat,
            contexts: self.n_cfeat,
            size: self.height,
            interval: false,
        }
    }
}
