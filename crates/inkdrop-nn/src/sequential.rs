//! Layers in a row, some of which are told the time.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::{
    AttentionConfig, Checkpointed, Conv, ConvConfig, Downsample, FusedProjectionBuilder, Inference,
    Mode, ResBlock, ResBlockConfig, ResampleConfig, Scope, SelfAttention, Upsample,
};

/// What blocks are told beside x.
#[derive(Debug, Default)]
pub struct BlockConditioning {
    /// Time embedding, [B, E].
    pub embedding: Option<Tensor>,
    /// Class ids, `[B]` in i64, for blocks with a class bias.
    pub class_ids: Option<Tensor>,
    /// What blocks of a network for inference are told instead, [B, ...] or [1, ...]; see
    /// [`FusedProjectionBuilder`](crate::Joint).
    pub modulation: Option<Tensor>,
}

impl BlockConditioning {
    /// A time embedding alone.
    pub fn embedding(embedding: Tensor) -> Self {
        Self { embedding: Some(embedding), ..Self::default() }
    }
}

/// A layer that takes x and a conditioning. Clones share their weights.
pub trait Block: Clone + Send + 'static {
    /// # Shapes
    /// - x: [B, C, ...]
    ///
    /// # Errors
    /// Shapes that do not fit the layer.
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor>;

    /// Whether training draws from libtorch's generator (dropout).
    fn random(&self) -> bool {
        false
    }
}

/// How a layer of an [`EmbedSequential`] is made.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerConfig {
    /// A convolution.
    Conv(ConvConfig),
    /// A residual block.
    Res(ResBlockConfig),
    /// Self-attention.
    Attention(AttentionConfig),
    /// Half the height and width.
    Down(ResampleConfig),
    /// Twice the height and width.
    Up(ResampleConfig),
}

#[derive(Debug)]
enum Layer {
    Conv(Conv),
    Res(Box<Checkpointed<ResBlock>>),
    Attention(Box<Checkpointed<SelfAttention>>),
    Down(Downsample),
    Up(Upsample),
}

/// Layers in a row; the conditioning reaches those that take one
/// (improved-diffusion's TimestepEmbedSequential).
///
/// ```
/// use inkdrop_nn::{
///     AttentionConfig, EmbedSequential, LayerConfig, Mode, Params, ResBlockConfig, BlockConditioning,
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
/// let conditioning = BlockConditioning::embedding(Tensor::randn([2, 128], (Kind::Float, Device::Cpu)));
/// assert_eq!(stage.forward(&x, &conditioning, Mode::Eval)?.size(), [2, 64, 8, 8]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct EmbedSequential {
    layers: Vec<Layer>,
}

impl EmbedSequential {
    /// - layers: each with its name in `scope`
    /// - checkpoint: residual blocks and attention keep only their inputs for the
    ///   backward pass and run again there
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
            })
        };
        Ok(Self { layers: layers.iter().map(layer).collect::<Result<_>>()? })
    }

    /// The same layers for inference; what their blocks are told goes to `fused`.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn for_inference(
        &self,
        options: &Inference,
        fused: &mut FusedProjectionBuilder,
    ) -> Result<Self> {
        let pack = options.pack;
        let mut layer = |layer: &Layer| -> Result<Layer> {
            Ok(match layer {
                Layer::Conv(conv) => Layer::Conv(conv.for_inference(pack)?),
                Layer::Res(block) => {
                    let block = block.block().for_inference(options, fused)?;
                    Layer::Res(Box::new(Checkpointed::never(block)))
                }
                Layer::Attention(block) => {
                    let block = block.block().for_inference(options)?;
                    Layer::Attention(Box::new(Checkpointed::never(block)))
                }
                Layer::Down(down) => Layer::Down(down.for_inference(pack)?),
                Layer::Up(up) => Layer::Up(up.for_inference(pack)?),
            })
        };
        Ok(Self { layers: self.layers.iter().map(&mut layer).collect::<Result<_>>()? })
    }

    /// # Shapes
    /// - x: [B, C, ...], as the first layer takes it
    /// - returns what the last layer gives
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
            Layer::Down(down) => down.forward(&x),
            Layer::Up(up) => up.forward(&x),
        })
    }
}
