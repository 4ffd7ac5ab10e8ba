//! Attention of lucidrains' U-Nets: linear or full, with learned memory beside the positions.

use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_torch::{Result, TorchError};

use crate::compiled::{Compiled, Convolution, Form, Normalization, Trained};
use crate::modulation::Modulation;
use crate::{
    Block, BlockConditioning, CompileOptions, Conv, ConvConfig, Init, Mode, Norm, NormConfig,
    Scope, Weight, attend,
};

/// Configuration of a [`MemoryAttention`] block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryAttentionConfig {
    /// Number of axes of the image: 1 or 2.
    pub dims: usize,
    /// Channels in and out.
    pub channels: i64,
    /// Number of attention heads; ≥ 1.
    pub heads: i64,
    /// Channels of each head; ≥ 1.
    pub head_channels: i64,
    /// Linear attention (Katharopoulos et al. 2020; Shen et al. 2021), whose work grows with the number
    /// of positions. If false, full attention, whose work grows with its square.
    pub linear: bool,
    /// Keys and values that are learned, beside those of the positions; 0 for none.
    pub memory: i64,
    /// Names of the layers: the normalisation, and what is below the attention itself.
    pub keys: MemoryAttentionKeys,
}

/// Names of the layers of a [`MemoryAttention`] block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryAttentionKeys {
    /// The normalisation.
    pub norm: &'static str,
    /// Memory.
    pub memory: &'static str,
    /// Projection to q, k and v.
    pub qkv: &'static str,
    /// Output projection of full attention, whose bias has the same prefix.
    pub out: &'static str,
    /// Output projection of linear attention.
    pub linear_out: &'static str,
    /// Normalisation after it.
    pub linear_norm: &'static str,
}

impl MemoryAttentionKeys {
    /// Names of release 2 of denoising-diffusion-pytorch.
    pub const PLAIN: Self = Self {
        norm: "norm",
        memory: "mem_kv",
        qkv: "to_qkv",
        out: "to_out",
        linear_out: "to_out.0",
        linear_norm: "to_out.1",
    };
    /// Names inside its two wrappers `Residual` and `PreNorm`, the older layout.
    pub const WRAPPED: Self = Self {
        norm: "fn.norm",
        memory: "fn.fn.mem_kv",
        qkv: "fn.fn.to_qkv",
        out: "fn.fn.to_out",
        linear_out: "fn.fn.to_out.0",
        linear_norm: "fn.fn.to_out.1",
    };
}

impl MemoryAttentionConfig {
    /// Channels of q, k and v each.
    pub fn inner(&self) -> i64 {
        self.heads * self.head_channels
    }

    /// The projection to q, k and v.
    pub fn qkv(&self) -> ConvConfig {
        ConvConfig::same(self.channels, 3 * self.inner(), 1).over(self.dims).without_bias()
    }

    /// The output projection.
    pub fn out(&self) -> ConvConfig {
        ConvConfig::same(self.inner(), self.channels, 1).over(self.dims)
    }

    /// Shape of the memory: keys, then values. The two forms differ in the order of their last axes.
    pub fn memory_shape(&self) -> [i64; 4] {
        match self.linear {
            true => [2, self.heads, self.head_channels, self.memory],
            false => [2, self.heads, self.memory, self.head_channels],
        }
    }
}

