//! Compatibility with denoising-diffusion-pytorch: its argument names.

use serde::Deserialize;

use super::LucidConfig;
use crate::{ConfigError, ImageSize};

/// The arguments of `Unet`, `Unet1D` and the `Unet` of `classifier_free_guidance`, with their defaults.
///
/// ```
/// use inkdrop_unet::{ImageSize, LucidArguments, LucidConfig};
///
/// let arguments = LucidArguments { dim: 64, ..Default::default() };
/// assert_eq!(arguments.config(ImageSize::square(128))?, LucidConfig::readme());
/// # Ok::<(), inkdrop_unet::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // the original's names; LucidConfig explains them
pub struct LucidArguments {
    /// The class: `Unet` or `Unet1D`.
    pub arch: String,
    /// The module of the class: `classifier_free_guidance` for the network with classes.
    pub module: Option<String>,
    pub dim: i64,
    pub num_classes: Option<i64>,
    /// A matter of training (`train.label_dropout`), not of the network.
    pub cond_drop_prob: f64,
    pub init_dim: Option<i64>,
    pub out_dim: Option<i64>,
    pub dim_mults: Vec<i64>,
    pub channels: i64,
    pub self_condition: bool,
    pub learned_variance: bool,
    pub learned_sinusoidal_cond: bool,
    pub random_fourier_features: bool,
    pub learned_sinusoidal_dim: i64,
    pub sinusoidal_pos_emb_theta: f64,
    pub dropout: f64,
    pub attn_dim_head: OneOrMore<i64>,
    pub attn_heads: OneOrMore<i64>,
    /// `None`, `False` and an empty tuple are the default.
    pub full_attn: Option<OneOrMore<bool>>,
    /// Which kernel computes attention, not what it computes.
    pub flash_attn: bool,
}

/// One value for all stages, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore<T> {
    /// One for all.
    One(T),
    /// One for each.
    Each(Vec<T>),
}

impl<T: Clone> OneOrMore<T> {
    fn values(&self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value.clone()],
            Self::Each(values) => values.clone(),
        }
    }
}

impl Default for LucidArguments {
    fn default() -> Self {
        Self {
            arch: "Unet".to_string(),
            module: None,
            dim: 64,
            num_classes: None,
            cond_drop_prob: 0.5,
            init_dim: None,
            out_dim: None,
            dim_mults: vec![1, 2, 4, 8],
            channels: 3,
            self_condition: false,
            learned_variance: false,
            learned_sinusoidal_cond: false,
            random_fourier_features: false,
            learned_sinusoidal_dim: 16,
            sinusoidal_pos_emb_theta: 10_000.0,
            dropout: 0.0,
            attn_dim_head: OneOrMore::One(32),
            attn_heads: OneOrMore::One(4),
            full_attn: None,
            flash_attn: false,
        }
    }
}

impl LucidArguments {
    /// The same network as a config.
    ///
    /// - size: image size, which the original's constructors do not take
    ///
    /// # Errors
    /// An unknown class or module.
    pub fn config(&self, size: ImageSize) -> Result<LucidConfig, ConfigError> {
        let dims = match self.arch.as_str() {
            "Unet" => 2,
            "Unet1D" => 1,
            other => {
                let problem = "is unknown: expected Unet or Unet1D";
                return Err(ConfigError::field("arch", other, problem));
            }
        };
        if let Some(module) = &self.module
            && (module != "classifier_free_guidance" || self.num_classes.is_none())
        {
            let problem = "is unknown: expected classifier_free_guidance, with num_classes";
            return Err(ConfigError::field("module", module, problem));
        }
        let times = if self.learned_variance { 2 } else { 1 };
        let fourier = self.learned_sinusoidal_cond || self.random_fourier_features;
        Ok(LucidConfig {
            size,
            channels: self.channels,
            outputs: self.out_dim.unwrap_or_else(|| self.channels.saturating_mul(times)),
            features: self.dim,
            init_features: self.init_dim.filter(|width| *width != self.dim),
            multipliers: self.dim_mults.clone(),
            heads: self.attn_heads.values(),
            head_channels: self.attn_dim_head.values(),
            full_attention: self.full_attention(),
            self_condition: self.self_condition,
            theta: self.sinusoidal_pos_emb_theta,
            fourier_features: fourier.then_some(self.learned_sinusoidal_dim),
            random_fourier: self.random_fourier_features,
            dropout: self.dropout,
            classes: self.num_classes,
            dims,
            checkpoint: false,
        })
    }

    /// A false value that is no tuple is the default; a tuple of false values is kept.
    fn full_attention(&self) -> Vec<bool> {
        match &self.full_attn {
            None | Some(OneOrMore::One(false)) => Vec::new(),
            Some(full) => full.values(),
        }
    }
}
