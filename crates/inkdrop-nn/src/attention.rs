//! Self-attention over all positions of an image, and its residual block.

use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_torch::{Result, TorchError, in_jvp};

use crate::compiled::Normalization;
use crate::modulation::Modulation;
use crate::{
    Block, BlockConditioning, CompileOptions, CompiledSelfAttention, Conv, ConvConfig, Linear,
    Mode, Norm, NormConfig, Scope,
};

/// softmax(q·kᵀ/√D)·v (Vaswani et al. 2017, eq. 1), in libtorch's fused form.
///
/// ```
/// use inkdrop_nn::{attend, attend_explicitly};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let q = Tensor::randn([2, 4, 64, 16], (Kind::Float, Device::Cpu));
/// let (fused, explicit) = (attend(&q, &q, &q)?, attend_explicitly(&q, &q, &q)?);
/// assert!(fused.allclose(&explicit, 1e-5, 1e-6, false));
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Shapes
/// - q, k, v: [B, heads, T, D]
/// - returns [B, heads, T, D]
///
/// # Errors
/// Shapes that do not fit.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    if in_jvp() {
        return attend_explicitly(q, k, v); // libtorch's fused kernel has no derivative in forward mode
    }
    // The fused kernel, which never holds T×T weights, needs D innermost in memory. Its fallback is 1.3 to
    // 3.6 times slower on the CPU.
    let innermost = |x: &Tensor| match x.stride().last() {
        Some(1) => Ok(x.shallow_clone()),
        _ => x.f_contiguous(),
    };
    let (q, k, v, mask) = (innermost(q)?, innermost(k)?, innermost(v)?, None::<&Tensor>);
    Ok(Tensor::f_scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, None, false)?)
}

/// [`attend`] spelled out as improved-diffusion does: q and k each divided by
/// D^(1/4), which half precision bears better, and the softmax in f32.
///
/// It keeps all T×T attention weights. The tests compare [`attend`] with it.
///
/// # Shapes
/// - q, k, v: [B, heads, T, D]
/// - returns [B, heads, T, D]
///
/// # Errors
/// Shapes that do not fit.
pub fn attend_explicitly(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let width = q.size().last().copied().unwrap_or(1) as f64;
    let scale = width.powf(-0.25);
    let scores = q.f_mul_scalar(scale)?.f_matmul(&k.f_mul_scalar(scale)?.f_transpose(-2, -1)?)?;
    let precise = if q.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let weights = scores.f_softmax(-1, precise)?.f_to_kind(q.kind())?;
    Ok(weights.f_matmul(v)?)
}

/// Configuration of a self-attention block.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionConfig {
    /// Channels in and out.
    pub channels: i64,
    /// Number of attention heads; divides `inner`.
    pub heads: i64,
    /// Channels of q, k and v each; differs from `channels` only for odd head sizes of diffusers.
    pub inner: i64,
    /// Normalisation before the projections.
    pub norm: NormConfig,
    /// Form of the projections to q, k and v.
    pub projection: Projection,
    /// Initialises the output projection with zeros, so that the block starts as the identity.
    pub zero_out: bool,
    /// Divides the residual sum; 1 leaves it as it is.
    pub divisor: f64,
    /// Names of the layers.
    pub keys: AttentionKeys,
}

/// Form of the projections from x to q, k and v.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// One 1×1 convolution for q, k and v together.
    Fused {
        /// Axes of the kernel: 1 or 2.
        dims: usize,
        /// Order of the outputs.
        order: HeadOrder,
    },
    /// Three linear layers (diffusers).
    Separate,
}

/// Order of the 3·C output channels of a fused projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadOrder {
    /// (head, q|k|v, D): improved-diffusion's, later called legacy.
    HeadsFirst,
    /// (q|k|v, head, D): guided-diffusion's new order.
    PartsFirst,
    /// (head, D, q|k|v): EDM's.
    PartsLast,
}

/// Names of the layers of an attention block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionKeys {
    /// The normalisation.
    pub norm: &'static str,
    /// The projections to q, k and v; the same name three times for a joint projection.
    pub qkv: [&'static str; 3],
    /// The output projection.
    pub out: &'static str,
}

