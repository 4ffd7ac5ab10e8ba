//! What a denoising network is, to those who train it and those who sample from it.

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::Tensor;

use crate::Params;

/// A network ε(x, t, conditioning).
pub trait Network: Send {
    /// One pass.
    ///
    /// - x: [B, C, H, W]
    /// - t: `[B]`, in whatever units the process config says
    /// - returns [B, C', H, W]
    ///
    /// # Errors
    /// A shape or a conditioning that the network cannot take.
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor, NetworkError>;

    /// The parameters that the network computes with.
    fn params(&self) -> &Params;
}

/// Whether the network learns or is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics are taken and recorded, dropout drops.
    Train,
    /// Running statistics are used, nothing is random.
    Eval,
}

/// What a sample is asked to be. Which fields a network takes depends on its family.
#[derive(Debug, Default)]
pub struct Conditioning {
    /// Weights over named contexts, [B, K] in the network's kind.
    pub context: Option<Tensor>,
}

impl Conditioning {
    /// No conditions.
    pub fn none() -> Self {
        Self::default()
    }

    /// Context rows, [B, K].
    pub fn context(rows: Tensor) -> Self {
        Self { context: Some(rows) }
    }
}

/// Why a network cannot do a pass.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// An input has another shape than the network takes.
    #[error("{input} has shape {given:?}, expected {expected}")]
    Shape {
        /// Which input: `x`, `t`, `context`, …
        input: &'static str,
        /// Its shape.
        given: Vec<i64>,
        /// What the network takes, in words.
        expected: String,
    },
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}
