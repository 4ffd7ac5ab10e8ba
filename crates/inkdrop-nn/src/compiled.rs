//! Compiled forms of the layers, for inference: packed convolutions, normalisation fused with its
//! neighbours, attention with channels innermost. None of them has gradients or named parameters.
//!
//! Blocks ([`ResBlock`](crate::ResBlock), …) are generic over the [`Form`] of their layers, so that
//! both forms share one definition.

use std::fmt::Debug;

use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{PackedConv, PostOp, Result, TorchError, multiplies_bf16};

use crate::modulation::Modulation;
use crate::{
    Activation, Block, BlockConditioning, Checkpointed, Conv, ConvConfig, ConvTranspose2d,
    CudaGraphNetwork, HeadOrder, MemoryAttention, Mode, Network, Norm, ResBlock, SelfAttention,
    attend,
};

/// Options of [`TrainableNetwork::compile`](crate::TrainableNetwork::compile).
///
/// ```
/// // For 25 steps of class 3, and of the null class 10 for classifier-free guidance:
/// use inkdrop_nn::CompileOptions;
///
/// let times = (0..25).map(|step| f64::from(step) * 40.0);
/// let options = CompileOptions { classes: vec![3, 10], ..CompileOptions::at(times) };
/// assert!(options.pack && options.times.len() == 25);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CompileOptions {
    /// Timesteps of the coming passes, exactly as t will hold them. On the CPU, their embeddings
    /// are computed once and cached ([`EmbeddingCache`](crate::EmbeddingCache)). Other timesteps
    /// are allowed and are computed when they occur.
    pub times: Vec<f64>,
    /// Classes to combine with these timesteps, for a class-conditional network.
    pub classes: Vec<i64>,
    /// Packs convolution weights in oneDNN's order and fuses normalisation with its neighbours; on the
    /// CPU only, in f32, and in bf16 where the processor multiplies it
    /// ([`multiplies_bf16`](inkdrop_torch::multiplies_bf16)).
    pub pack: bool,
    /// Records passes as CUDA graphs and replays them ([`CudaGraphNetwork`]); GPU only.
    pub graphs: bool,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self { times: Vec::new(), classes: Vec::new(), pack: true, graphs: true }
    }
}

impl CompileOptions {
    /// The default options, with these timesteps cached.
    pub fn at(times: impl IntoIterator<Item = f64>) -> Self {
        Self { times: times.into_iter().collect(), ..Self::default() }
    }

    /// Boxes a compiled network, wrapped in a [`CudaGraphNetwork`] if `graphs` is set and the
    /// network is on a GPU.
    pub fn finish(&self, network: impl Network + 'static) -> Box<dyn Network> {
        let network: Box<dyn Network> = Box::new(network);
        match network.device() {
            Device::Cuda(_) if self.graphs => Box::new(CudaGraphNetwork::new(network)),
            _ => network,
        }
    }
}

/// The dtype of the activations between compiled layers. Packed convolutions in bf16 take and return
/// f32: only their factors are rounded.
///
/// - torso, device: of the weights
/// - pack: as in [`CompileOptions::pack`]
///
/// # Errors
/// Those of [`multiplies_bf16`](inkdrop_torch::multiplies_bf16).
pub fn compiled_activations(torso: Kind, device: Device, pack: bool) -> Result<Kind> {
    let full = torso == Kind::BFloat16 && device == Device::Cpu && pack && multiplies_bf16()?;
    Ok(if full { Kind::Float } else { torso })
}

/// The form of the layers in a block: [`Trained`] or [`Compiled`].
pub trait Form: Debug + Clone + Send + Sized + 'static {
    /// A convolution.
    type Conv: Convolution;
    /// A transposed convolution.
    type ConvTranspose: TransposedConvolution;
    /// A normalisation.
    type Norm: Normalization;
    /// Convolution · BatchNorm · GELU, the unit of the sprites notebook.
    type ConvUnit: Unit;
    /// A residual block.
    type ResBlock: Block;
    /// A self-attention block.
    type Attention: Block;
    /// An attention block with memory.
    type MemoryAttention: Block;
}

/// Layers with named parameters and gradients.
#[derive(Debug, Clone)]
pub enum Trained {}

/// Layers for inference only.
#[derive(Debug, Clone)]
pub enum Compiled {}

impl Form for Trained {
    type Conv = Conv;
    type ConvTranspose = ConvTranspose2d;
    type Norm = Norm;
    type ConvUnit = crate::context::ConvUnit;
    type ResBlock = Checkpointed<ResBlock>;
    type Attention = Checkpointed<SelfAttention>;
    type MemoryAttention = Checkpointed<MemoryAttention>;
}

impl Form for Compiled {
    type Conv = CompiledConv;
    type ConvTranspose = CompiledConvTranspose2d;
    type Norm = CompiledNorm;
    type ConvUnit = CompiledConvUnit;
    type ResBlock = ResBlock<Compiled>;
    type Attention = CompiledSelfAttention;
    type MemoryAttention = MemoryAttention<Compiled>;
}

