//! The block of EDM2's U-Net.

use inkdrop_nn::{
    Block, BlockConditioning, HeadOrder, Init, Mode, MpConv, Resample, Scope, Weight, attend,
    double, halve, mp_silu, mp_sum, pixel_norm,
};
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_torch::{Result, TorchError, draw_dropout_key, dropout};

/// A block before any tensor exists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BlockSpec {
    pub inputs: i64,
    pub outputs: i64,
    pub embedding: i64,
    /// Of the encoder, or else of the decoder.
    pub encoder: bool,
    pub resample: Resample,
    /// Number of attention heads; 0 for no attention.
    pub heads: i64,
    pub dropout: f64,
    pub residual_balance: f64,
    pub attention_balance: f64,
    pub clip: f64,
}

impl BlockSpec {
    /// Channels of the first convolution: it follows the skip connection's in the encoder.
    pub fn first(&self) -> i64 {
        if self.encoder { self.outputs } else { self.inputs }
    }
}

/// The block of the encoder and of the decoder (Karras et al. 2024, figure 21).
#[derive(Debug, Clone)]
pub(super) struct MpBlock {
    spec: BlockSpec,
    gain: Gain,
    conv_res0: MpConv,
    conv_res1: MpConv,
    conv_skip: Option<MpConv>,
    /// Projections to q, k and v, and of the result.
    attention: Option<[MpConv; 2]>,
}

/// The factor 1 + c of the channels, from the embedding.
#[derive(Debug, Clone)]
enum Gain {
    /// The block's own layer, with its gain.
    Layer { emb_gain: Weight, emb_linear: MpConv },
    /// Columns of the rows that all blocks share; compiled.
    Columns { first: i64, width: i64 },
}

impl MpBlock {
    pub fn new(scope: &mut Scope, spec: BlockSpec) -> Result<Self> {
        let emb_gain = scope.weight("emb_gain", &[], Init::Constant(0.0))?;
        let BlockSpec { inputs, outputs, embedding, .. } = spec;
        let mut conv = |key, inputs, outputs, kernel| {
            MpConv::new(&mut scope.sub(key), inputs, outputs, kernel)
        };
        let conv_res0 = conv("conv_res0", spec.first(), outputs, Some(3))?;
        let emb_linear = conv("emb_linear", embedding, outputs, None)?;
        let conv_res1 = conv("conv_res1", outputs, outputs, Some(3))?;
        let mut conv_skip = None;
        if inputs != outputs {
            conv_skip = Some(conv("conv_skip", inputs, outputs, Some(1))?);
        }
        let mut attention = None;
        if spec.heads > 0 {
            attention = Some([
                conv("attn_qkv", outputs, 3 * outputs, Some(1))?,
                conv("attn_proj", outputs, outputs, Some(1))?,
            ]);
        }
        let gain = Gain::Layer { emb_gain, emb_linear };
        Ok(Self { spec, gain, conv_res0, conv_res1, conv_skip, attention })
    }

    /// Compiles the block for inference. Its projection of the embedding is added to `rows`, whose columns it
    /// reads.
    ///
    /// - kind: dtype of the activations
    pub fn compile(&self, rows: &mut Vec<Tensor>, kind: Kind, pack: bool) -> Result<Self> {
        let conv = |conv: &MpConv| conv.compile(None, kind, pack);
        let gain = match &self.gain {
            Gain::Layer { emb_gain, emb_linear } => {
                let first = rows.iter().map(|row| row.size()[0]).sum();
                rows.push(emb_linear.matrix(emb_gain)?);
                Gain::Columns { first, width: self.spec.outputs }
            }
            columns @ Gain::Columns { .. } => columns.clone(),
        };
        let attention = match &self.attention {
            Some([qkv, out]) => Some([conv(qkv)?, conv(out)?]),
            None => None,
        };
        Ok(Self {
            spec: self.spec,
            gain,
            conv_res0: conv(&self.conv_res0)?,
            conv_res1: conv(&self.conv_res1)?,
            conv_skip: self.conv_skip.as_ref().map(conv).transpose()?,
            attention,
        })
    }

    /// [B, C, 1, 1] in the dtype of x.
    fn gain(&self, conditioning: &BlockConditioning, x: &Tensor) -> Result<Tensor> {
        let missing = || TorchError::message("a block was given no embedding".to_string());
        let row = match &self.gain {
            Gain::Layer { emb_gain, emb_linear } => {
                let embedding = conditioning.embedding.as_ref().ok_or_else(missing)?;
                emb_linear.forward_with_gain(embedding, emb_gain)?.f_add_scalar(1.0)?
            }
            Gain::Columns { first, width } => {
                let rows = conditioning.modulation.as_ref().ok_or_else(missing)?;
                rows.f_narrow(1, *first, *width)?
            }
        };
        Ok(row.f_to_kind(x.kind())?.f_unsqueeze(-1)?.f_unsqueeze(-1)?)
    }

    fn dropout(&self, h: Tensor, first_image: i64, mode: Mode) -> Result<Tensor> {
        if mode == Mode::Eval || self.spec.dropout == 0.0 {
            return Ok(h);
        }
        dropout(&h, self.spec.dropout, draw_dropout_key()?, first_image)
    }

    /// Cosine attention: q, k and v of each head have the magnitude 1 (Karras et al. 2024, section 2.2).
    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let Some([to_qkv, to_out]) = &self.attention else { return Ok(x.shallow_clone()) };
        let tokens = to_qkv.forward(x)?.f_flatten(2, -1)?.f_transpose(1, 2)?; // [B, T, 3·C]
        let [q, k, v] = HeadOrder::PartsLast.split(&tokens, self.spec.heads)?;
        let unit = |x: &Tensor| pixel_norm(x, -1);
        let h = attend(&unit(&q)?, &unit(&k)?, &unit(&v)?)?; // [B, heads, T, D]
        let h = h.f_transpose(2, 3)?.f_reshape(x.size())?;
        mp_sum(x, &to_out.forward(&h)?, self.spec.attention_balance)
    }
}

impl Block for MpBlock {
    /// # Shapes
    /// - x: [B, inputs, H, W]
    /// - returns [B, outputs, ...], halved or doubled where the block resamples
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        let x = match self.spec.resample {
            Resample::Keep => x.shallow_clone(),
            Resample::Halve => halve(x)?,
            Resample::Double => double(x)?,
        };
        let skip = |x: Tensor| match &self.conv_skip {
            Some(conv) => conv.forward(&x),
            None => Ok(x),
        };
        let x = if self.spec.encoder { pixel_norm(&skip(x)?, 1)? } else { x };
        let y = self.conv_res0.forward(&mp_silu(&x)?)?;
        let y = mp_silu(&y.f_mul(&self.gain(conditioning, &y)?)?)?;
        let y = self.conv_res1.forward(&self.dropout(y, conditioning.first_image, mode)?)?;
        let x = if self.spec.encoder { x } else { skip(x)? };
        let x = mp_sum(&x, &y, self.spec.residual_balance)?;
        Ok(self.attend(&x)?.f_clamp(-self.spec.clip, self.spec.clip)?)
    }

    fn random(&self) -> bool {
        self.spec.dropout > 0.0
    }
}
