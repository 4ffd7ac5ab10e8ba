//! Config of DiT, and of JiT, which is its options.

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::inputs::InputSpec;

/// Config of DiT (Peebles & Xie 2023, table 1), with the options of JiT (Li & He 2025). The originals' names are
/// in brackets.
///
/// A class id of `classes`, one past the last, stands for no class; its vector is trained by label dropout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DitConfig {
    /// Height and width of the images (`input_size`). The positions are stored with the weights.
    pub size: i64,
    /// Image channels (`in_channels`); ≥ 1.
    pub channels: i64,
    /// Output channels: those of the image, or twice as many for a learned variance (`learn_sigma`).
    pub outputs: i64,
    /// Number of classes (`num_classes`), without the null class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// Side of a patch in pixels (`patch_size`); divides the size.
    pub patch: i64,
    /// Width of a token (`hidden_size`); a multiple of 4 and of the heads.
    pub features: i64,
    /// Number of blocks (`depth`).
    pub depth: i64,
    /// Number of attention heads (`num_heads`).
    pub heads: i64,
    /// Width of the MLP of a block, in units of `features` (`mlp_ratio`); > 0.
    #[serde(default = "four")]
    pub mlp_ratio: f64,
    /// RMS normalisation with factors instead of layer normalisation (`RMSNorm`; Zhang & Sennrich 2019).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rms_norm: bool,
    /// RMS normalisation of the queries and keys of each head (`qk_norm`; Henry et al. 2020).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub qk_norm: bool,
    /// Rotary positions of queries and keys, beside the sinusoids (`rope`; Su et al. 2021). A head has a multiple of 4
    /// channels then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotary: bool,
    /// A gated MLP instead of GELU, of two thirds of the width (`SwiGLUFFN`; Shazeer 2020).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swiglu: bool,
    /// Width between the two linear maps of a patch (`bottleneck_dim`); one map without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<i64>,
    /// Number of tokens of the class before those of the image (`in_context_len`); 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_context_len: i64,
    /// Number of the block that receives these tokens first, from 0 (`in_context_start`); < depth.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_context_start: i64,
    /// Gradient checkpointing of the blocks.
    #[serde(default)]
    pub checkpoint: bool,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn four() -> f64 {
    4.0
}

impl DitConfig {
    /// DiT-XL/2 for latents of ImageNet of 256 × 256 pixels: 675.1 million parameters.
    pub fn xl2() -> Self {
        Self::imagenet256([1152, 28, 16])
    }

    /// The network for latents of ImageNet of 256 × 256 pixels with patches of 2: it learns the variance.
    ///
    /// - features, depth, heads: S (384, 12, 6), B (768, 12, 12), L (1024, 24, 16), XL (1152, 28, 16)
    pub fn imagenet256([features, depth, heads]: [i64; 3]) -> Self {
        Self {
            size: 32,
            channels: 4,
            outputs: 8,
            classes: Some(1000),
            patch: 2,
            features,
            depth,
            heads,
            mlp_ratio: 4.0,
            rms_norm: false,
            qk_norm: false,
            rotary: false,
            swiglu: false,
            bottleneck: None,
            in_context_len: 0,
            in_context_start: 0,
            checkpoint: false,
        }
    }

    /// JiT for pixels of ImageNet of 256 × 256 with patches of 16 (Li & He 2025): 32 tokens of the class
    /// from a third of the depth on.
    ///
    /// - features, depth, heads, bottleneck: B (768, 12, 12, 128), L (1024, 24, 16, 128), H (1280, 32, 16, 256)
    pub fn jit256([features, depth, heads, bottleneck]: [i64; 4]) -> Self {
        Self {
            size: 256,
            channels: 3,
            outputs: 3,
            patch: 16,
            rms_norm: true,
            qk_norm: true,
            rotary: true,
            swiglu: true,
            bottleneck: Some(bottleneck),
            in_context_len: 32,
            in_context_start: depth / 3,
            ..Self::imagenet256([features, depth, heads])
        }
    }

    /// A small network for the sprites, 16 × 16 pixels with five classes: 1.87 million parameters.
    pub fn sprites() -> Self {
        Self {
            size: 16,
            channels: 3,
            outputs: 3,
            classes: Some(5),
            ..Self::imagenet256([128, 6, 4])
        }
    }

    /// Number of patches along a side.
    pub(super) fn grid(&self) -> i64 {
        self.size / self.patch
    }

    /// Width of the MLP of a block, as Python's `int` rounds it; that of one half of a gated MLP.
    pub(super) fn hidden(&self) -> i64 {
        let width = (self.features as f64 * self.mlp_ratio) as i64;
        if self.swiglu { width * 2 / 3 } else { width }
    }

    /// Number of tokens of the class in a block.
    pub(super) fn context_tokens(&self, block: i64) -> i64 {
        if block < self.in_context_start { 0 } else { self.in_context_len }
    }

    /// Shapes of the inputs.
    pub(super) fn inputs(&self) -> InputSpec {
        InputSpec {
            multiple: self.patch,
            classes: self.classes.map(|classes| classes + 1),
            ..InputSpec::images(self.channels)
        }
    }

    /// Checks the fields one by one.
    ///
    /// # Errors
    /// The invalid field.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("channels", self.channels, 1)?;
        ConfigError::within("outputs", self.outputs, 1, 1 << 17)?;
        ConfigError::features(self.features)?;
        ConfigError::within("depth", self.depth, 1, 1024)?;
        ConfigError::within("heads", self.heads, 1, 1 << 14)?;
        if let Some(classes) = self.classes {
            ConfigError::within("classes", classes, 1, 1 << 24)?;
        }
        for (of, name) in [(4, "4, for the sinusoids of the positions"), (self.heads, "heads")] {
            if self.features % of != 0 {
                let problem = format!("is not a multiple of {name}: expected a multiple of {of}");
                return Err(ConfigError::field("features", self.features, problem));
            }
        }
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0 && self.hidden() > 0) {
            let problem = "is out of range: expected a number above 0, at most 64";
            return Err(ConfigError::field("mlp_ratio", self.mlp_ratio, problem));
        }
        if self.rotary && self.features / self.heads % 4 != 0 {
            let problem = format!(
                "leave {} channels a head: expected a multiple of 4 for rotary \
                positions",
                self.features / self.heads
            );
            return Err(ConfigError::field("heads", self.heads, problem));
        }
        if let Some(bottleneck) = self.bottleneck {
            ConfigError::within("bottleneck", bottleneck, 1, 1 << 17)?;
        }
        self.check_context()?;
        ConfigError::within("size", self.size, 1, 1 << 14)?;
        ConfigError::within("patch", self.patch, 1, 1 << 10)?;
        if self.size % self.patch != 0 {
            let problem = format!("does not divide the size {}: expected a divisor", self.size);
            return Err(ConfigError::field("patch", self.patch, problem));
        }
        Ok(())
    }

    fn check_context(&self) -> Result<(), ConfigError> {
        ConfigError::within("in_context_len", self.in_context_len, 0, 1 << 14)?;
        ConfigError::within("in_context_start", self.in_context_start, 0, self.depth - 1)?;
        if self.in_context_len > 0 && self.classes.is_none() {
            let problem = "needs `classes`: expected 0 for a network without classes";
            return Err(ConfigError::field("in_context_len", self.in_context_len, problem));
        }
        Ok(())
    }
}