/// Attention block x + out(attention(norm(x))) over all positions of x and the memory.
///
/// Full attention is softmax(q·kᵀ/√D)·v. Linear attention is softmax(q)·(softmax(k)ᵀ·v)/√D, with q
/// normalised over its channels and k over the positions (Shen et al. 2021), and a normalisation after
/// the output projection.
///
/// ```
/// use inkdrop_nn::{
///     Block, BlockConditioning, MemoryAttention, MemoryAttentionConfig, MemoryAttentionKeys, Mode,
///     Params,
/// };
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let config = MemoryAttentionConfig {
///     dims: 2,
///     channels: 16,
///     heads: 4,
///     head_channels: 8,
///     linear: true,
///     memory: 4,
///     keys: MemoryAttentionKeys::PLAIN,
/// };
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let block = MemoryAttention::new(&mut params.root(), &config)?;
/// let x = Tensor::randn([2, 16, 8, 6], (Kind::Float, Device::Cpu));
/// let out = block.forward(&x, &BlockConditioning::default(), Mode::Eval)?;
/// assert_eq!(out.size(), x.size());
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryAttention<F: Form = Trained> {
    norm: F::Norm,
    memory: Option<Weight>,
    qkv: F::Conv,
    out: F::Conv,
    /// After the output projection of linear attention.
    out_norm: Option<F::Norm>,
    config: MemoryAttentionConfig,
}

impl MemoryAttention {
    /// A block with PyTorch's default initialisation; the memory is drawn from N(0, 1).
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: &MemoryAttentionConfig) -> Result<Self> {
        let MemoryAttentionConfig { dims, channels, linear, keys, .. } = *config;
        let rms = NormConfig::rms(dims);
        let shape = config.memory_shape();
        let memory = (config.memory > 0)
            .then(|| scope.torso_weight(keys.memory, &shape, Init::Normal))
            .transpose()?;
        let norm = Norm::new(&mut scope.sub(keys.norm), rms, channels)?;
        let qkv = Conv::new(&mut scope.sub(keys.qkv), config.qkv())?;
        let out = if linear { keys.linear_out } else { keys.out };
        let out = Conv::new(&mut scope.sub(out), config.out())?;
        let out_norm = linear
            .then(|| Norm::new(&mut scope.sub(keys.linear_norm), rms, channels))
            .transpose()?;
        Ok(Self { norm, memory, qkv, out, out_norm, config: *config })
    }

    /// Compiles the block for inference.
    pub(crate) fn compile(&self, options: &CompileOptions) -> Result<MemoryAttention<Compiled>> {
        let pack = options.pack;
        Ok(MemoryAttention {
            norm: self.norm.compile(pack)?,
            memory: self.memory.as_ref().map(Weight::detached).transpose()?,
            qkv: self.qkv.compile(pack)?,
            out: self.out.compile(pack)?,
            out_norm: self.out_norm.as_ref().map(|norm| norm.compile(pack)).transpose()?,
            config: self.config,
        })
    }
}

impl<F: Form> MemoryAttention<F> {
    /// q, and k and v behind the memory, as [B, heads, T, D].
    ///
    /// - qkv: [B, 3·heads·D, ...]
    fn split(&self, qkv: &Tensor) -> Result<[Tensor; 3]> {
        let tokens = qkv.f_flatten(2, -1)?.f_transpose(1, 2)?; // [B, T, 3·heads·D]
        let [batch, positions, _] = tokens.size()[..] else {
            return Err(TorchError::message(format!("{:?} is not [B, C, ...]", qkv.size())));
        };
        let MemoryAttentionConfig { heads, head_channels, linear, .. } = self.config;
        let parts = tokens.f_reshape([batch, positions, 3, heads, head_channels])?;
        let part = |i| -> Result<Tensor> { Ok(parts.f_select(2, i)?.f_transpose(1, 2)?) };
        let behind_memory = |i: i64| -> Result<Tensor> {
            let own = part(i)?;
            let Some(memory) = &self.memory else { return Ok(own) };
            let rows = memory.f_select(0, i - 1)?.f_to_kind(own.kind())?;
            let rows = if linear { rows.f_transpose(1, 2)? } else { rows }; // [heads, M, D]
            let rows = rows.f_unsqueeze(0)?.f_expand([batch, -1, -1, -1], false)?;
            Ok(Tensor::f_cat(&[&rows, &own], 2)?)
        };
        Ok([part(0)?, behind_memory(1)?, behind_memory(2)?])
    }
}

/// softmax(q)·(softmax(k)ᵀ·v)/√D, with q normalised over D and k over T (Shen et al. 2021).
///
/// # Shapes
/// - q: [B, heads, T, D]; k, v: [B, heads, T', D]
/// - returns [B, heads, T, D]
fn attend_linearly(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let width = q.size().last().copied().unwrap_or(1) as f64;
    let precise = if q.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let softmax = |x: &Tensor, axis| x.f_softmax(axis, precise)?.f_to_kind(x.kind());
    let q = softmax(q, -1)?.f_mul_scalar(width.powf(-0.5))?;
    let context = softmax(k, -2)?.f_transpose(-2, -1)?.f_matmul(v)?; // [B, heads, D, D]
    Ok(q.f_matmul(&context)?)
}

impl<F: Form> Block for MemoryAttention<F> {
    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    fn forward(&self, x: &Tensor, _: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        let h = self.norm.forward_modulated(x, &Modulation::None, None, mode)?;
        let [q, k, v] = self.split(&self.qkv.forward(&h)?)?;
        let attend = if self.config.linear { attend_linearly } else { attend };
        let h = attend(&q, &k, &v)?.f_transpose(1, 2)?; // [B, T, heads, D]
        let mut shape = x.size();
        shape.remove(1);
        shape.push(self.config.inner());
        let h = h.f_reshape(&shape[..])?.f_movedim_int(-1, 1)?; // channels stay innermost
        match &self.out_norm {
            None => self.out.forward_add(&h, x),
            Some(norm) => {
                let h = self.out.forward(&h)?;
                Ok(norm.forward_modulated(&h, &Modulation::None, None, mode)?.f_add(x)?)
            }
        }
    }
}
