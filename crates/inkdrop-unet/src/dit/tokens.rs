//! The tokens of DiT: those of the image's patches, and those of the class.

use inkdrop_nn::{Conv, ConvConfig, Init, Scope, Weight};
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{Result, TorchError};

use super::DitConfig;

/// Standard deviation of the class vectors, their positions, and the layers of the timestep.
pub(super) const EMBEDDING_STD: f64 = 0.02;

/// The maps from a patch to a token, one after the other: one map, or two through a bottleneck (Li & He 2025).
pub(super) fn patch_embedding(scope: &mut Scope, config: &DitConfig) -> Result<Vec<Conv>> {
    let DitConfig { channels, features, patch, .. } = *config;
    let Some(bottleneck) = config.bottleneck else {
        let proj = ConvConfig::patches(channels, features, patch);
        return Ok(vec![Conv::new(&mut scope.sub("proj"), proj)?]);
    };
    let proj1 = ConvConfig { bias: false, ..ConvConfig::patches(channels, bottleneck, patch) };
    let proj1 = Conv::new(&mut scope.sub("proj1"), proj1)?;
    let proj2 = ConvConfig::same(bottleneck, features, 1);
    Ok(vec![proj1, Conv::new(&mut scope.sub("proj2"), proj2)?])
}

/// Tokens of the class, which come before those of the image from one block on (Li & He 2025): the class
/// vector, repeated, each with a trained position.
#[derive(Debug)]
pub(super) struct ContextTokens {
    /// [1, L, D]
    positions: Weight,
    /// Number of the first block that receives them.
    start: usize,
}

impl ContextTokens {
    pub fn new(scope: &mut Scope, config: &DitConfig) -> Result<Option<Self>> {
        let (length, start) = (config.in_context_len, config.in_context_start as usize);
        if length == 0 {
            return Ok(None);
        }
        let init = Init::ScaledNormal(EMBEDDING_STD);
        let positions = scope.weight("in_context_posemb", &[1, length, config.features], init)?;
        Ok(Some(Self { positions, start }))
    }

    pub fn detached(&self) -> Result<Self> {
        Ok(Self { positions: self.positions.detached()?, start: self.start })
    }

    /// The tokens of the class, then h.
    ///
    /// - h: [B, T, D]; returns [B, L + T, D]
    /// - class: [B, D], or [1, D] for all images
    pub fn prepend(&self, h: &Tensor, class: Option<&Tensor>) -> Result<Tensor> {
        let missing = || TorchError::message("the tokens were given no class vector".to_string());
        let tokens = class.ok_or_else(missing)?.f_unsqueeze(1)?.f_add(&self.positions)?;
        let tokens = tokens.f_expand([h.size()[0], -1, -1], false)?.f_to_kind(h.kind())?;
        Ok(Tensor::f_cat(&[&tokens, h], 1)?)
    }

    /// Number of the first block that receives them.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The tokens of the image alone: [B, L + T, D] → [B, T, D].
    pub fn strip(&self, h: &Tensor) -> Result<Tensor> {
        let length = self.positions.size()[1];
        Ok(h.f_narrow(1, length, h.size()[1] - length)?)
    }
}
