//! The residual block of the U-Nets: normalisation, convolution, timestep embedding, skip.

use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{Result, draw_dropout_key, dropout};

use crate::compiled::{Compiled, Convolution, Form, Normalization, Trained};
use crate::modulation::{EmbeddingProjection, Modulation};
use crate::{
    Activation, Block, BlockConditioning, CompileOptions, Conv, ConvConfig, Embedding, FilterTaps,
    FusedProjectionBuilder, Linear, Mode, Norm, NormConfig, Resample, Resampling, Scope,
};

/// Configuration of a residual block.
#[derive(Debug, Clone, PartialEq)]
pub struct ResBlockConfig {
    /// Number of axes of the image: 1, 2 or 3.
    pub dims: usize,
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// Width of the timestep embedding; `None` for a block without one.
    pub embedding: Option<i64>,
    /// Number of classes of the class bias; `None` for a block without one.
    pub classes: Option<i64>,
    /// Scale-shift norm (adaptive group norm): the embedding scales and shifts the second norm. If
    /// false, it is added before that norm.
    pub scale_shift: bool,
    /// Dropout probability; 0 ≤ p < 1.
    pub dropout: f64,
    /// Configuration of both normalisations.
    pub norm: NormConfig,
    /// Norm and activation follow each convolution instead of preceding it (lucidrains); the embedding
    /// and the dropout are then at the first.
    pub norm_after: bool,
    /// Activation after the norms and before the embedding's projection.
    pub activation: Activation,
    /// The network gives an embedding after its activation: blocks do not apply theirs to it.
    pub activated_embedding: bool,
    /// Initialises the second convolution with zeros.
    pub zero_out: bool,
    /// Kernel of the skip connection's convolution, used if channels differ: 1 or 3.
    pub skip_kernel: i64,
    /// Resampling inside the block (guided-diffusion's `resblock_updown`).
    pub resample: Resample,
    /// Filter of the resampling, with a buffer beside the convolutions; `None`: means and nearest neighbour.
    pub filter: Option<FilterTaps>,
    /// A block that resamples has a convolution in its skip connection between equal channels, too.
    pub skip_resampled: bool,
    /// Divides the residual sum; 1 leaves it as it is.
    pub divisor: f64,
    /// Names of the layers.
    pub keys: ResBlockKeys,
}

/// Parameter names of a residual block, and the order of its initialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResBlockKeys {
    /// First normalisation.
    pub norm1: &'static str,
    /// First convolution.
    pub conv1: &'static str,
    /// Linear projection of the timestep embedding.
    pub embedding: &'static str,
    /// Table of class biases.
    pub class_bias: &'static str,
    /// Second normalisation.
    pub norm2: &'static str,
    /// Second convolution.
    pub conv2: &'static str,
    /// Convolution of the skip connection.
    pub skip: &'static str,
    /// The second convolution is initialised before the embedding's projection (nanodiffusion).
    pub conv2_before_embedding: bool,
    /// The embedding's projection is initialised before all convolutions (lucidrains).
    pub embedding_first: bool,
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
        embedding_first: false,
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
        embedding_first: false,
    };

    /// lucidrains' ResnetBlock.
    pub const LUCID: Self = Self {
        norm1: "block1.norm",
        conv1: "block1.proj",
        embedding: "mlp.1",
        class_bias: "class_bias",
        norm2: "block2.norm",
        conv2: "block2.proj",
        skip: "res_conv",
        conv2_before_embedding: false,
        embedding_first: true,
    };

    /// EDM's UNetBlock, without its attention.
    pub const EDM: Self = Self {
        norm1: "norm0",
        conv1: "conv0",
        embedding: "affine",
        class_bias: "class_bias",
        norm2: "norm1",
        conv2: "conv1",
        skip: "skip",
        conv2_before_embedding: false,
        embedding_first: false,
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
        embedding_first: false,
    };
}

