//! The fully connected layer, the MLP of two layers and the embedding table.

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

use crate::{Activation, CompiledConv, ConvConfig, Init, Scope, Weight};

/// y = x·Wᵀ + b, keys `weight` and `bias`, or `weight` alone.
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
    bias: Option<Weight>,
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

    /// The same layer in the compute dtype (torso): of half precision where the network is.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn in_torso(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let init = Init::FanIn(inputs);
        Ok(Self {
            weight: scope.torso_weight("weight", &[outputs, inputs], init)?,
            bias: Some(scope.torso_weight("bias", &[outputs], init)?),
        })
    }

    /// A layer that starts with zeros, so that it changes nothing at first.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new_zero(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let linear = Self::new(scope, inputs, outputs)?;
        if scope.initializes() {
            let _guard = no_grad_guard();
            let _ = linear.weight.shallow_clone().f_zero_()?;
            let _ = linear.bias()?.f_zero_()?;
        }
        Ok(linear)
    }

    /// y = x·Wᵀ, never of half precision.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn without_bias(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let weight = scope.weight("weight", &[outputs, inputs], Init::FanIn(inputs))?;
        Ok(Self { weight, bias: None })
    }

    /// b, or zeros.
    fn bias(&self) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => Ok(bias.shallow_clone()),
            None => {
                Ok(Tensor::f_zeros([self.outputs()], (self.weight.kind(), self.weight.device()))?)
            }
        }
    }

    /// The same layer without gradients.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn detached(&self) -> Result<Self> {
        Self::concat(&[self])
    }

    /// Concatenates layers into one 1×1 convolution over two axes.
    pub(crate) fn as_pointwise(layers: &[&Self], pack: bool) -> Result<CompiledConv> {
        let all = Self::concat(layers)?;
        let (outputs, inputs) = (all.weight.size()[0], all.weight.size()[1]);
        let weight = all.weight.f_reshape([outputs, inputs, 1, 1])?;
        CompiledConv::new(ConvConfig::same(inputs, outputs, 1), &weight, &all.bias()?, pack)
    }

    /// Concatenates the outputs of several layers into one layer without gradients.
    ///
    /// # Errors
    /// The layers take inputs of different widths, or there are none.
    pub fn concat(layers: &[&Self]) -> Result<Self> {
        let _guard = no_grad_guard();
        let weights: Vec<&Tensor> = layers.iter().map(|layer| &*layer.weight).collect();
        let biases = layers.iter().map(|layer| layer.bias()).collect::<Result<Vec<_>>>()?;
        let weight = Weight::new(Tensor::f_cat(&weights, 0)?);
        Ok(Self { weight, bias: Some(Weight::new(Tensor::f_cat(&biases, 0)?)) })
    }

    /// Folds the scale γ and shift β of a group normalisation into a scale-shift projection (s, b):
    /// the first half becomes γ(1 + s), the second β(1 + s) + b.
    pub(crate) fn fold_affine(&self, scale: &Tensor, shift: &Tensor) -> Result<Self> {
        let _guard = no_grad_guard();
        let double = |x: &Tensor| -> Result<Tensor> { Ok(x.f_to_kind(Kind::Double)?) };
        let (scale, shift) = (double(scale)?, double(shift)?);
        let kind = self.weight.kind();
        let halves = |x: &Tensor| -> Result<[Tensor; 2]> {
            let half = x.size()[0] / 2;
            Ok([x.f_narrow(0, 0, half)?, x.f_narrow(0, half, half)?])
        };
        let [w1, w2] = halves(&double(&self.weight)?)?;
        let [b1, b2] = halves(&double(&self.bias()?)?)?;
        let b1 = b1.f_add_scalar(1.0)?;
        let (rows, shifts) = (scale.f_unsqueeze(1)?, shift.f_unsqueeze(1)?);
        let weight = [w1.f_mul(&rows)?, w1.f_mul(&shifts)?.f_add(&w2)?];
        let bias = [b1.f_mul(&scale)?, b1.f_mul(&shift)?.f_add(&b2)?];
        let joined = |parts: &[Tensor]| -> Result<Weight> {
            Ok(Weight::new(Tensor::f_cat(parts, 0)?.f_to_kind(kind)?))
        };
        Ok(Self { weight: joined(&weight)?, bias: Some(joined(&bias)?) })
    }

    /// Compiles the layer for inference on tokens.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn compile(&self, pack: bool) -> Result<CompiledLinear> {
        Ok(match pack && self.weight.device() == Device::Cpu {
            true => CompiledLinear::Pointwise(Self::as_pointwise(&[self], pack)?),
            false => CompiledLinear::Plain(self.detached()?),
        })
    }

    /// Number of output features.
    pub(crate) fn outputs(&self) -> i64 {
        self.weight.size()[0]
    }

    /// # Shapes
    /// - x: [..., inputs]
    /// - returns [..., outputs]
    ///
    /// # Errors
    /// x has another last axis.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, self.bias.as_deref())?)
    }
}

