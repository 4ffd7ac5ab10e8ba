//! The fully connected layer, and the table of vectors.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::{Activation, Init, Scope, Weight};

/// y = x·Wᵀ + b, keys `weight` and `bias`.
///
/// ```
/// use inkdrop_nn::{Linear, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let linear = Linear::new(&mut params.root(), 16, 4)?;
/// assert_eq!(linear.forward(&Tensor::ones([2, 16], (Kind::Float, Device::Cpu)))?.size(), [2, 4]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Weight,
}

impl Linear {
    /// A layer from `inputs` to `outputs` features, with PyTorch's default
    /// initialisation; never of half precision.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        Self::in_torso(&mut scope.full(), inputs, outputs)
    }

    /// The same as part of the torso: of half precision where the network is.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn in_torso(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let init = Init::FanIn(inputs);
        Ok(Self {
            weight: scope.torso_weight("weight", &[outputs, inputs], init)?,
            bias: scope.torso_weight("bias", &[outputs], init)?,
        })
    }

    /// # Shapes
    /// - x: [..., inputs]
    /// - returns [..., outputs]
    ///
    /// # Errors
    /// x has another last axis.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, Some(&*self.bias))?)
    }
}

/// Linear · activation · Linear: how the sinusoids of a time become what blocks read.
///
/// ```
/// use inkdrop_nn::{Activation, Mlp, Params, timestep_embedding};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let mlp = Mlp::new(&mut params.root().sub("time_embed"), [0, 2], [32, 128, 128], Activation::Silu)?;
/// let t = Tensor::from_slice(&[0.0f32, 250.5, 999.0]);
/// let embedding = mlp.forward(&timestep_embedding(&t, 32, 10_000.0)?)?;
/// assert_eq!(embedding.size(), [3, 128]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mlp {
    first: Linear,
    activation: Activation,
    second: Linear,
}

impl Mlp {
    /// - keys: names of the two layers
    /// - widths: in, between, out
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(
        scope: &mut Scope,
        keys: [impl std::fmt::Display; 2],
        widths: [i64; 3],
        activation: Activation,
    ) -> Result<Self> {
        let [inputs, between, outputs] = widths;
        let [first, second] = keys;
        Ok(Self {
            first: Linear::new(&mut scope.sub(first), inputs, between)?,
            activation,
            second: Linear::new(&mut scope.sub(second), between, outputs)?,
        })
    }

    /// # Shapes
    /// - x: [B, in]
    /// - returns [B, out]
    ///
    /// # Errors
    /// x has another width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second.forward(&self.activation.apply(&self.first.forward(x)?)?)
    }
}

/// A table with one vector for each class, key `weight`.
///
/// ```
/// use inkdrop_nn::{Embedding, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let table = Embedding::new(&mut params.root().sub("label_emb"), 10, 64)?;
/// assert_eq!(table.forward(&Tensor::from_slice(&[3i64, 9]))?.size(), [2, 64]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Embedding {
    weight: Weight,
}

impl Embedding {
    /// A table of `rows` vectors, drawn from N(0, 1) as PyTorch does.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, rows: i64, width: i64) -> Result<Self> {
        Ok(Self { weight: scope.weight("weight", &[rows, width], Init::Normal)? })
    }

    /// # Shapes
    /// - ids: `[B]` in i64, each in 0..rows
    /// - returns [B, width]
    ///
    /// # Errors
    /// An id outside the table (on the CPU; on a GPU it is libtorch's device-side assertion).
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        Ok(Tensor::f_embedding(&self.weight, ids, -1, false, false)?)
    }
}