/// A convolution in either form.
pub trait Convolution: Debug + Clone + Send + 'static {
    /// The convolution of x.
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;

    /// Adds the convolution of x to `other`.
    ///
    /// # Errors
    /// As `forward`; `other` has another shape than the result.
    fn forward_add(&self, x: &Tensor, other: &Tensor) -> Result<Tensor>;
}

/// A transposed convolution in either form.
pub trait TransposedConvolution: Debug + Clone + Send + 'static {
    /// The transposed convolution of x.
    ///
    /// # Errors
    /// x has other channels.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
}

/// A normalisation in either form.
pub trait Normalization: Debug + Clone + Send + 'static {
    /// Normalises x, modulates it, and applies an activation.
    ///
    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels, or the modulation has another width.
    fn forward_modulated(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        activation: Option<Activation>,
        mode: Mode,
    ) -> Result<Tensor>;

    /// Normalises x and applies an activation.
    ///
    /// # Errors
    /// x has other channels.
    fn forward_with_activation(
        &self,
        x: &Tensor,
        activation: Activation,
        mode: Mode,
    ) -> Result<Tensor> {
        self.forward_modulated(x, &Modulation::None, Some(activation), mode)
    }
}

/// Convolution · normalisation · activation in either form.
pub trait Unit: Debug + Clone + Send + 'static {
    /// # Shapes
    /// - x: [B, inputs, H, W]
    /// - returns [B, outputs, H, W]
    ///
    /// # Errors
    /// x has other channels.
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor>;
}

/// A convolution for inference, with its weight packed for oneDNN where that is supported.
#[derive(Debug, Clone)]
pub enum CompiledConv {
    /// libtorch's ordinary operation: f64, half precision, a GPU, one or three axes.
    Plain(Conv),
    /// f32, or bf16 where the processor multiplies it, over two axes on the CPU.
    Packed(PackedConv),
}

impl CompiledConv {
    /// - weight: [outputs, inputs, ...]; bias: `[outputs]`
    /// - pack: packs the weight where that is supported
    pub(crate) fn new(
        config: ConvConfig,
        weight: &Tensor,
        bias: &Tensor,
        pack: bool,
    ) -> Result<Self> {
        let ConvConfig { strides: [_, y, x], padding: p, .. } = config;
        let packed = match pack {
            true => PackedConv::new(weight, bias, [y, x], [p, p])?,
            false => None,
        };
        let plain = || {
            let kind = compiled_activations(weight.kind(), weight.device(), pack)?;
            let (weight, bias) = (weight.f_to_kind(kind)?, bias.f_to_kind(kind)?);
            Ok(Self::Plain(Conv::detached(config, &weight, &bias)?))
        };
        packed.map_or_else(plain, |packed| Ok(Self::Packed(packed)))
    }

    /// # Shapes
    /// As [`Conv::forward`].
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with_post_op(x, None)
    }

    /// Applies an activation to the convolution of x, in one kernel where that is supported.
    ///
    /// # Errors
    /// As [`CompiledConv::forward`].
    pub fn forward_with_post_op(
        &self,
        x: &Tensor,
        activation: Option<Activation>,
    ) -> Result<Tensor> {
        match (self, Activation::post_op(activation)) {
            (Self::Packed(packed), Some(post_op)) => packed.forward(x, post_op),
            (Self::Packed(packed), None) => {
                Activation::maybe(activation, packed.forward(x, PostOp::None)?)
            }
            (Self::Plain(conv), _) => Activation::maybe(activation, conv.forward(x)?),
        }
    }

    /// Adds the convolution of x to `other`, in one kernel where that is supported.
    ///
    /// # Errors
    /// As [`CompiledConv::forward`]; `other` has another shape than the result.
    pub fn forward_add(&self, x: &Tensor, other: &Tensor) -> Result<Tensor> {
        match self {
            Self::Packed(packed) => packed.forward_add(x, other),
            Self::Plain(conv) => conv.forward_add(x, other),
        }
    }
}

impl Convolution for CompiledConv {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)
    }

    fn forward_add(&self, x: &Tensor, other: &Tensor) -> Result<Tensor> {
        self.forward_add(x, other)
    }
}

/// A transposed 2-D convolution for inference.
#[derive(Debug, Clone)]
pub enum CompiledConvTranspose2d {
    /// libtorch's ordinary operation.
    Plain(ConvTranspose2d),
    /// Patches without overlap: a 1×1 convolution gives each pixel its k×k outputs.
    Patches {
        /// [B, inputs, H, W] → [B, k·k·outputs, H, W].
        conv: Box<CompiledConv>,
        /// k.
        kernel: i64,
    },
}

