//! The residual block that every classic U-Net is made of.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::norm::Modulation;
use crate::{
    Activation, Block, BlockConditioning, Conv, ConvConfig, Embedding, FusedProjectionBuilder,
    Inference, Linear, Mode, Norm, NormConfig, Scope, double, halve,
};

/// How a residual block is made.
#[derive(Debug, Clone, PartialEq)]
pub struct ResBlockConfig {
    /// Axes of the image: 1, 2 or 3.
    pub dims: usize,
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// Width of the time embedding; `None` for a block that does not know the time.
    pub embedding: Option<i64>,
    /// How many classes have a bias of their own; `None` for no class bias.
    pub classes: Option<i64>,
    /// The embedding scales and shifts the second norm instead of being added before it.
    pub scale_shift: bool,
    /// Share of features that training drops; 0 ≤ p < 1.
    pub dropout: f64,
    /// Both normalisations.
    pub norm: NormConfig,
    /// The function after norms and before the embedding's layer.
    pub activation: Activation,
    /// The last convolution starts at 0.
    pub zero_out: bool,
    /// Kernel of the skip's convolution, where channels differ: 1 or 3.
    pub skip_kernel: i64,
    /// Whether the block also changes height and width (guided-diffusion's `resblock_updown`).
    pub resample: Resample,
    /// The sum is divided by this; 1 for none.
    pub divisor: f64,
    /// Names of the layers.
    pub keys: ResBlockKeys,
}

/// What a residual block does to height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resample {
    /// Nothing.
    Keep,
    /// Halves them, by means of 2×2.
    Halve,
    /// Doubles them, by nearest neighbour.
    Double,
}

/// Names of the layers of a residual block, and when the second convolution is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResBlockKeys {
    /// First normalisation.
    pub norm1: &'static str,
    /// First convolution.
    pub conv1: &'static str,
    /// Linear layer of the time embedding.
    pub embedding: &'static str,
    /// Table of class biases.
    pub class_bias: &'static str,
    /// Second normalisation.
    pub norm2: &'static str,
    /// Second convolution.
    pub conv2: &'static str,
    /// Convolution of the skip.
    pub skip: &'static str,
    /// The original draws its second convolution before the embedding's layer.
    pub conv2_before_embedding: bool,
}

impl ResBlockKeys {
    /// improved-diffusion's ResBlock.
    pub const IMPROVED: Self = Self {
        norm1: "in_layers.0",
        conv1: "in_layers.2",
        embedding: "emb_layers.1",
        class_bias: "class_bias",
        norm2: "out_layers.0",
        conv2: "out_layers.3",
        skip: "skip_connection",
        conv2_before_embedding: false,
    };

    /// nanodiffusion's ResidualBlock.
    pub const DDPM: Self = Self {
        norm1: "norm_1",
        conv1: "conv_1",
        embedding: "time_bias",
        class_bias: "class_bias",
        norm2: "norm_2",
        conv2: "conv_2.1",
        skip: "residual_connection",
        conv2_before_embedding: true,
    };

    /// diffusers' ResnetBlock2D.
    pub const DIFFUSERS: Self = Self {
        norm1: "norm1",
        conv1: "conv1",
        embedding: "time_emb_proj",
        class_bias: "class_bias",
        norm2: "norm2",
        conv2: "conv2",
        skip: "conv_shortcut",
        conv2_before_embedding: false,
    };
}

impl ResBlockConfig {
    /// improved-diffusion's ResBlock over images: GroupNorm32, SiLU, the last convolution at 0.
    pub fn improved(inputs: i64, outputs: i64, embedding: i64) -> Self {
        Self {
            dims: 2,
            inputs,
            outputs,
            embedding: Some(embedding),
            classes: None,
            scale_shift: false,
            dropout: 0.0,
            norm: NormConfig::groups(32),
            activation: Activation::Silu,
            zero_out: true,
            skip_kernel: 1,
            resample: Resample::Keep,
            divisor: 1.0,
            keys: ResBlockKeys::IMPROVED,
        }
    }

