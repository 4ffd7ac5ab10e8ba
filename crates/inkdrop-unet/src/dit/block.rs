//! The block of DiT and its adaptive layer norm.

use inkdrop_nn::{
    Block, BlockConditioning, CompiledLinear, HeadOrder, Linear, Mode, Scope, attend,
    modulated_layer_norm,
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

/// The block of DiT (Peebles & Xie 2023, figure 3): self-attention and an MLP, each behind a modulated layer norm
/// and a gate that starts at 0.
#[derive(Debug, Clone)]
pub(super) struct DitBlock {
    modulation: AdaLn<6>,
    qkv: TokenLinear,
    proj: TokenLinear,
    mlp: [TokenLinear; 2],
    heads: i64,
}

impl DitBlock {
    pub fn new(scope: &mut Scope, config: &DitConfig) -> Result<Self> {
        let (width, hidden) = (config.features, config.hidden());
        let mut linear = |group: &str, name: &str, inputs, outputs| {
            let scope = &mut scope.sub(group);
            Ok::<_, TorchError>(TokenLinear::Trained(Linear::in_torso(
                &mut scope.sub(name),
                inputs,
                outputs,
            )?))
        };
        let qkv = linear("attn", "qkv", width, 3 * width)?;
        let proj = linear("attn", "proj", width, width)?;
        let mlp = [linear("mlp", "fc1", width, hidden)?, linear("mlp", "fc2", hidden, width)?];
        let modulation = AdaLn::new(scope, width)?;
        Ok(Self { modulation, qkv, proj, mlp, heads: config.heads })
    }

    /// Compiles the block for inference; its projection of the embedding moves to those of all blocks.
    pub fn compile(&self, features: i64, all: &mut Projections, pack: bool) -> Result<Self> {
        let [fc1, fc2] = &self.mlp;
        Ok(Self {
            modulation: self.modulation.compile(features, all),
            qkv: self.qkv.compile(pack)?,
            proj: self.proj.compile(pack)?,
            mlp: [fc1.compile(pack)?, fc2.compile(pack)?],
            heads: self.heads,
        })
    }

    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let [q, k, v] = HeadOrder::PartsFirst.split(&self.qkv.forward(x)?, self.heads)?;
        let h = attend(&q, &k, &v)?; // [B, heads, T, D/heads]
        self.proj.forward(&h.f_transpose(1, 2)?.f_flatten(2, 3)?)
    }

    fn mlp(&self, x: &Tensor) -> Result<Tensor> {
        let [fc1, fc2] = &self.mlp;
        fc2.forward(&fc1.forward(x)?.f_gelu("tanh")?)
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
        let x = gated(x, &gate, self.attend(&modulated_layer_norm(x, &shift, &scale)?)?)?;
        let h = self.mlp(&modulated_layer_norm(&x, &mlp_shift, &mlp_scale)?)?;
        gated(&x, &mlp_gate, h)
    }
}
