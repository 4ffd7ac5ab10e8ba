//! What a denoising network is, to those who train it and those who sample from it.

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Device, Tensor};

use crate::{Inference, Params};

/// A network ε(x, t, conditioning).
pub trait Network: Send {
    /// One pass.
    ///
    /// - x: [B, C, H, W]; [B, C, W] or [B, C, D, H, W] for networks over one or three axes
    /// - t: `[B]`, in whatever units the process config says
    /// - returns [B, C', ...]
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

    /// The same network made ready for inference: its passes are the faster ones, equal within
    /// rounding. It has no gradients, no parameters (its [`Params`] tell kind and device alone), and
    /// [`Mode::Eval`] is all that it does.
    ///
    /// Large weights that need no other form stay shared with this network: while this one is
    /// trained, make it anew. A network that has no such form need not have this method.
    ///
    /// # Errors
    /// [`NetworkError::Inference`] where it has been made ready already, or has no such form;
    /// libtorch is out of memory.
    fn for_inference(&self, _options: &Inference) -> Result<Box<dyn Network>, NetworkError> {
        Err(NetworkError::Inference("this network has no form for inference: use it as it is"))
    }
}

/// Whether the network learns or is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics are taken and recorded, dropout drops.
    Train,
    /// As in training, but nothing is recorded: the second run of a checkpointed block.
    Recompute,
    /// Running statistics are used, nothing is random.
    Eval,
}

/// What a sample is asked to be. Which fields a network takes depends on its family.
#[derive(Debug, Default)]
pub struct Conditioning {
    /// Weights over named contexts, [B, K].
    pub context: Option<Tensor>,
    /// One class for each image.
    pub classes: Option<ClassIds>,
    /// Small images to make large ones of, [B, C, h, w].
    pub low_res: Option<Tensor>,
}

impl Conditioning {
    /// No conditions.
    pub fn none() -> Self {
        Self::default()
    }

    /// Context rows, [B, K].
    pub fn context(rows: Tensor) -> Self {
        Self { context: Some(rows), ..Self::default() }
    }

    /// One class for each image.
    pub fn classes(ids: ClassIds) -> Self {
        Self { classes: Some(ids), ..Self::default() }
    }

    /// Small images, [B, C, h, w].
    pub fn low_res(images: Tensor) -> Self {
        Self { low_res: Some(images), ..Self::default() }
    }
}

/// Class ids of a batch, with their range known beforehand, so that a network
/// can check them without waiting for a GPU.
#[derive(Debug)]
pub struct ClassIds {
    ids: Tensor,
    lowest: i64,
    highest: i64,
}

impl ClassIds {
    /// - ids: one class for each image
    ///
    /// # Errors
    /// libtorch cannot copy them to the device.
    pub fn new(ids: &[i64], device: Device) -> Result<Self, TorchError> {
        Ok(Self {
            lowest: ids.iter().copied().min().unwrap_or(0),
            highest: ids.iter().copied().max().unwrap_or(0),
            ids: Tensor::f_from_slice(ids)?.f_to_device(device)?,
        })
    }

    /// The lowest and the highest id; zeros without any.
    pub fn range(&self) -> (i64, i64) {
        (self.lowest, self.highest)
    }

    /// The same ids in a tensor of their own.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn copied(&self) -> Result<Self, TorchError> {
        let mut ids = self.ids.f_empty_like()?;
        ids.f_copy_(&self.ids)?;
        Ok(Self { ids, lowest: self.lowest, highest: self.highest })
    }

    /// `[B]` in i64.
    pub fn tensor(&self) -> &Tensor {
        &self.ids
    }

    /// The class of all images, if they have one in common.
    pub fn shared(&self) -> Option<i64> {
        (self.lowest == self.highest).then_some(self.lowest)
    }

    /// Makes sure that there is one id in 0..count for each of `batch` images.
    ///
    /// # Errors
    /// Another number of ids, or one outside the range.
    pub fn check(&self, batch: i64, count: i64) -> Result<(), NetworkError> {
        if self.ids.size() != [batch] {
            let expected = format!("[{batch}], one class per image");
            return Err(NetworkError::Shape { input: "classes", given: self.ids.size(), expected });
        }
        let outside = [self.lowest, self.highest].into_iter().find(|id| !(0..count).contains(id));
        outside.map_or(Ok(()), |given| Err(NetworkError::Class { given, count }))
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
    /// A class that there is not.
    #[error("class {given} is out of range: the network knows classes 0 to {}", count - 1)]
    Class {
        /// The class.
        given: i64,
        /// How many there are.
        count: i64,
    },
    /// The network needs a condition that was not given.
    #[error("the network needs {input}: {expected}")]
    Missing {
        /// Which input.
        input: &'static str,
        /// What the network takes, in words.
        expected: String,
    },
    /// A condition was given that the network has no use for.
    #[error("{input} was given to a network that takes none")]
    Unexpected {
        /// Which input.
        input: &'static str,
    },
    /// A network for inference was asked for something else, or one without that form for it.
    #[error("{0}")]
    Inference(&'static str),
    /// Somebody who wraps the network wants no more passes.
    #[error("stopped before the pass")]
    Stopped,
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}
