//! Specification of a [`Unet`](crate::Unet): all channel bookkeeping and validation, without a tensor.
//!
//! A family turns its config into a [`UnetSpec`]. [`Unet`](crate::Unet) builds it,
//! [`Plan`](crate::Plan) estimates its cost.

use inkdrop_nn::{
    Activation, AttentionConfig, ConvConfig, LayerConfig, NormConfig, NormKind, ResBlockConfig,
    Resample,
};

use crate::ConfigError;
use crate::inputs::InputSpec;
use crate::size::product;

/// A U-Net before any tensor exists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnetSpec {
    /// Shapes and preparation of the inputs.
    pub inputs: InputSpec,
    /// Timestep embedding, if the network has one.
    pub timestep: Option<EmbeddingSpec>,
    /// Embedding of the length of a time interval (MeanFlow), which starts at zero.
    pub interval: Option<EmbeddingSpec>,
    /// Class embedding of a class-conditional network.
    pub classes: Option<ClassSpec>,
    /// Encoder (down path); the output of each stage is a skip connection.
    pub encoder: Vec<StageSpec>,
    /// Between encoder and decoder.
    pub middle: Vec<StageSpec>,
    /// Decoder (up path).
    pub decoder: Vec<StageSpec>,
    /// The last layers.
    pub head: HeadSpec,
    /// Gradient checkpointing of all residual and attention blocks.
    pub checkpoint: bool,
    /// The first convolution is initialised before the timestep embedding.
    pub first_conv_first: bool,
}

/// Sinusoids of a number, then Linear · activation · Linear.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmbeddingSpec {
    /// Form of the sinusoids.
    pub sinusoids: Sinusoids,
    /// Name of the module.
    pub scope: &'static str,
    /// Names of its two layers.
    pub keys: [&'static str; 2],
    /// Widths: input, hidden, output.
    pub widths: [i64; 3],
}

/// Sinusoidal embedding of a number, in the form of one of the published networks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sinusoids {
    /// nanodiffusion: t is multiplied by `scale`; see [`inkdrop_nn::positional_embedding`].
    Nanodiffusion { width: i64, scale: f64 },
    /// improved-diffusion; see [`inkdrop_nn::timestep_embedding`].
    Improved { width: i64 },
    /// diffusers; see [`inkdrop_nn::diffusers_embedding`].
    Diffusers { width: i64, cosine_first: bool, shift: f64 },
    /// lucidrains; see [`inkdrop_nn::lucid_embedding`].
    Lucid { width: i64, theta: f64 },
    /// The number itself and its Fourier features; see [`inkdrop_nn::fourier_embedding`]. The
    /// frequencies have a key, and are trained or drawn once.
    Fourier { key: &'static str, frequencies: i64, trained: bool },
}

/// Class conditioning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClassSpec {
    /// An embedding table, added to the timestep embedding.
    Table { key: &'static str, rows: i64, width: i64 },
    /// An embedding like that of a timestep, added to it.
    Sinusoidal(EmbeddingSpec),
    /// An embedding table and the null class's own vector, then an MLP; the result is concatenated with
    /// the timestep embedding.
    Joined(JoinedClassSpec),
    /// Class biases inside the residual blocks.
    PerBlock,
}

/// Class embedding that is concatenated with the timestep embedding (lucidrains).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JoinedClassSpec {
    /// Name of the table.
    pub table: &'static str,
    /// Name of the vector of the null class, whose id follows those of the table.
    pub null: &'static str,
    /// Name of the MLP, whose layers are `0` and `2`.
    pub mlp: &'static str,
    /// Number of classes in the table.
    pub rows: i64,
    /// Widths: of a row, hidden, output.
    pub widths: [i64; 3],
}

/// Layers between two skip connections.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StageSpec {
    /// Name for display: the common prefix of the layers' names.
    pub name: String,
    /// Configurations of the layers, each with its full name.
    pub layers: Vec<(String, LayerConfig)>,
    /// The newest skip connection is concatenated to the input.
    pub takes_skip: bool,
}

/// Normalisation · activation · convolution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeadSpec {
    /// Name of the normalisation.
    pub norm_key: &'static str,
    /// The normalisation.
    pub norm: NormConfig,
    /// The activation, if there is one.
    pub activation: Option<Activation>,
    /// Name of the convolution.
    pub conv_key: &'static str,
    /// The convolution.
    pub conv: ConvConfig,
    /// Initialises the convolution with zeros.
    pub zero: bool,
}

impl Sinusoids {
    /// The activation of the layers behind the sinusoids.
    pub fn activation(self) -> Activation {
        match self {
            Self::Lucid { .. } | Self::Fourier { .. } => Activation::Gelu,
            Self::Nanodiffusion { .. } | Self::Improved { .. } | Self::Diffusers { .. } => {
                Activation::Silu
            }
        }
    }
}

