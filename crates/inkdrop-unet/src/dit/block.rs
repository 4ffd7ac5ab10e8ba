//! The block of DiT and its adaptive layer norm.

use inkdrop_nn::{
    Block, BlockConditioning, CompiledLinear, HeadOrder, Linear, Mode, RotaryEmbedding, Scope,
    TokenNorm, attend,
};
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{Result, TorchError};

use super::DitConfig;

/// Projection of the activated embedding to N vectors: shifts, scales and gates (adaLN-Zero, Peebles & Xie 2023,
/// section 3.2).
#[derive(Debug, Clone)]
pub(super) enum AdaLn<const N: usize> {
    /// The block's own layer, which starts at 0.
    Layer(Linear),
    /// Columns of the rows that all blocks share, from this one on; compiled.
    Columns { first: i64, width: i64 },
}

/// The projections of all blocks, to be computed as one.
#[derive(Debug, Default)]
pub(super) struct Projections {
    pub layers: Vec<Linear>,
    width: i64,
}

impl<const N: usize> AdaLn<N> {
    pub fn new(scope: &mut Scope, features: i64) -> Result<Self> {
        let scope = &mut scope.sub("adaLN_modulation");
        Ok(Self::Layer(Linear::new_zero(&mut scope.sub(1), features, N as i64 * features)?))
    }

    /// Moves the projection to those of all blocks.
    pub fn compile(&self, features: i64, all: &mut Projections) -> Self {
        let Self::Layer(layer) = self else { return self.clone() };
        let (first, width) = (all.width, N as i64 * features);
        all.layers.push(layer.clone());
        all.width += width;
        Self::Columns { first, width }
    }

    /// The vectors, [B, 1, D] each, or [1, 1, D] for all images.
    pub fn vectors(&self, conditioning: &BlockConditioning) -> Result<[Tensor; N]> {
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
        let vectors = rows.f_unsqueeze(1)?.f_chunk(N as i64, -1)?;
        vectors
            .try_into()
            .map_err(|_| TorchError::message("a projection is too narrow".to_string()))
    }
}

/// A fully connected layer on tokens, in training or compiled.
#[derive(Debug, Clone)]
pub(super) enum TokenLinear {
    Trained(Linear),
    Compiled(CompiledLinear),
}

impl TokenLinear {
    pub fn compile(&self, pack: bool) -> Result<Self> {
        Ok(match self {
            Self::Trained(linear) => Self::Compiled(linear.compile(pack)?),
            compiled @ Self::Compiled(_) => compiled.clone(),
        })
    }

    /// [B, T, inputs] → [B, T, outputs]
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Trained(linear) => linear.forward(x),
            Self::Compiled(linear) => linear.forward(x),
        }
    }
}

/// The norm of tokens that a network uses, under this key if it has factors.
pub(super) fn token_norm(scope: &mut Scope, key: &str, config: &DitConfig) -> Result<TokenNorm> {
    if config.rms_norm {
        return TokenNorm::rms(&mut scope.sub(key), config.features);
    }
    Ok(TokenNorm::Layer)
}

/// The MLP of a block.
#[derive(Debug, Clone)]
enum TokenMlp {
    /// fc2·GELU(fc1·x), with tanh.
    Gelu([TokenLinear; 2]),
    /// w3·(SiLU(a)·b), with (a, b) = w12·x (Shazeer 2020, eq. 6).
    SwiGlu([TokenLinear; 2]),
}

impl TokenMlp {
    fn new(scope: &mut Scope, config: &DitConfig) -> Result<Self> {
        let (width, hidden) = (config.features, config.hidden());
        let mut linear = |name: &str, inputs, outputs| {
            let linear = Linear::in_torso(&mut scope.sub(name), inputs, outputs)?;
            Ok::<_, TorchError>(TokenLinear::Trained(linear))
        };
        Ok(match config.swiglu {
            false => Self::Gelu([linear("fc1", width, hidden)?, linear("fc2", hidden, width)?]),
            true => Self::SwiGlu([linear("w12", width, 2 * hidden)?, linear("w3", hidden, width)?]),
        })
    }