impl ResBlockConfig {
    /// improved-diffusion's ResBlock: GroupNorm32, SiLU, second convolution initialised with zeros.
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
            norm_after: false,
            activation: Activation::Silu,
            activated_embedding: false,
            zero_out: true,
            skip_kernel: 1,
            resample: Resample::Keep,
            filter: None,
            skip_resampled: false,
            divisor: 1.0,
            keys: ResBlockKeys::IMPROVED,
        }
    }

    /// nanodiffusion's ResidualBlock, without its attention; no zero initialisation.
    ///
    /// ```
    /// use inkdrop_nn::{Block, Mode, Params, ResBlock, ResBlockConfig, BlockConditioning};
    /// use inkdrop_torch::tch::{Device, Kind, Tensor};
    ///
    /// // With a class bias for ten classes, added to the projected timestep embedding.
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

    /// lucidrains' ResnetBlock: convolution, then RMS normalisation and activation; scale-shift norm.
    pub fn lucid(dims: usize, inputs: i64, outputs: i64, embedding: i64) -> Self {
        Self {
            dims,
            scale_shift: true,
            norm: NormConfig::rms(dims),
            norm_after: true,
            zero_out: false,
            keys: ResBlockKeys::LUCID,
            ..Self::improved(inputs, outputs, embedding)
        }
    }

    /// The first convolution.
    pub fn conv1(&self) -> ConvConfig {
        ConvConfig::same(self.inputs, self.outputs, 3).over(self.dims)
    }

    /// The second convolution.
    pub fn conv2(&self) -> ConvConfig {
        ConvConfig::same(self.outputs, self.outputs, 3).over(self.dims)
    }

    /// The skip connection's convolution, if channels differ.
    pub fn skip(&self) -> Option<ConvConfig> {
        let conv = ConvConfig::same(self.inputs, self.outputs, self.skip_kernel).over(self.dims);
        let resampled = self.skip_resampled && self.resample != Resample::Keep;
        (self.inputs != self.outputs || resampled).then_some(conv)
    }

    /// The activation of the embedding before its projection.
    pub(crate) fn embedding_activation(&self) -> Option<Activation> {
        (!self.activated_embedding).then_some(self.activation)
    }

    /// Output width of the embedding's projection.
    pub fn embedded(&self) -> i64 {
        if self.scale_shift { 2 * self.outputs } else { self.outputs }
    }
}

/// Residual block: skip(x) + conv2(act(norm2(conv1(act(norm1(x)))))), with the timestep embedding at
/// norm2 (Ho et al. 2020, appendix B; Nichol & Dhariwal 2021 for the scale-shift norm).
///
/// With [`ResBlockConfig::norm_after`] it is skip(x) + act(norm2(conv2(act(norm1(conv1(x)))))), with the
/// timestep embedding at norm1.
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
pub struct ResBlock<F: Form = Trained> {
    norm1: F::Norm,
    conv1: F::Conv,
    projection: EmbeddingProjection,
    norm2: F::Norm,
    conv2: F::Conv,
    skip: Option<F::Conv>,
    /// Resampling before the first convolution, and in the skip connection.
    resampling: [Resampling; 2],
    config: ResBlockConfig,
}

impl ResBlock {
    /// A block with PyTorch's default initialisation.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: &ResBlockConfig) -> Result<Self> {
        let ResBlockConfig { inputs, outputs, norm, keys, .. } = *config;
        let conv2 = |scope: &mut Scope| -> Result<Conv> {
            let new = if config.zero_out { Conv::new_zero } else { Conv::new };
            new(&mut scope.sub(keys.conv2), config.conv2())
        };
        let linear = |scope: &mut Scope, width| {
            Linear::new(&mut scope.sub(keys.embedding), width, config.embedded())
        };
        let embedding = config.embedding.filter(|_| keys.embedding_first);
        let first = embedding.map(|width| linear(scope, width)).transpose()?;
        let before = if config.norm_after { outputs } else { inputs };
        let norm1 = Norm::new(&mut scope.sub(keys.norm1), norm, before)?;
        let conv1 = Conv::new(&mut scope.sub(keys.conv1), config.conv1())?;
        let resampling = |scope: &mut Scope, key| {
            Resampling::new(&mut scope.sub(key), config.resample, config.filter)
        };
        let before_conv1 = resampling(scope, keys.conv1)?;
        let early = keys.conv2_before_embedding.then(|| conv2(scope)).transpose()?;
        let later = config.embedding.filter(|_| !keys.embedding_first);
        let embedding = later.map(|width| linear(scope, width)).transpose()?.or(first);
        let table = |rows| Embedding::new(&mut scope.sub(keys.class_bias), rows, outputs);
        let class_bias = config.classes.map(table).transpose()?;
        let norm2 = Norm::new(&mut scope.sub(keys.norm2), norm, outputs)?;
        let conv2 = early.map_or_else(|| conv2(scope), Ok)?;
        let skip = |conv| Conv::new(&mut scope.sub(keys.skip), conv);
        let skip = config.skip().map(skip).transpose()?;
        let resampling = [before_conv1, resampling(scope, keys.skip)?];
        let projection = EmbeddingProjection::PerBlock { embedding, class_bias };
        Ok(Self {
            norm1,
            conv1,
            projection,
            norm2,
            conv2,
            skip,
            resampling,
            config: config.clone(),
        })
    }

    /// Compiles the block for inference. Its embedding projection is added to `builder`.
    pub(crate) fn compile(
        &self,
        options: &CompileOptions,
        builder: &mut FusedProjectionBuilder,
    ) -> Result<ResBlock<Compiled>> {
        let pack = options.pack;
        Ok(ResBlock {
            norm1: self.norm1.compile(pack)?,
            conv1: self.conv1.compile(pack)?,
            projection: self.compile_projection(builder)?,
            norm2: self.norm2.compile(pack)?,
            conv2: self.conv2.compile(pack)?,
            skip: self.skip.as_ref().map(|skip| skip.compile(pack)).transpose()?,
            resampling: [self.resampling[0].compile()?, self.resampling[1].compile()?],
            config: self.config.clone(),
        })
    }

    fn compile_projection(
        &self,
        builder: &mut FusedProjectionBuilder,
    ) -> Result<EmbeddingProjection> {
        let EmbeddingProjection::PerBlock { embedding, class_bias } = &self.projection else {
            return Ok(self.projection.clone());
        };
        let norm = match &self.norm2 {
            Norm::Group(norm) if self.config.scale_shift => Some(norm),
            _ => None,
        };
        let (layer, table) = (embedding.as_ref(), class_bias.as_ref());
        let columns = builder.add(layer, table, norm, &self.config)?;
        Ok(EmbeddingProjection::Fused { columns, affine: norm.is_some() })
    }
}

