//! The attention block: norm, projections, attention, projection, residual.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use super::{attend, attend_as_they_lie};
use crate::norm::Modulation;
use crate::{
    Block, BlockConditioning, Conv, ConvConfig, Inference, Linear, Mode, Norm, NormConfig, Scope,
};

/// How an attention block is made.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionConfig {
    /// Channels in and out.
    pub channels: i64,
    /// Attentions side by side; they divide the inner width.
    pub heads: i64,
    /// Channels of q, k and v each: `channels` but for odd head sizes of diffusers.
    pub inner: i64,
    /// Normalisation before the projections.
    pub norm: NormConfig,
    /// What the projections to q, k and v are.
    pub projection: Projection,
    /// The last projection starts at 0, so that the block starts as the identity.
    pub zero_out: bool,
    /// The sum is divided by this; 1 for none.
    pub divisor: f64,
    /// Names of the layers.
    pub keys: AttentionKeys,
}

/// What makes q, k and v of x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// One 1×1 convolution with a kernel of this many axes; its outputs are in this order.
    Joint {
        /// Axes of the kernel: 1 or 2.
        dims: usize,
        /// Order of the outputs.
        order: HeadOrder,
    },
    /// Three linear layers (diffusers).
    Separate,
}

/// Order of the 3·C outputs of a joint projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadOrder {
    /// (head, q|k|v, D): improved-diffusion's, called legacy since.
    HeadsFirst,
    /// (q|k|v, head, D): guided-diffusion's new order.
    PartsFirst,
}

/// Names of the layers of an attention block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionKeys {
    /// The normalisation.
    pub norm: &'static str,
    /// The joint projection, or those to q, k and v.
    pub qkv: [&'static str; 3],
    /// The last projection.
    pub out: &'static str,
}

impl AttentionKeys {
    /// `norm`, `qkv`, `proj_out`.
    pub const IMPROVED: Self = Self { norm: "norm", qkv: ["qkv"; 3], out: "proj_out" };
    /// `norm`, `to_qkv`, `to_out`.
    pub const DDPM: Self = Self { norm: "norm", qkv: ["to_qkv"; 3], out: "to_out" };
    /// `group_norm`, `to_q`, `to_k`, `to_v`, `to_out.0`.
    pub const DIFFUSERS: Self =
        Self { norm: "group_norm", qkv: ["to_q", "to_k", "to_v"], out: "to_out.0" };
}

impl AttentionConfig {
    /// improved-diffusion's AttentionBlock: GroupNorm32, several heads in the legacy order.
    pub fn improved(channels: i64, heads: i64) -> Self {
        Self {
            channels,
            heads,
            inner: channels,
            norm: NormConfig::groups(32),
            projection: Projection::Joint { dims: 1, order: HeadOrder::HeadsFirst },
            zero_out: true,
            divisor: 1.0,
            keys: AttentionKeys::IMPROVED,
        }
    }

    /// nanodiffusion's AttentionBlock: one head, nothing zeroed.
    pub fn ddpm(channels: i64, norm: NormConfig) -> Self {
        Self {
            norm,
            projection: Projection::Joint { dims: 2, order: HeadOrder::PartsFirst },
            zero_out: false,
            keys: AttentionKeys::DDPM,
            ..Self::improved(channels, 1)
        }
    }
}

/// Projections to q, k and v.
#[derive(Debug, Clone)]
enum ToQkv {
    Joint { conv: Conv, order: HeadOrder },
    Separate([Linear; 3]),
}

/// The last projection.
#[derive(Debug, Clone)]
enum ToOut {
    Conv(Conv),
    Linear(Linear),
}