    fn compile(&self, pack: bool) -> Result<Self> {
        let both = |[first, last]: &[TokenLinear; 2]| {
            Ok::<_, TorchError>([first.compile(pack)?, last.compile(pack)?])
        };
        Ok(match self {
            Self::Gelu(layers) => Self::Gelu(both(layers)?),
            Self::SwiGlu(layers) => Self::SwiGlu(both(layers)?),
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu([fc1, fc2]) => fc2.forward(&fc1.forward(x)?.f_gelu("tanh")?),
            Self::SwiGlu([w12, w3]) => {
                let both = w12.forward(x)?;
                let half = both.size().last().copied().unwrap_or(0) / 2;
                let gate = both.f_narrow(-1, 0, half)?.f_silu()?;
                w3.forward(&gate.f_mul(&both.f_narrow(-1, half, half)?)?)
            }
        }
    }
}

/// Self-attention of a block.
#[derive(Debug, Clone)]
struct TokenAttention {
    /// Of the queries and of the keys, over the channels of a head.
    norms: Option<[TokenNorm; 2]>,
    rotary: Option<RotaryEmbedding>,
    qkv: TokenLinear,
    proj: TokenLinear,
    heads: i64,
}

impl TokenAttention {
    fn new(scope: &mut Scope, config: &DitConfig, rotary: Option<RotaryEmbedding>) -> Result<Self> {
        let (width, heads) = (config.features, config.heads);
        let mut norm = |key: &str| TokenNorm::rms(&mut scope.sub(key), width / heads);
        let norms = match config.qk_norm {
            true => Some([norm("q_norm")?, norm("k_norm")?]),
            false => None,
        };
        let mut linear = |name: &str, outputs| {
            let linear = Linear::in_torso(&mut scope.sub(name), width, outputs)?;
            Ok::<_, TorchError>(TokenLinear::Trained(linear))
        };
        let (qkv, proj) = (linear("qkv", 3 * width)?, linear("proj", width)?);
        Ok(Self { norms, rotary, qkv, proj, heads })
    }

    fn compile(&self, pack: bool) -> Result<Self> {
        let norms = match &self.norms {
            Some([q, k]) => Some([q.detached()?, k.detached()?]),
            None => None,
        };
        let (qkv, proj) = (self.qkv.compile(pack)?, self.proj.compile(pack)?);
        Ok(Self { norms, rotary: self.rotary.clone(), qkv, proj, heads: self.heads })
    }

    /// [B, T, D] → [B, T, D]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [mut q, mut k, v] = HeadOrder::PartsFirst.split(&self.qkv.forward(x)?, self.heads)?;
        if let Some([q_norm, k_norm]) = &self.norms {
            (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
        }
        if let Some(rotary) = &self.rotary {
            (q, k) = (rotary.forward(&q)?, rotary.forward(&k)?);
        }
        let h = attend(&q, &k, &v)?; // [B, heads, T, D/heads]
        self.proj.forward(&h.f_transpose(1, 2)?.f_flatten(2, 3)?)
    }
}

/// The block of DiT (Peebles & Xie 2023, figure 3): self-attention and an MLP, each behind a modulated norm and a
/// gate that starts at 0.
#[derive(Debug, Clone)]
pub(super) struct DitBlock {
    modulation: AdaLn<6>,
    norms: [TokenNorm; 2],
    attention: TokenAttention,
    mlp: TokenMlp,
}

impl DitBlock {
    /// - rotary: the positions of its tokens, for a network with rotary positions
    pub fn new(
        scope: &mut Scope,
        config: &DitConfig,
        rotary: Option<RotaryEmbedding>,
    ) -> Result<Self> {
        let norm1 = token_norm(scope, "norm1", config)?;
        let attention = TokenAttention::new(&mut scope.sub("attn"), config, rotary)?;
        let norm2 = token_norm(scope, "norm2", config)?;
        let mlp = TokenMlp::new(&mut scope.sub("mlp"), config)?;
        let modulation = AdaLn::new(scope, config.features)?;
        Ok(Self { modulation, norms: [norm1, norm2], attention, mlp })
    }

    /// Compiles the block for inference; its projection of the embedding moves to those of all blocks.
    pub fn compile(&self, features: i64, all: &mut Projections, pack: bool) -> Result<Self> {
        let [norm1, norm2] = &self.norms;
        Ok(Self {
            modulation: self.modulation.compile(features, all),
            norms: [norm1.detached()?, norm2.detached()?],
            attention: self.attention.compile(pack)?,
            mlp: self.mlp.compile(pack)?,
        })
    }
}

impl Block for DitBlock {
    /// # Shapes
    /// - x: [B, T, D]; returns the same
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, _: Mode) -> Result<Tensor> {
        let [shift, scale, gate, mlp_shift, mlp_scale, mlp_gate] =
            self.modulation.vectors(conditioning)?;
        let gated = |x: &Tensor, gate: &Tensor, h: Tensor| -> Result<Tensor> {
            Ok(x.f_add(&h.f_mul(&gate.f_to_kind(x.kind())?)?)?)
        };
        let [norm1, norm2] = &self.norms;
        let h = self.attention.forward(&norm1.modulated(x, &shift, &scale)?)?;
        let x = gated(x, &gate, h)?;
        let h = self.mlp.forward(&norm2.modulated(&x, &mlp_shift, &mlp_scale)?)?;
        gated(&x, &mlp_gate, h)
    }
}