/// A fully connected layer on the tokens of each image, for inference.
#[derive(Debug, Clone)]
pub enum CompiledLinear {
    /// libtorch's ordinary operation, on a GPU.
    Plain(Linear),
    /// A 1×1 convolution, packed where that is supported. Unlike a matrix product over all tokens of a batch, its
    /// rounding does not depend on the number of images.
    Pointwise(CompiledConv),
}

impl CompiledLinear {
    /// # Shapes
    /// - x: [B, T, inputs]
    /// - returns [B, T, outputs]
    ///
    /// # Errors
    /// x has another last axis.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain(linear) => linear.forward(x),
            Self::Pointwise(conv) => {
                let pixels = x.f_transpose(1, 2)?.f_unsqueeze(-1)?; // [B, inputs, T, 1]
                Ok(conv.forward(&pixels)?.f_squeeze_dim(-1)?.f_transpose(1, 2)?)
            }
        }
    }
}

/// Multilayer perceptron of two layers: Linear · activation · Linear; embeds sinusoids of the timestep.
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
        Self::of(scope, keys, widths, activation, Linear::new)
    }

    /// The same with zeros in the second layer, so that it changes nothing at first.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new_zero(
        scope: &mut Scope,
        keys: [impl std::fmt::Display; 2],
        widths: [i64; 3],
        activation: Activation,
    ) -> Result<Self> {
        Self::of(scope, keys, widths, activation, Linear::new_zero)
    }

    /// - last: makes the second layer
    fn of(
        scope: &mut Scope,
        [first, second]: [impl std::fmt::Display; 2],
        [inputs, between, outputs]: [i64; 3],
        activation: Activation,
        last: fn(&mut Scope, i64, i64) -> Result<Linear>,
    ) -> Result<Self> {
        Ok(Self {
            first: Linear::new(&mut scope.sub(first), inputs, between)?,
            activation,
            second: last(&mut scope.sub(second), between, outputs)?,
        })
    }

    /// The same layers without gradients.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn detached(&self) -> Result<Self> {
        let [first, second] = [&self.first, &self.second].map(|layer| Linear::concat(&[layer]));
        Ok(Self { first: first?, activation: self.activation, second: second? })
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

/// Embedding table with one vector for each class, key `weight`.
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

    /// The same table without gradients.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn detached(&self) -> Result<Self> {
        Self::concat(&[self])
    }

    /// Concatenates the rows of several tables of equal length, without gradients.
    pub(crate) fn concat(tables: &[&Self]) -> Result<Self> {
        let _guard = no_grad_guard();
        let weights: Vec<&Tensor> = tables.iter().map(|table| &*table.weight).collect();
        Ok(Self { weight: Weight::new(Tensor::f_cat(&weights, 1)?) })
    }

    /// Width of a row.
    pub(crate) fn width(&self) -> i64 {
        self.weight.size()[1]
    }

    /// The rows of ids, with one vector more than the table has: that of the null class.
    ///
    /// # Shapes
    /// - ids: `[B]` in i64, each in 0..=rows
    /// - null: `[width]`, the vector of the id `rows`
    /// - returns [B, width]
    ///
    /// # Errors
    /// As [`Embedding::forward`].
    pub fn forward_or_null(&self, ids: &Tensor, null: &Tensor) -> Result<Tensor> {
        let rows = Tensor::f_cat(&[&*self.weight, &null.f_unsqueeze(0)?], 0)?;
        Ok(Tensor::f_embedding(&rows, ids, -1, false, false)?)
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
