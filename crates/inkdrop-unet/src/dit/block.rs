//! The block of DiT and its adaptive layer norm.

use inkdrop_nn::{
    Block, BlockConditioning, HeadOrder, Linear, Mode, Scope, attend, modulated_layer_norm,
};
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{Result, TorchError};

use super::DitConfig;

/// Projection of the activated embedding to shifts, scales and gates (adaLN-Zero, Peebles & Xie 2023, section 3.2).
#[derive(Debug, Clone)]
pub(super) enum AdaLn {
    /// The block's own layer, which starts at 0.
    Layer(Linear),
    /// Columns of the rows that all blocks share; compiled.
    Columns { first: i64, width: i64 },
}

impl AdaLn {
    /// - parts: number of vectors of `features` values
    pub fn new(scope: &mut Scope, features: i64, parts: i64) -> Result<Self> {
        let scope = &mut scope.sub("adaLN_modulation");
        Ok(Self::Layer(Linear::new_zero(&mut scope.sub(1), features, parts * features)?))
    }

    /// Compiles the projection: its layer is added to `layers`, whose columns it reads.
    ///
    /// - width: number of columns
    pub fn compile(&self, layers: &mut Vec<Linear>, width: i64) -> Self {
        if let Self::Layer(layer) = self {
            layers.push(layer.clone());
        }
        Self::Columns { first: (layers.len() as i64 - 1) * width, width }
    }

    /// The vectors, [B, 1, D] each, or [1, 1, D] for all images.
    fn parts(&self, conditioning: &BlockConditioning, parts: i64) -> Result<Vec<Tensor>> {
        let missing = || TorchError::message("a block was given no embedding".to_string());
        let rows = match self {
            Self::Layer(layer) => {
                layer.forward(conditioning.embedding.as_ref().ok_or_else(missing)?)?
            }
            Self::Columns { first, width } => {
                let rows = conditioning.modulation.as_ref().ok_or_else(missing)?;
                rows.f_narrow(1, *first, *width)?
            }
        };
        Ok(rows.f_unsqueeze(1)?.f_chunk(parts, -1)?)
    }
}
