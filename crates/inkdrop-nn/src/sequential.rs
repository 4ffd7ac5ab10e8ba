//! Stages of a U-Net: layers in a row, some of which take the timestep.

use std::fmt::Debug;

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::compiled::{Compiled, Convolution, Form, Trained};
use crate::{
    AttentionConfig, BlockConditioning, Checkpointed, CompileOptions, Conv, ConvConfig, Downsample,
    FusedProjectionBuilder, MemoryAttention, MemoryAttentionConfig, Mode, ResBlock, ResBlockConfig,
    ResampleConfig, Scope, SelfAttention, Upsample, double,
};

/// A layer that takes x and the conditioning of its network. Clones share their weights.
pub trait Block: Debug + Clone + Send + 'static {
    /// # Shapes
    /// - x: [B, C, ...]
    ///
    /// # Errors
    /// Shapes that do not fit the layer.
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor>;

    /// True if training draws from libtorch's generator (dropout).
    fn random(&self) -> bool {
        false
    }
}

/// Configuration of a layer of an [`EmbedSequential`].
#[derive(Debug, Clone, PartialEq)]
pub enum LayerConfig {
    /// A convolution.
    Conv(ConvConfig),
    /// A residual block.
    Res(ResBlockConfig),
    /// A self-attention block.
    Attention(AttentionConfig),
    /// An attention block with memory (lucidrains).
    MemoryAttention(MemoryAttentionConfig),
    /// 2×2 pixels become one with four times the channels (space-to-depth), without parameters; channel
    /// c·4 + 2·row + column.
    Unshuffle,
    /// Nearest-neighbour upsampling of height and width, without parameters.
    Double,
    /// Downsampling: half the height and width.
    Down(ResampleConfig),
    /// Upsampling: twice the height and width.
    Up(ResampleConfig),
}

#[derive(Debug)]
enum Layer<F: Form> {
    Conv(F::Conv),
    Res(Box<F::ResBlock>),
    Attention(Box<F::Attention>),
    MemoryAttention(Box<F::MemoryAttention>),
    Unshuffle,
    Double,
    Down(Downsample<F>),
    Up(Upsample<F>),
}

/// Sequential container that passes the conditioning to the layers that take it
/// (improved-diffusion's TimestepEmbedSequential).
///
/// ```
/// use inkdrop_nn::{
///     AttentionConfig, BlockConditioning, EmbedSequential, LayerConfig, Mode, Params,
///     ResBlockConfig,
/// };
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let layers = [
///     ("0", LayerConfig::Res(ResBlockConfig::improved(32, 64, 128))),
///     ("1", LayerConfig::Attention(AttentionConfig::improved(64, 4))),
/// ];
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let stage = EmbedSequential::new(&mut params.root(), &layers, false)?;
/// let x = Tensor::randn([2, 32, 8, 8], (Kind::Float, Device::Cpu));
/// let embedding = Tensor::randn([2, 128], (Kind::Float, Device::Cpu));
/// let conditioning = BlockConditioning::embedding(embedding);
/// assert_eq!(stage.forward(&x, &conditioning, Mode::Eval)?.size(), [2, 64, 8, 8]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct EmbedSequential<F: Form = Trained> {
    layers: Vec<Layer<F>>,
}

impl EmbedSequential {
    /// - layers: each with its name in `scope`
    /// - checkpoint: gradient checkpointing of residual and attention blocks
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(
        scope: &mut Scope,
        layers: &[(impl AsRef<str>, LayerConfig)],
        checkpoint: bool,
    ) -> Result<Self> {
        let layer = |(key, config): &(_, LayerConfig)| {
            let scope = &mut scope.sub(AsRef::<str>::as_ref(key));
            Ok(match config {
                LayerConfig::Conv(config) => Layer::Conv(Conv::new(scope, *config)?),
                LayerConfig::Down(config) => Layer::Down(Downsample::new(scope, *config)?),
                LayerConfig::Up(config) => Layer::Up(Upsample::new(scope, *config)?),
                LayerConfig::Res(config) => {
                    let block = |scope: &mut Scope| ResBlock::new(scope, config);
                    Layer::Res(Box::new(Checkpointed::new(scope, checkpoint, block)?))
                }
                LayerConfig::Attention(config) => {
                    let block = |scope: &mut Scope| SelfAttention::new(scope, config);
                    Layer::Attention(Box::new(Checkpointed::new(scope, checkpoint, block)?))
                }
                LayerConfig::MemoryAttention(config) => {
                    let block = |scope: &mut Scope| MemoryAttention::new(scope, config);
                    Layer::MemoryAttention(Box::new(Checkpointed::new(scope, checkpoint, block)?))
                }
                LayerConfig::Unshuffle => Layer::Unshuffle,
                LayerConfig::Double => Layer::Double,
            })
        };
        Ok(Self { layers: layers.iter().map(layer).collect::<Result<_>>()? })
    }

    /// Compiles all layers for inference. Their embedding projections are added to `builder`.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn compile(
        &self,
        options: &CompileOptions,
        builder: &mut FusedProjectionBuilder,
    ) -> Result<EmbedSequential<Compiled>> {
        let pack = options.pack;
        let mut layer = |layer: &Layer<Trained>| -> Result<Layer<Compiled>> {
            Ok(match layer {
                Layer::Conv(conv) => Layer::Conv(conv.compile(pack)?),
                Layer::Res(block) => Layer::Res(Box::new(block.block().compile(options, builder)?)),
                Layer::Attention(block) => {
                    Layer::Attention(Box::new(block.block().compile(options)?))
                }
                Layer::MemoryAttention(block) => {
                    Layer::MemoryAttention(Box::new(block.block().compile(options)?))
                }
                Layer::Unshuffle => Layer::Unshuffle,
                Layer::Double => Layer::Double,
                Layer::Down(down) => Layer::Down(down.compile(pack)?),
                Layer::Up(up) => Layer::Up(up.compile(pack)?),
            })
        };
        let layers = self.layers.iter().map(&mut layer).collect::<Result<_>>()?;
        Ok(EmbedSequential { layers })
    }
}

impl<F: Form> EmbedSequential<F> {
    /// # Shapes
    /// - x: [B, C, ...], as the first layer takes it
    /// - returns the output of the last layer
    ///
    /// # Errors
    /// Shapes that do not fit a layer.
    pub fn forward(
        &self,
        x: &Tensor,
        conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        self.layers.iter().try_fold(x.shallow_clone(), |x, layer| match layer {
            Layer::Conv(conv) => conv.forward(&x),
            Layer::Res(block) => block.forward(&x, conditioning, mode),
            Layer::Attention(block) => block.forward(&x, conditioning, mode),
            Layer::MemoryAttention(block) => block.forward(&x, conditioning, mode),
            Layer::Unshuffle => Ok(x.f_pixel_unshuffle(2)?),
            Layer::Double => double(&x),
            Layer::Down(down) => down.forward(&x),
            Layer::Up(up) => up.forward(&x),
        })
    }
}
