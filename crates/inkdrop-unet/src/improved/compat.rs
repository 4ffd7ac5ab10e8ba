//! Compatibility with improved- and guided-diffusion: their argument names.

use serde::Deserialize;

use super::{AttentionOrder, ImprovedConfig};
use crate::ImageSize;

/// The arguments of `UNetModel`, with its defaults; for `SuperResModel` the same
/// (its `in_channels` are those of the image).
///
/// ```
/// use inkdrop_unet::{ImageSize, ImprovedArguments};
///
/// let arguments = ImprovedArguments {
///     in_channels: 3,
///     model_channels: 64,
///     out_channels: 6,
///     num_res_blocks: 2,
///     attention_resolutions: vec![2, 4],
///     ..ImprovedArguments::default()
/// };
/// let config = arguments.config(ImageSize::square(32));
/// assert_eq!(config.multipliers, [1.0, 2.0, 4.0, 8.0]);
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // the published names; ImprovedConfig explains them
pub struct ImprovedArguments {
    /// guided-diffusion's; the network does not depend on it.
    pub image_size: Option<i64>,
    pub in_channels: i64,
    pub model_channels: i64,
    pub out_channels: i64,
    pub num_res_blocks: i64,
    /// Down-sampling rates.
    pub attention_resolutions: Vec<i64>,
    pub dropout: f64,
    pub channel_mult: Vec<f64>,
    pub conv_resample: bool,
    pub dims: usize,
    pub num_classes: Option<i64>,
    pub use_checkpoint: bool,
    /// Which precision is a matter of how the network is built, not of what it is.
    pub use_fp16: bool,
    pub num_heads: i64,
    /// −1 is `num_heads`.
    pub num_heads_upsample: i64,
    /// −1 is none.
    pub num_head_channels: i64,
    pub use_scale_shift_norm: bool,
    pub resblock_updown: bool,
    pub use_new_attention_order: bool,
}

impl Default for ImprovedArguments {
    fn default() -> Self {
        Self {
            image_size: None,
            in_channels: 3,
            model_channels: 128,
            out_channels: 3,
            num_res_blocks: 2,
            attention_resolutions: Vec::new(),
            dropout: 0.0,
            channel_mult: vec![1.0, 2.0, 4.0, 8.0],
            conv_resample: true,
            dims: 2,
            num_classes: None,
            use_checkpoint: false,
            use_fp16: false,
            num_heads: 1,
            num_heads_upsample: -1,
            num_head_channels: -1,
            use_scale_shift_norm: false,
            resblock_updown: false,
            use_new_attention_order: false,
        }
    }
}

impl ImprovedArguments {
    /// The same network as a config.
    ///
    /// - size: image size, used if `image_size` is not given
    pub fn config(&self, size: ImageSize) -> ImprovedConfig {
        let given = |value: i64| (value != -1).then_some(value);
        ImprovedConfig {
            size: self.image_size.map_or(size, ImageSize::square),
            channels: self.in_channels,
            outputs: self.out_channels,
            features: self.model_channels,
            multipliers: self.channel_mult.clone(),
            blocks: self.num_res_blocks,
            attention: self.attention_resolutions.clone(),
            heads: self.num_heads,
            heads_upsample: given(self.num_heads_upsample),
            head_channels: given(self.num_head_channels),
            attention_order: match self.use_new_attention_order {
                true => AttentionOrder::New,
                false => AttentionOrder::Legacy,
            },
            classes: self.num_classes,
            scale_shift: self.use_scale_shift_norm,
            dropout: self.dropout,
            dims: self.dims,
            learned_resample: self.conv_resample,
            resblock_updown: self.resblock_updown,
            checkpoint: self.use_checkpoint,
        }
    }
}