impl StageSpec {
    /// A stage of the encoder or the middle, or one of the decoder that takes no skip connection.
    pub fn plain(name: impl Into<String>, layers: Vec<(String, LayerConfig)>) -> Self {
        Self { name: name.into(), layers, takes_skip: false }
    }

    /// A stage of the decoder that takes a skip connection.
    pub fn with_skip(name: impl Into<String>, layers: Vec<(String, LayerConfig)>) -> Self {
        Self { takes_skip: true, ..Self::plain(name, layers) }
    }

    /// Checks groups, heads and channels of all layers.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.layers.iter().try_for_each(|(key, layer)| match layer {
            LayerConfig::Res(config) => check_res(key, config),
            LayerConfig::Attention(config) => check_attention(key, config),
            LayerConfig::MemoryAttention(config) => {
                check_channels(key, config.channels)?;
                check_channels(key, config.inner())
            }
            LayerConfig::Unshuffle | LayerConfig::Double => Ok(()),
            LayerConfig::Conv(config) => check_channels(key, config.outputs),
            LayerConfig::Down(config) | LayerConfig::Up(config) => {
                check_channels(key, config.channels)
            }
        })
    }
}

/// The maximum number of channels of a layer.
const CHANNELS: i64 = 1 << 16;

impl UnetSpec {
    /// Checks groups, heads and channels of all layers.
    ///
    /// # Errors
    /// The first invalid layer, with the config's field that causes it.
    pub fn validated(mut self) -> Result<Self, ConfigError> {
        for stage in self.encoder.iter().chain(&self.middle).chain(&self.decoder) {
            stage.check()?;
        }
        check_norm(self.head.norm_key, self.head.norm, self.head.conv.inputs)?;
        self.inputs.multiple = self.multiple();
        Ok(self)
    }

    /// Height and width must be multiples of this: 2 for each downsampling.
    fn multiple(&self) -> i64 {
        let halves = |layer: &&(String, LayerConfig)| match &layer.1 {
            LayerConfig::Down(_) | LayerConfig::Unshuffle => true,
            LayerConfig::Conv(config) => config.stride().ends_with(&[2]),
            LayerConfig::Res(config) => config.resample == Resample::Halve,
            _ => false,
        };
        let layers = self.encoder.iter().flat_map(|stage| &stage.layers);
        1 << layers.filter(halves).count().min(62)
    }

    /// Checks that an image of this size, padding included, is divisible by all downsamplings.
    ///
    /// # Errors
    /// The axis that is not.
    pub fn check_size(&self, size: &[i64]) -> Result<(), ConfigError> {
        let InputSpec { multiple, dims, padding, .. } = self.inputs;
        if size.len() != dims {
            let problem = format!("has {} axes, the network runs over {dims}", size.len());
            return Err(ConfigError::field("size", product(size), problem));
        }
        for axis in size {
            ConfigError::within("size", axis - 2 * padding, 1, 1 << 20)?;
        }
        let halved = &size[size.len().saturating_sub(2)..];
        let wrong = halved.iter().find(|&&axis| axis % multiple != 0);
        let Some(axis) = wrong else { return Ok(()) };
        let (halvings, next) = (multiple.ilog2(), (axis / multiple + 1) * multiple);
        let padded = match padding {
            0 => String::new(),
            _ => format!(" after {padding} are added at both ends"),
        };
        let problem = format!(
            "cannot be halved {halvings} times: expected a multiple of {multiple}{padded}, such as {}",
            next - 2 * padding
        );
        Err(ConfigError::field("size", axis - 2 * padding, problem))
    }
}

fn check_res(key: &str, config: &ResBlockConfig) -> Result<(), ConfigError> {
    for channels in [config.inputs, config.outputs] {
        check_channels(key, channels)?;
        check_norm(key, config.norm, channels)?;
    }
    Ok(())
}

fn check_attention(key: &str, config: &AttentionConfig) -> Result<(), ConfigError> {
    let (channels, heads) = (config.channels, config.heads);
    check_channels(key, channels)?;
    check_norm(key, config.norm, channels)?;
    if heads < 1 || config.inner < heads || config.inner % heads != 0 {
        let problem = format!("do not divide the {channels} channels of {key}");
        return Err(ConfigError::field("heads", heads, problem));
    }
    Ok(())
}

fn check_channels(key: &str, channels: i64) -> Result<(), ConfigError> {
    if (1..=CHANNELS).contains(&channels) {
        return Ok(());
    }
    let problem = format!("in {key} is out of range: expected 1 to {CHANNELS}");
    Err(ConfigError::field("channels", channels, problem))
}

pub(crate) fn check_norm(key: &str, norm: NormConfig, channels: i64) -> Result<(), ConfigError> {
    let groups = norm.groups_of(channels);
    let divides = groups >= 1 && channels % groups == 0;
    if norm.kind != NormKind::Group || divides {
        return Ok(());
    }
    let problem = format!("do not divide the {channels} channels of {key}");
    Err(ConfigError::field("groups", groups, problem))
}