    /// nanodiffusion's ResidualBlock, without its attention: nothing starts at 0.
    ///
    /// ```
    /// use inkdrop_nn::{Block, Mode, Params, ResBlock, ResBlockConfig, BlockConditioning};
    /// use inkdrop_torch::tch::{Device, Kind, Tensor};
    ///
    /// // With a bias for each of ten classes beside that of the time.
    /// let base = ResBlockConfig::ddpm(32, 32, Some(64));
    /// let config = ResBlockConfig { classes: Some(10), dropout: 0.1, ..base };
    /// let mut params = Params::new(Kind::Float, Device::Cpu);
    /// let block = ResBlock::new(&mut params.root(), &config)?;
    /// let conditioning = BlockConditioning {
    ///     embedding: Some(Tensor::randn([2, 64], (Kind::Float, Device::Cpu))),
    ///     class_ids: Some(Tensor::from_slice(&[3i64, 9])),
    ///     ..BlockConditioning::default()
    /// };
    /// let x = Tensor::randn([2, 32, 8, 8], (Kind::Float, Device::Cpu));
    /// assert_eq!(block.forward(&x, &conditioning, Mode::Train)?.size(), x.size());
    /// # Ok::<(), inkdrop_torch::TorchError>(())
    /// ```
    pub fn ddpm(inputs: i64, outputs: i64, embedding: Option<i64>) -> Self {
        let base = Self::improved(inputs, outputs, 0);
        Self { embedding, zero_out: false, keys: ResBlockKeys::DDPM, ..base }
    }

    /// The first convolution.
    pub fn conv1(&self) -> ConvConfig {
        ConvConfig::same(self.inputs, self.outputs, 3).over(self.dims)
    }

    /// The second convolution.
    pub fn conv2(&self) -> ConvConfig {
        ConvConfig::same(self.outputs, self.outputs, 3).over(self.dims)
    }

    /// The skip's convolution, where channels differ.
    pub fn skip(&self) -> Option<ConvConfig> {
        let conv = ConvConfig::same(self.inputs, self.outputs, self.skip_kernel).over(self.dims);
        (self.inputs != self.outputs).then_some(conv)
    }

    /// Width of what the embedding's layer gives.
    pub fn embedded(&self) -> i64 {
        if self.scale_shift { 2 * self.outputs } else { self.outputs }
    }
}

/// skip(x) + conv(act(norm(conv(act(norm(x))) with the time))) (Ho et al. 2020, appendix B;
/// Nichol & Dhariwal 2021; Dhariwal & Nichol 2021 for the scale and shift).
///
/// ```
/// use inkdrop_nn::{Block, Mode, Params, ResBlock, ResBlockConfig, BlockConditioning};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let config = ResBlockConfig { scale_shift: true, ..ResBlockConfig::improved(32, 64, 128) };
/// let block = ResBlock::new(&mut params.root(), &config)?;
/// let x = Tensor::randn([2, 32, 16, 16], (Kind::Float, Device::Cpu));
/// let conditioning = BlockConditioning::embedding(Tensor::randn([2, 128], (Kind::Float, Device::Cpu)));
/// assert_eq!(block.forward(&x, &conditioning, Mode::Eval)?.size(), [2, 64, 16, 16]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ResBlock {
    norm1: Norm,
    conv1: Conv,
    projection: EmbeddingProjection,
    norm2: Norm,
    conv2: Conv,
    skip: Option<Conv>,
    config: ResBlockConfig,
}

/// How the block takes in the conditioning.
#[derive(Debug, Clone)]
enum EmbeddingProjection {
    /// By layers of its own.
    PerBlock { embedding: Option<Linear>, class_bias: Option<Embedding> },
    /// By its columns of what all blocks are told together; see [`FusedProjectionBuilder`].
    Fused { columns: (i64, i64), affine: bool },
}

