//! The two traits of a denoising network: [`Network`] for sampling, [`TrainableNetwork`] for training.

use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{TorchError, to_device_async};

use crate::{CompileOptions, Params};

/// A denoising network ε(x, t, conditioning) in evaluation: all that samplers need.
pub trait Network: Send {
    /// The forward pass, in evaluation mode.
    ///
    /// - x: [B, C, H, W]; [B, C, W] or [B, C, D, H, W] for networks over one or three axes
    /// - t: `[B]`, in the units that the process config names
    /// - returns [B, C', ...]
    ///
    /// # Errors
    /// A shape or a conditioning that the network cannot take.
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Tensor, NetworkError>;

    /// The device of the network and of its inputs.
    fn device(&self) -> Device;

    /// The dtype of the network's inputs and outputs.
    fn kind(&self) -> Kind;

    /// True if the network takes [`Conditioning::self_condition`].
    fn takes_self_condition(&self) -> bool {
        false
    }
}

/// A network with parameters and gradients.
///
/// Every trainable network is a [`Network`]: its forward pass in [`Mode::Eval`], on the device and in
/// the dtype of its parameters. `&dyn TrainableNetwork` coerces to `&dyn Network`, in which form
/// samplers take it.
pub trait TrainableNetwork: Network {
    /// The forward pass in a given mode.
    ///
    /// # Errors
    /// As [`Network::forward`].
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor, NetworkError>;

    /// Named parameters and buffers.
    fn params(&self) -> &Params;

    /// True if the network takes [`Conditioning::self_condition`]; [`Network::takes_self_condition`]
    /// asks here.
    fn is_self_conditioned(&self) -> bool {
        false
    }

    /// The learned log-variance u(σ) of the loss (Karras et al. 2024, eq. 21), `[B]`; `None` for a network without
    /// it.
    ///
    /// - t: `[B]`, as in the forward pass
    ///
    /// # Errors
    /// libtorch is out of memory.
    fn log_variance(&self, t: &Tensor, mode: Mode) -> Result<Option<Tensor>, NetworkError> {
        let _ = (t, mode);
        Ok(None)
    }

    /// Compiles the network for inference. The result is faster, equal within rounding, and has
    /// neither gradients nor parameters.
    ///
    /// Weights that are not copied into another form stay shared with this network. Compile again
    /// after a training step.
    ///
    /// A compiled network is not a `TrainableNetwork`: training it is an error of types.
    ///
    /// ```compile_fail
    /// use inkdrop_nn::{CompileOptions, TrainableNetwork};
    ///
    /// fn train(network: &dyn TrainableNetwork) {}
    ///
    /// fn compile_and_train(network: &dyn TrainableNetwork) {
    ///     let compiled = network.compile(&CompileOptions::default()).expect("a compiled network");
    ///     train(compiled.as_ref()); // expected `&dyn TrainableNetwork`, found `&dyn Network`
    /// }
    /// ```
    ///
    /// # Errors
    /// libtorch is out of memory.
    fn compile(&self, options: &CompileOptions) -> Result<Box<dyn Network>, NetworkError>;
}

impl<N: TrainableNetwork> Network for N {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Tensor, NetworkError> {
        self.forward_mode(x, t, conditioning, Mode::Eval)
    }

    fn device(&self) -> Device {
        self.params().device()
    }

    fn kind(&self) -> Kind {
        self.params().kind()
    }

    fn takes_self_condition(&self) -> bool {
        self.is_self_conditioned()
    }
}

/// Mode of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Training: batch statistics, recorded in the running statistics; dropout.
    Train,
    /// Training without recording: the second run of a block under gradient checkpointing.
    Recompute,
    /// Evaluation: running statistics, no dropout.
    Eval,
}