impl CompiledConvTranspose2d {
    pub(crate) fn patches(config: ConvConfig, weight: &Tensor, bias: &Tensor) -> Result<Self> {
        let ConvConfig { inputs, outputs, kernel, .. } = config;
        let all = outputs * kernel * kernel;
        // [inputs, outputs, k, k] -> [k, k, outputs, inputs]
        let rows = weight.f_permute([2, 3, 1, 0])?.f_reshape([all, inputs, 1, 1])?;
        let bias = bias.f_repeat([kernel * kernel])?;
        let conv = CompiledConv::new(ConvConfig::same(inputs, all, 1), &rows, &bias, true)?;
        Ok(Self::Patches { conv: Box::new(conv), kernel })
    }

    /// # Shapes
    /// As [`ConvTranspose2d::forward`].
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (conv, k) = match self {
            Self::Plain(conv) => return conv.forward(x),
            Self::Patches { conv, kernel } => (conv, *kernel),
        };
        let y = conv.forward(x)?.f_permute([0, 2, 3, 1])?; // [B, H, W, k·k·outputs]
        let [batch, height, width, all] = y.size()[..] else { return Ok(y) };
        let outputs = all / (k * k);
        let y = y.f_reshape([batch, height, width, k, k, outputs])?;
        let y = y.f_permute([0, 1, 3, 2, 4, 5])?; // [B, H, k, W, k, outputs]
        let y = y.f_reshape([batch, height * k, width * k, outputs])?;
        Ok(y.f_permute([0, 3, 1, 2])?)
    }
}

impl TransposedConvolution for CompiledConvTranspose2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)
    }
}

/// Convolution · GELU for inference, with BatchNorm folded into the convolution.
#[derive(Debug, Clone)]
pub struct CompiledConvUnit(pub(crate) CompiledConv);

impl Unit for CompiledConvUnit {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor> {
        self.0.forward_with_post_op(x, Some(Activation::Gelu))
    }
}

/// A normalisation for inference. Group and RMS normalisation are fused with their modulation and the
/// activation after it, where that is supported.
#[derive(Debug, Clone)]
pub struct CompiledNorm {
    norm: Norm,
    fuse: bool,
}

impl CompiledNorm {
    /// - norm: without gradients
    pub(crate) fn new(norm: Norm, fuse: bool) -> Self {
        Self { norm, fuse }
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward(x, Mode::Eval)
    }
}

impl Normalization for CompiledNorm {
    fn forward_modulated(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        activation: Option<Activation>,
        _: Mode,
    ) -> Result<Tensor> {
        let fused = match self.fuse {
            true => self.norm.fused(x, modulation, activation)?,
            false => None,
        };
        match fused {
            Some(y) => Ok(y),
            None => self.norm.forward_modulated(x, modulation, activation, Mode::Eval),
        }
    }
}

/// Self-attention for inference: all projections are 1×1 convolutions, and the channels stay
/// innermost in memory, so that nothing is copied.
#[derive(Debug, Clone)]
pub struct CompiledSelfAttention {
    pub(crate) norm: CompiledNorm,
    pub(crate) qkv: CompiledConv,
    pub(crate) order: HeadOrder,
    pub(crate) out: CompiledConv,
    pub(crate) heads: i64,
    pub(crate) divisor: f64,
}

impl CompiledSelfAttention {
    /// q, k and v as [B, heads, T, D], views of [B, H, W, 3·C].
    fn split(&self, qkv: &Tensor) -> Result<[Tensor; 3]> {
        let [batch, height, width, all] = qkv.size()[..] else {
            return Err(TorchError::message(format!("{:?} is not [B, H, W, 3·C]", qkv.size())));
        };
        self.order.split(&qkv.f_reshape([batch, height * width, all])?, self.heads)
    }

    /// x + out(attention(h)).
    ///
    /// - h: normalised x; both [B, C, H, W]
    fn attention(&self, h: &Tensor, x: &Tensor) -> Result<Tensor> {
        let qkv = self.qkv.forward(h)?.f_permute([0, 2, 3, 1])?; // [B, H, W, 3·C]
        let [batch, height, width, all] = qkv.size()[..] else { return Ok(qkv) };
        let [q, k, v] = self.split(&qkv)?;
        let h = attend(&q, &k, &v)?; // [B, heads, T, D]
        let h = h.f_transpose(1, 2)?.f_reshape([batch, height, width, all / 3])?;
        self.out.forward_add(&h.f_permute([0, 3, 1, 2])?, x)
    }
}

impl Block for CompiledSelfAttention {
    fn forward(&self, x: &Tensor, _: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        let h = self.norm.forward_modulated(x, &Modulation::None, None, mode)?;
        let sum = if x.dim() == 4 {
            self.attention(&h, x)?
        } else {
            // One or three axes: all positions in one axis of two.
            let size = x.size();
            let flat = [size[0], size[1], size[2..].iter().product(), 1];
            self.attention(&h.f_reshape(flat)?, &x.f_reshape(flat)?)?.f_reshape(&size[..])?
        };
        Ok(if self.divisor == 1.0 { sum } else { sum.f_div_scalar(self.divisor)? })
    }
}