impl AttentionKeys {
    /// `norm`, `qkv`, `proj_out`.
    pub const IMPROVED: Self = Self { norm: "norm", qkv: ["qkv"; 3], out: "proj_out" };
    /// `norm`, `to_qkv`, `to_out`.
    pub const DDPM: Self = Self { norm: "norm", qkv: ["to_qkv"; 3], out: "to_out" };
    /// `norm2`, `qkv`, `proj`: the end of EDM's UNetBlock.
    pub const EDM: Self = Self { norm: "norm2", qkv: ["qkv"; 3], out: "proj" };
    /// `group_norm`, `to_q`, `to_k`, `to_v`, `to_out.0`.
    pub const DIFFUSERS: Self =
        Self { norm: "group_norm", qkv: ["to_q", "to_k", "to_v"], out: "to_out.0" };
}

impl HeadOrder {
    /// Splits the channels, the last axis, into q, k and v.
    ///
    /// # Shapes
    /// - qkv: [B, T, 3·C]
    /// - returns [B, heads, T, D] three times
    ///
    /// # Errors
    /// The heads do not divide the channels.
    pub fn split(self, qkv: &Tensor, heads: i64) -> Result<[Tensor; 3]> {
        let [batch, positions, all] = qkv.size()[..] else {
            return Err(TorchError::message(format!("{:?} is not [B, T, 3·C]", qkv.size())));
        };
        let head = all / (3 * heads);
        let (shape, part) = match self {
            Self::HeadsFirst => ([batch, positions, heads, 3, head], 3),
            Self::PartsFirst => ([batch, positions, 3, heads, head], 2),
            Self::PartsLast => ([batch, positions, heads, head, 3], 4),
        };
        let qkv = qkv.f_reshape(shape)?;
        let one = |i| -> Result<Tensor> { Ok(qkv.f_select(part, i)?.f_transpose(1, 2)?) };
        Ok([one(0)?, one(1)?, one(2)?])
    }
}

impl AttentionConfig {
    /// improved-diffusion's AttentionBlock: GroupNorm32, several heads in the legacy order.
    pub fn improved(channels: i64, heads: i64) -> Self {
        Self {
            channels,
            heads,
            inner: channels,
            norm: NormConfig::groups(32),
            projection: Projection::Fused { dims: 1, order: HeadOrder::HeadsFirst },
            zero_out: true,
            divisor: 1.0,
            keys: AttentionKeys::IMPROVED,
        }
    }

    /// nanodiffusion's AttentionBlock: one head, nothing zeroed.
    pub fn ddpm(channels: i64, norm: NormConfig) -> Self {
        Self {
            norm,
            projection: Projection::Fused { dims: 2, order: HeadOrder::PartsFirst },
            zero_out: false,
            keys: AttentionKeys::DDPM,
            ..Self::improved(channels, 1)
        }
    }
}

/// Projections to q, k and v.
#[derive(Debug, Clone)]
enum ToQkv {
    Fused { conv: Conv, order: HeadOrder },
    Separate([Linear; 3]),
}

/// The output projection.
#[derive(Debug, Clone)]
enum ToOut {
    Conv(Conv),
    Linear(Linear),
}

/// Self-attention block: x + out(attention(norm(x))), over all positions of x.
///
/// It is improved-diffusion's and nanodiffusion's AttentionBlock, and diffusers' Attention.
///
/// ```
/// use inkdrop_nn::{AttentionConfig, Params, SelfAttention};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let block = SelfAttention::new(&mut params.root(), &AttentionConfig::improved(64, 4))?;
/// let x = Tensor::randn([2, 64, 8, 6], (Kind::Float, Device::Cpu));
/// // Its output projection starts at 0: the block starts as the identity.
/// assert_eq!(block.apply(&x, inkdrop_nn::Mode::Eval)?, x);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SelfAttention {
    norm: Norm,
    qkv: ToQkv,
    out: ToOut,
    heads: i64,
    divisor: f64,
}