/// Conditions of a batch. The network's family determines which fields it takes.
#[derive(Debug, Default)]
pub struct Conditioning {
    /// Weights of named contexts, [B, K].
    pub context: Option<Tensor>,
    /// One class for each image.
    pub classes: Option<ClassIds>,
    /// Low-resolution images for super-resolution, [B, C, h, w].
    pub low_res: Option<Tensor>,
    /// Images that the network is conditioned on, [B, C', H, W] in [-1, 1]: a paired picture, a masked one with its
    /// mask, or an enlarged one ([`ImageConditioned`](crate::ImageConditioned)).
    pub image: Option<Tensor>,
    /// Length t − r of a time interval, `[B]` in the units of t, for networks of mean velocities (MeanFlow).
    pub interval: Option<Tensor>,
    /// An earlier prediction of x0 for self-conditioning (Chen et al. 2022), like x; zeros if absent.
    pub self_condition: Option<Tensor>,
    /// Labels of the augmentation of each image, [B, K]; zeros stand for none (Karras et al. 2022, appendix F.2).
    pub augment: Option<Tensor>,
    /// Index of the first image in the batch of the whole step; 0 for a whole batch. In training,
    /// the dropout mask of image i follows from `first_image + i`, so that a microbatch has the masks
    /// of its part of the batch.
    pub first_image: i64,
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

    /// Low-resolution images, [B, C, h, w].
    pub fn low_res(images: Tensor) -> Self {
        Self { low_res: Some(images), ..Self::default() }
    }

    /// Images to concatenate with x, [B, C', H, W] in [-1, 1].
    pub fn image(images: Tensor) -> Self {
        Self { image: Some(images), ..Self::default() }
    }

    /// The same conditions.
    pub fn shallow_clone(&self) -> Self {
        Self {
            context: self.context.as_ref().map(Tensor::shallow_clone),
            classes: self.classes.as_ref().map(ClassIds::shallow_clone),
            low_res: self.low_res.as_ref().map(Tensor::shallow_clone),
            image: self.image.as_ref().map(Tensor::shallow_clone),
            interval: self.interval.as_ref().map(Tensor::shallow_clone),
            self_condition: self.self_condition.as_ref().map(Tensor::shallow_clone),
            augment: self.augment.as_ref().map(Tensor::shallow_clone),
            first_image: self.first_image,
        }
    }

    /// The conditions of a batch in which every image stands `times` times in succession. Each has a dropout
    /// mask of its own.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn repeat_interleave(&self, times: i64) -> Result<Self, TorchError> {
        let repeated = |x: &Tensor| x.f_repeat_interleave_self_int(times, 0, None);
        let classes = self.classes.as_ref().map(|classes| -> Result<ClassIds, TorchError> {
            Ok(ClassIds { ids: repeated(&classes.ids)?, ..*classes })
        });
        Ok(Self {
            context: self.context.as_ref().map(repeated).transpose()?,
            classes: classes.transpose()?,
            low_res: self.low_res.as_ref().map(repeated).transpose()?,
            image: self.image.as_ref().map(repeated).transpose()?,
            interval: self.interval.as_ref().map(repeated).transpose()?,
            self_condition: self.self_condition.as_ref().map(repeated).transpose()?,
            augment: self.augment.as_ref().map(repeated).transpose()?,
            first_image: self.first_image * times,
        })
    }
}

/// Class ids of a batch with their range, so that a network can check them without waiting for a
/// GPU.
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
            ids: to_device_async(&Tensor::f_from_slice(ids)?, device)?,
        })
    }

    /// The lowest and the highest id; zeros without any.
    pub fn range(&self) -> (i64, i64) {
        (self.lowest, self.highest)
    }

    /// The same ids.
    pub fn shallow_clone(&self) -> Self {
        Self { ids: self.ids.shallow_clone(), ..*self }
    }

    /// A copy of the ids.
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

    /// The class of all images, if they share one.
    pub fn shared(&self) -> Option<i64> {
        (self.lowest == self.highest).then_some(self.lowest)
    }

    /// Checks that there is one id in 0..count for each of `batch` images.
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

/// Error of a forward pass.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// An input has another shape than the network takes.
    #[error("{input} has shape {given:?}, expected {expected}")]
    Shape {
        /// The input: `x`, `t`, `context`, …
        input: &'static str,
        /// Its shape.
        given: Vec<i64>,
        /// The expected shape, in words.
        expected: String,
    },
    /// A class id is out of range.
    #[error("class {given} is out of range: the network knows classes 0 to {}", count - 1)]
    Class {
        /// The class.
        given: i64,
        /// Number of classes.
        count: i64,
    },
    /// A condition is missing.
    #[error("the network needs {input}: {expected}")]
    Missing {
        /// The input.
        input: &'static str,
        /// The expected shape, in words.
        expected: String,
    },
    /// The network does not take this condition.
    #[error("{input} was given to a network that takes none")]
    Unexpected {
        /// The input.
        input: &'static str,
    },
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}