impl<F: Form> ResBlock<F> {
    fn divided(&self, sum: Tensor) -> Result<Tensor> {
        let divisor = self.config.divisor;
        Ok(if divisor == 1.0 { sum } else { sum.f_div_scalar(divisor)? })
    }

    /// Dropout in training, with one key for each call. It draws nothing at a probability of 0.
    fn dropout(&self, h: Tensor, first_image: i64, mode: Mode) -> Result<Tensor> {
        let probability = self.config.dropout;
        if mode == Mode::Eval || probability == 0.0 {
            return Ok(h);
        }
        dropout(&h, probability, draw_dropout_key()?, first_image)
    }
}

impl<F: Form> ResBlock<F> {
    /// Convolution, norm, modulation, activation, dropout; convolution, norm, activation.
    fn norm_after(
        &self,
        x: &Tensor,
        conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        let activation = Some(self.config.activation);
        let h = self.conv1.forward(&self.resampling[0].forward(x)?)?;
        let modulation = self.projection.modulation(conditioning, &self.config)?;
        let h = self.norm1.forward_modulated(&h, &modulation, activation, mode)?;
        let h = self.conv2.forward(&self.dropout(h, conditioning.first_image, mode)?)?;
        let h = self.norm2.forward_modulated(&h, &Modulation::None, activation, mode)?;
        let x = self.resampling[1].forward(x)?;
        Ok(match &self.skip {
            Some(conv) => conv.forward_add(&x, &h)?,
            None => h.f_add(&x)?,
        })
    }
}

impl<F: Form> Block for ResBlock<F> {
    /// # Shapes
    /// - x: [B, inputs, ...]
    /// - returns [B, outputs, ...], halved or doubled where the block resamples
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        if self.config.norm_after {
            let sum = self.norm_after(x, conditioning, mode)?;
            return self.divided(sum);
        }
        let activation = Some(self.config.activation);
        let h = self.norm1.forward_modulated(x, &Modulation::None, activation, mode)?;
        let h = self.conv1.forward(&self.resampling[0].forward(&h)?)?;
        // The timestep embedding enters here: as a bias, or as a scale-shift norm.
        let modulation = self.projection.modulation(conditioning, &self.config)?;
        let h = self.norm2.forward_modulated(&h, &modulation, activation, mode)?;
        let h = self.dropout(h, conditioning.first_image, mode)?;
        let x = self.resampling[1].forward(x)?;
        let skip = self.skip.as_ref().map(|conv| conv.forward(&x)).transpose()?.unwrap_or(x);
        self.divided(self.conv2.forward_add(&h, &skip)?) // residual connection
    }

    fn random(&self) -> bool {
        self.config.dropout > 0.0
    }
}