impl SelfAttention {
    /// A block with PyTorch's default initialisation.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: &AttentionConfig) -> Result<Self> {
        let AttentionConfig { channels, inner, keys, .. } = *config;
        let norm = Norm::new(&mut scope.sub(keys.norm), config.norm, channels)?;
        let (qkv, out) = match config.projection {
            Projection::Fused { dims, order } => {
                let to_qkv = ConvConfig::same(channels, 3 * inner, 1).over(dims);
                let to_out = ConvConfig::same(inner, channels, 1).over(dims);
                let conv = Conv::new(&mut scope.sub(keys.qkv[0]), to_qkv)?;
                let new = if config.zero_out { Conv::new_zero } else { Conv::new };
                let out = new(&mut scope.sub(keys.out), to_out)?;
                (ToQkv::Fused { conv, order }, ToOut::Conv(out))
            }
            Projection::Separate => {
                let mut linear = |key, i, o| Linear::in_torso(&mut scope.sub(key), i, o);
                let [q, k, v] = keys.qkv;
                let q = linear(q, channels, inner)?;
                let k = linear(k, channels, inner)?;
                let v = linear(v, channels, inner)?;
                let out = linear(keys.out, inner, channels)?;
                (ToQkv::Separate([q, k, v]), ToOut::Linear(out))
            }
        };
        Ok(Self { norm, qkv, out, heads: config.heads, divisor: config.divisor })
    }

    /// Compiles the block for inference.
    pub(crate) fn compile(&self, options: &CompileOptions) -> Result<CompiledSelfAttention> {
        let pack = options.pack;
        let (qkv, order) = match &self.qkv {
            ToQkv::Fused { conv, order } => (conv.as_pointwise(pack)?, *order),
            ToQkv::Separate([q, k, v]) => {
                (Linear::as_pointwise(&[q, k, v], pack)?, HeadOrder::PartsFirst)
            }
        };
        let out = match &self.out {
            ToOut::Conv(conv) => conv.as_pointwise(pack)?,
            ToOut::Linear(linear) => Linear::as_pointwise(&[linear], pack)?,
        };
        let (norm, heads, divisor) = (self.norm.compile(pack)?, self.heads, self.divisor);
        Ok(CompiledSelfAttention { norm, qkv, order, out, heads, divisor })
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels.
    pub fn apply(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let h = self.norm.forward_modulated(x, &Modulation::None, None, mode)?;
        let tokens = h.f_flatten(2, -1)?.f_transpose(1, 2)?; // [B, T, C]
        let [q, k, v] = self.split(&tokens)?;
        let h = attend(&q, &k, &v)?; // self-attention, [B, heads, T, D]
        let h = h.f_transpose(1, 2)?.f_flatten(2, 3)?; // [B, T, heads·D]
        let h = match &self.out {
            ToOut::Conv(conv) => conv.pointwise(&h)?,
            ToOut::Linear(linear) => linear.forward(&h)?,
        };
        let sum = x.f_add(&h.f_transpose(1, 2)?.f_reshape(x.size())?)?;
        Ok(if self.divisor == 1.0 { sum } else { sum.f_div_scalar(self.divisor)? })
    }

    /// q, k and v of [B, T, C], as [B, heads, T, D].
    fn split(&self, tokens: &Tensor) -> Result<[Tensor; 3]> {
        let (batch, positions, heads) = (tokens.size()[0], tokens.size()[1], self.heads);
        match &self.qkv {
            ToQkv::Fused { conv, order } => order.split(&conv.pointwise(tokens)?, heads),
            ToQkv::Separate([q, k, v]) => {
                let split = |linear: &Linear| -> Result<Tensor> {
                    let y = linear.forward(tokens)?;
                    let width = y.size()[2] / heads;
                    Ok(y.f_view([batch, positions, heads, width])?.f_transpose(1, 2)?)
                };
                Ok([split(q)?, split(k)?, split(v)?])
            }
        }
    }
}

impl Block for SelfAttention {
    fn forward(&self, x: &Tensor, _: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        self.apply(x, mode)
    }
}
