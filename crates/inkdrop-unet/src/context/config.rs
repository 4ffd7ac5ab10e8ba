//! Sizes of a ContextUnet: which can be, and what they come to.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, Plan, Stage};

/// Sizes of a ContextUnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextConfig {
    /// Image channels (`in_channels`); ≥ 1.
    pub channels: i64,
    /// Feature maps of the first level (`n_feat`); a multiple of 8.
    pub features: i64,
    /// Width of the context vector (`n_cfeat`); ≥ 1.
    pub contexts: i64,
    /// Height and width of the images: 16, 20, 24 or 28.
    pub size: i64,
}

impl ContextConfig {
    /// The notebook's own: RGB, 64 features, 5 contexts, 16×16.
    pub fn sprites() -> Self {
        Self { channels: 3, features: 64, contexts: 5, size: 16 }
    }

    /// The sizes of a ContextUnet from its keys and shapes.
    pub(crate) fn recognise(shape: &dyn Fn(&str) -> Option<Vec<i64>>) -> Option<Self> {
        let first = shape("init_conv.conv1.0.weight")?; // [n, C, 3, 3]
        let context = shape("contextembed1.model.0.weight")?; // [2n, K]
        let up = shape("up0.0.weight")?; // [2n, 2n, size/4, size/4]
        Some(Self {
            channels: *first.get(1)?,
            features: *first.first()?,
            contexts: *context.get(1)?,
            size: up.get(2)? * 4,
        })
    }

    /// Checks the sizes and counts, without a tensor.
    ///
    /// # Errors
    /// The field that cannot be.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        self.check()?;
        let Self { channels, features: n, contexts, size } = *self;
        let (half, bottom) = (size / 2, size / 4);
        let conv = |i: i64, o: i64, k: i64| i * o * k * k + o;
        let block = |i, o| conv(i, o, 3) + 2 * o + conv(o, o, 3) + 2 * o;
        let embed = |i| conv(i, 2 * n, 1) + conv(2 * n, 2 * n, 1) + conv(i, n, 1) + conv(n, n, 1);
        let stage = |name, output, parameters| Stage { name, output, parameters };
        let up = |i, o| conv(i, o, 2) + 2 * block(o, o);
        let shortcut = if channels == n { 0 } else { conv(channels, n, 1) };
        Ok(Plan::new(vec![
            stage("init_conv", [n, size, size], block(channels, n) + shortcut),
            stage("down1", [n, half, half], 2 * block(n, n)),
            stage("down2", [2 * n, bottom, bottom], block(n, 2 * n) + block(2 * n, 2 * n)),
            stage("timeembed", [3 * n, 1, 1], embed(1)),
            stage("contextembed", [3 * n, 1, 1], embed(contexts)),
            stage("up0", [2 * n, bottom, bottom], conv(2 * n, 2 * n, bottom) + 4 * n),
            stage("up1", [n, half, half], up(4 * n, n)),
            stage("up2", [n, size, size], up(2 * n, n)),
            stage("out", [channels, size, size], conv(2 * n, n, 3) + 2 * n + conv(n, channels, 3)),
        ]))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |field, given, problem: &str| {
            Err(ConfigError::Field { field, given, problem: problem.to_string() })
        };
        if self.channels < 1 {
            return wrong(
                "channels",
                self.channels,
                "is no number of image channels: expected at least 1",
            );
        }
        if self.features < 8 || self.features % 8 != 0 {
            return wrong(
                "features",
                self.features,
                "is not divisible by groups 8: expected 8, 16, 24, …",
            );
        }
        if self.contexts < 1 {
            return wrong(
                "contexts",
                self.contexts,
                "is no width of a context vector: expected at least 1",
            );
        }
        if ![16, 20, 24, 28].contains(&self.size) {
            return wrong(
                "size",
                self.size,
                "is not usable: the bottom of this network pools size/4 to 1 with a 4×4 window, so expected 16, 20, 24 or 28",
            );
        }
        Ok(())
    }
}