/// x + out(attention(norm(x))), over all places of x.
///
/// improved-diffusion's and nanodiffusion's AttentionBlock, and diffusers' Attention.
///
/// ```
/// use inkdrop_nn::{AttentionConfig, Params, SelfAttention};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let block = SelfAttention::new(&mut params.root(), &AttentionConfig::improved(64, 4))?;
/// let x = Tensor::randn([2, 64, 8, 6], (Kind::Float, Device::Cpu));
/// // Its last projection starts at 0: the block starts as the identity.
/// assert_eq!(block.apply(&x, inkdrop_nn::Mode::Eval)?, x);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SelfAttention {
    norm: Norm,
    form: Form,
    heads: i64,
    divisor: f64,
}

/// The layers round the attention.
#[derive(Debug, Clone)]
enum Form {
    /// As the originals name and shape them.
    Trained { qkv: ToQkv, out: ToOut },
    /// For inference: 1×1 convolutions over two axes, whatever they were.
    Places { qkv: Conv, order: HeadOrder, out: Conv },
}

impl SelfAttention {
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: &AttentionConfig) -> Result<Self> {
        let AttentionConfig { channels, inner, keys, .. } = *config;
        let norm = Norm::new(&mut scope.sub(keys.norm), config.norm, channels)?;
        let (qkv, out) = match config.projection {
            Projection::Joint { dims, order } => {
                let to_qkv = ConvConfig::same(channels, 3 * inner, 1).over(dims);
                let to_out = ConvConfig::same(inner, channels, 1).over(dims);
                let conv = Conv::new(&mut scope.sub(keys.qkv[0]), to_qkv)?;
                let out = Conv::new(&mut scope.sub(keys.out), to_out)?;
                let out = if config.zero_out { out.zeroed()? } else { out };
                (ToQkv::Joint { conv, order }, ToOut::Conv(out))
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
        let form = Form::Trained { qkv, out };
        Ok(Self { norm, form, heads: config.heads, divisor: config.divisor })
    }

    /// The same block for inference.
    pub(crate) fn for_inference(&self, options: &Inference) -> Result<Self> {
        let pack = options.pack;
        let form = match &self.form {
            Form::Trained { qkv: ToQkv::Joint { conv, order }, out: ToOut::Conv(out) } => {
                let (qkv, out) = (conv.as_pointwise(pack)?, out.as_pointwise(pack)?);
                Form::Places { qkv, order: *order, out }
            }
            Form::Trained { qkv: ToQkv::Separate([q, k, v]), out: ToOut::Linear(out) } => {
                let qkv = Linear::as_pointwise(&[q, k, v], pack)?;
                let out = Linear::as_pointwise(&[out], pack)?;
                Form::Places { qkv, order: HeadOrder::PartsFirst, out }
            }
            other => other.clone(),
        };
        let norm = self.norm.for_inference(pack)?;
        Ok(Self { norm, form, heads: self.heads, divisor: self.divisor })
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels.
    pub fn apply(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let normed = self.norm.forward_modulated(x, &Modulation::None, None, mode)?;
        let sum = match &self.form {
            Form::Places { qkv, order, out } => {
                self.as_pointwise(&normed, x, (qkv, *order), out)?
            }
            Form::Trained { qkv, out } => {
                let [q, k, v] = self.split(qkv, &normed)?;
                let h = attend(&q, &k, &v)?; // [B, heads, T, D]
                merge(out, &h, x)?.f_add(x)?
            }
        };
        Ok(if self.divisor == 1.0 { sum } else { sum.f_div_scalar(self.divisor)? })
    }

    /// x + out(attention(normed)) with the channels innermost throughout, so that nothing is copied.
    fn as_pointwise(
        &self,
        normed: &Tensor,
        x: &Tensor,
        (qkv, order): (&Conv, HeadOrder),
        out: &Conv,
    ) -> Result<Tensor> {
        let (size, heads) = (x.size(), self.heads);
        let flat = |x: &Tensor| -> Result<Tensor> {
            Ok(if x.dim() == 4 {
                x.shallow_clone()
            } else {
                x.f_reshape([size[0], size[1], places(x), 1])?
            })
        };
        let qkv = qkv.forward(&flat(normed)?)?.f_permute([0, 2, 3, 1])?; // [B, H, W, 3·C]
        let [batch, height, width, all] = qkv.size()[..] else { return Ok(qkv) };
        let (shape, part) = match order {
            HeadOrder::HeadsFirst => ([batch, height * width, heads, 3, all / (3 * heads)], 3),
            HeadOrder::PartsFirst => ([batch, height * width, 3, heads, all / (3 * heads)], 2),
        };
        let qkv = qkv.f_reshape(shape)?;
        let one = |i| -> Result<Tensor> { Ok(qkv.f_select(part, i)?.f_transpose(1, 2)?) };
        let h = attend_as_they_lie(&one(0)?, &one(1)?, &one(2)?)?; // [B, heads, T, D]
        let h = h.f_transpose(1, 2)?.f_reshape([batch, height, width, all / 3])?;
        let sum = out.forward_add(&h.f_permute([0, 3, 1, 2])?, &flat(x)?)?;
        Ok(if x.dim() == 4 { sum } else { sum.f_reshape(&size[..])? })
    }

    /// q, k and v as [B, heads, T, D].
    fn split(&self, qkv: &ToQkv, x: &Tensor) -> Result<[Tensor; 3]> {
        let (batch, channels, heads) = (x.size()[0], x.size()[1], self.heads);
        let places = places(x);
        match qkv {
            ToQkv::Joint { conv, order } => {
                let x = if conv.dims() == 1 {
                    x.f_reshape([batch, channels, places])?
                } else {
                    x.shallow_clone()
                };
                let qkv = conv.forward(&x)?;
                let (shape, part) = match order {
                    HeadOrder::HeadsFirst => {
                        ([batch, heads, 3, qkv.size()[1] / (3 * heads), places], 2)
                    }
                    HeadOrder::PartsFirst => {
                        ([batch, 3, heads, qkv.size()[1] / (3 * heads), places], 1)
                    }
                };
                let qkv = qkv.f_reshape(shape)?.f_transpose(3, 4)?;
                Ok([qkv.f_select(part, 0)?, qkv.f_select(part, 1)?, qkv.f_select(part, 2)?])
            }
            ToQkv::Separate([q, k, v]) => {
                let x = x.f_reshape([batch, channels, places])?.f_transpose(1, 2)?; // [B, T, C]
                let split = |linear: &Linear| -> Result<Tensor> {
                    let y = linear.forward(&x)?;
                    let width = y.size()[2] / heads;
                    Ok(y.f_view([batch, places, heads, width])?.f_transpose(1, 2)?)
                };
                Ok([split(q)?, split(k)?, split(v)?])
            }
        }
    }
}

/// [B, heads, T, D] through the last projection into the shape of x.
fn merge(out: &ToOut, h: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (batch, shape) = (x.size()[0], x.size());
    match out {
        ToOut::Conv(out) => {
            let h = h.f_transpose(2, 3)?; // [B, heads, D, T]
            let inner = h.size()[1] * h.size()[2];
            if out.dims() == 1 {
                let h = out.forward(&h.f_reshape([batch, inner, places(x)])?)?;
                return Ok(h.f_view(&shape[..])?);
            }
            let mut places = vec![batch, inner];
            places.extend(&shape[2..]);
            out.forward(&h.f_reshape(&places[..])?)
        }
        ToOut::Linear(out) => {
            let h = h.f_transpose(1, 2)?.f_flatten(2, 3)?; // [B, T, C]
            Ok(out.forward(&h)?.f_transpose(1, 2)?.f_reshape(&shape[..])?)
        }
    }
}

/// T: how many places an image has.
fn places(x: &Tensor) -> i64 {
    x.size()[2..].iter().product()
}

impl Block for SelfAttention {
    fn forward(&self, x: &Tensor, _signal: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        self.apply(x, mode)
    }
}