impl ResBlock {
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: &ResBlockConfig) -> Result<Self> {
        let ResBlockConfig { inputs, outputs, norm, keys, .. } = *config;
        let conv2 = |scope: &mut Scope| -> Result<Conv> {
            let conv = Conv::new(&mut scope.sub(keys.conv2), config.conv2())?;
            if config.zero_out { conv.zeroed() } else { Ok(conv) }
        };
        let norm1 = Norm::new(&mut scope.sub(keys.norm1), norm, inputs)?;
        let conv1 = Conv::new(&mut scope.sub(keys.conv1), config.conv1())?;
        let early = keys.conv2_before_embedding.then(|| conv2(scope)).transpose()?;
        let linear = |width| Linear::new(&mut scope.sub(keys.embedding), width, config.embedded());
        let embedding = config.embedding.map(linear).transpose()?;
        let table = |rows| Embedding::new(&mut scope.sub(keys.class_bias), rows, outputs);
        let class_bias = config.classes.map(table).transpose()?;
        let norm2 = Norm::new(&mut scope.sub(keys.norm2), norm, outputs)?;
        let conv2 = early.map_or_else(|| conv2(scope), Ok)?;
        let skip = |conv| Conv::new(&mut scope.sub(keys.skip), conv);
        let skip = config.skip().map(skip).transpose()?;
        let projection = EmbeddingProjection::PerBlock { embedding, class_bias };
        Ok(Self { norm1, conv1, projection, norm2, conv2, skip, config: config.clone() })
    }

    /// The same block for inference; its layers for the conditioning go to `fused`.
    pub(crate) fn for_inference(
        &self,
        options: &Inference,
        fused: &mut FusedProjectionBuilder,
    ) -> Result<Self> {
        let pack = options.pack;
        Ok(Self {
            norm1: self.norm1.for_inference(pack)?,
            conv1: self.conv1.for_inference(pack)?,
            projection: match &self.projection {
                EmbeddingProjection::PerBlock { embedding, class_bias } => {
                    let norm = match &self.norm2 {
                        Norm::Group(norm) if self.config.scale_shift => Some(norm),
                        _ => None,
                    };
                    let layer = embedding.as_ref();
                    let columns = fused.add(layer, class_bias.as_ref(), norm, &self.config)?;
                    EmbeddingProjection::Fused { columns, affine: norm.is_some() }
                }
                modulation => modulation.clone(),
            },
            norm2: self.norm2.for_inference(pack)?,
            conv2: self.conv2.for_inference(pack)?,
            skip: self.skip.as_ref().map(|skip| skip.for_inference(pack)).transpose()?,
            config: self.config.clone(),
        })
    }

    fn resample(&self, x: &Tensor) -> Result<Tensor> {
        match self.config.resample {
            Resample::Keep => Ok(x.shallow_clone()),
            Resample::Halve => halve(x),
            Resample::Double => double(x),
        }
    }

    /// What the conditioning has to say at the second norm.
    fn modulation(&self, conditioning: &BlockConditioning) -> Result<Modulation> {
        let scale_shift = self.config.scale_shift;
        match &self.projection {
            EmbeddingProjection::Fused { columns: (_, 0), .. } => Ok(Modulation::None),
            EmbeddingProjection::Fused { columns: (first, width), affine } => {
                let Some(rows) = &conditioning.modulation else { return Ok(Modulation::None) };
                let row = rows.f_narrow(1, *first, *width)?;
                Ok(match (affine, scale_shift) {
                    (true, _) => Modulation::FusedAffine(row),
                    (false, true) => Modulation::ScaleShift(row),
                    (false, false) => Modulation::Bias(row),
                })
            }
            EmbeddingProjection::PerBlock { embedding, class_bias } => {
                let mut sum: Option<Tensor> = None;
                if let (Some(layer), Some(embedding)) = (embedding, &conditioning.embedding) {
                    sum = Some(layer.forward(&self.config.activation.apply(embedding)?)?);
                }
                if let (Some(table), Some(classes)) = (class_bias, &conditioning.class_ids) {
                    let bias = table.forward(classes)?;
                    sum = Some(sum.map_or_else(|| Ok(bias.shallow_clone()), |s| s.f_add(&bias))?);
                }
                Ok(match sum {
                    None => Modulation::None,
                    Some(row) if scale_shift => Modulation::ScaleShift(row),
                    Some(row) => Modulation::Bias(row),
                })
            }
        }
    }
}

impl Block for ResBlock {
    /// # Shapes
    /// - x: [B, inputs, ...]
    /// - returns [B, outputs, ...], halved or doubled where the block resamples
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        let act = Some(self.config.activation);
        let h = self.norm1.forward_modulated(x, &Modulation::None, act, mode)?;
        let h = self.conv1.forward(&self.resample(&h)?)?;
        let h = self.norm2.forward_modulated(&h, &self.modulation(conditioning)?, act, mode)?;
        let h = h.f_dropout(self.config.dropout, mode != Mode::Eval)?;
        let x = self.resample(x)?;
        let x =
            self.skip.as_ref().map_or_else(|| Ok(x.shallow_clone()), |skip| skip.forward(&x))?;
        let sum = self.conv2.forward_add(&h, &x)?;
        let divisor = self.config.divisor;
        Ok(if divisor == 1.0 { sum } else { sum.f_div_scalar(divisor)? })
    }

    fn random(&self) -> bool {
        self.config.dropout > 0.0
    }
}
