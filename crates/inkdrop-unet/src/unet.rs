//! The U-Net of Ho et al. 2020 and its descendants: improved-diffusion, guided-diffusion,
//! nanodiffusion, diffusers' UNet2DModel and lucidrains' denoising-diffusion-pytorch.
//!
//! ```text
//! t ─ sinusoids ─ MLP ─┐                           (timestep embedding, given to every block)
//! x ─ conv ─ [res · attention]ₙ ─ downsample ─ …   encoder (down path)
//!      └────────────── skip connections ────────┐  middle: res · attention · res
//! out ─ conv ─ norm ─ … upsample ─ [res · attention]ₙ₊₁   decoder (up path)
//! ```
//!
//! A family of networks gives a [`UnetSpec`]: which layer is where, under which name, and how the
//! inputs are prepared. Everything else is here.

mod compiled;

pub use compiled::CompiledUnet;

use inkdrop_nn::{
    Activation, BlockConditioning, ClassIds, CompileOptions, Conditioning, Conv, Convolution,
    EmbedSequential, Embedding, Form, Init, Mlp, Mode, Modulation, Network, NetworkError, Norm,
    Normalization, Params, Scope, TrainableNetwork, Trained, Weight, diffusers_embedding,
    fourier_embedding, lucid_embedding, positional_embedding, timestep_embedding,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, TorchError, channels_last};

use crate::inputs::InputSpec;
use crate::spec::{
    ClassSpec, EmbeddingSpec, HeadSpec, JoinedClassSpec, Sinusoids, StageSpec, UnetSpec,
};

/// A U-Net with parameters (Ho et al. 2020, appendix B; Nichol & Dhariwal 2021; Dhariwal & Nichol
/// 2021), of all families but `context`.
///
/// It takes x `[B, C, ...]` and t `[B]`, in steps of the process, which may be fractions. It returns
/// the prediction, with the variance beside it if it is learned.
///
/// ```
/// use inkdrop_nn::{ClassIds, Conditioning, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
/// use inkdrop_unet::ImprovedConfig;
///
/// let config = ImprovedConfig {
///     features: 32,
///     multipliers: vec![1.0, 2.0],
///     attention: vec![2],
///     classes: Some(10),
///     ..ImprovedConfig::cifar10()
/// };
/// let network = config.build(Kind::Float, Device::Cpu)?;
/// let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
/// let t = Tensor::from_slice(&[12.5f32, 900.0]);
/// let classes = Conditioning::classes(ClassIds::new(&[3, 7], Device::Cpu)?);
/// let out = network.forward(&x, &t, &classes)?;
/// assert_eq!(out.size(), [2, 6, 16, 16]); // mean and variance
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Unet {
    inputs: InputSpec,
    embedding: EmbeddingLayers,
    backbone: Backbone<Trained>,
    params: Params,
}

impl Unet {
    /// Adds all layers to `params`, in the order in which the published network initialises them.
    pub(crate) fn new(spec: &UnetSpec, mut params: Params) -> Result<Self> {
        let dtypes = [params.torso(), params.kind()];
        let scope = &mut params.root();
        let stage = |scope: &mut Scope, stage: &StageSpec| {
            EmbedSequential::new(scope, &stage.layers, spec.checkpoint)
        };
        // diffusers initialises the first convolution before the timestep embedding.
        let (early, late) = spec.encoder.split_at(usize::from(spec.first_conv_first));
        let early: Vec<_> = early.iter().map(|s| stage(scope, s)).collect::<Result<_>>()?;
        let embedding = EmbeddingLayers::new(scope, spec, dtypes[1])?;
        let late: Vec<_> = late.iter().map(|s| stage(scope, s)).collect::<Result<_>>()?;
        let middle = spec.middle.iter().map(|s| stage(scope, s)).collect::<Result<_>>()?;
        let decoder = spec
            .decoder
            .iter()
            .map(|s| Ok(DecoderStage { layers: stage(scope, s)?, takes_skip: s.takes_skip }));
        let decoder = decoder.collect::<Result<_>>()?;
        let head = Head::new(&mut scope.full(), &spec.head)?;
        let encoder = early.into_iter().chain(late).collect();
        let backbone = Backbone { encoder, middle, decoder, head, dtypes };
        Ok(Self { inputs: spec.inputs.clone(), embedding, backbone, params })
    }

    /// Returns the activations of all stages (improved-diffusion's `get_feature_vectors`), in the
    /// dtype of the inputs.
    ///
    /// # Errors
    /// Those of a forward pass.
    pub fn features(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Features, NetworkError> {
        self.inputs.check(x, t, conditioning)?;
        let embedding = self.block_conditioning(t, conditioning)?;
        let x = self.inputs.prepare(x, conditioning)?;
        Ok(self.backbone.features(&x, &embedding, mode)?)
    }

    /// The conditioning of all blocks: the embedding of timestep and class, and the place in the batch.
    fn block_conditioning(
        &self,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<BlockConditioning> {
        let class_ids = conditioning.classes.as_ref().map(ClassIds::tensor);
        let first_image = conditioning.first_image;
        let interval = conditioning.interval.as_ref();
        Ok(BlockConditioning { first_image, ..self.embedding.forward(t, interval, class_ids)? })
    }
}

impl TrainableNetwork for Unet {
    /// - t: `[B]`, in steps; ignored by a network without timestep embedding
    /// - classes and low_res: required by the networks that take them, refused by the others
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.inputs.check(x, t, conditioning)?;
        let embedding = self.block_conditioning(t, conditioning)?;
        let input = self.inputs.prepare(x, conditioning)?;
        let out = self.backbone.forward(&input, &embedding, mode)?;
        Ok(self.inputs.crop(out, x)?)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn is_self_conditioned(&self) -> bool {
        self.inputs.self_condition
    }

    fn compile(
        &self,
        options: &CompileOptions,
    ) -> std::result::Result<Box<dyn Network>, NetworkError> {
        Ok(options.finish(CompiledUnet::new(self, options)?))
    }
}

// ------------------------------------------------------- timestep and class embedding

/// Timestep embedding (Vaswani et al. 2017, section 3.5, of t instead of the position) and class
/// embedding.
#[derive(Debug)]
struct EmbeddingLayers {
    timestep: Option<SinusoidalMlp>,
    /// Of the length of a time interval; added to that of the timestep.
    interval: Option<SinusoidalMlp>,
    classes: Option<ClassLayer>,
}

#[derive(Debug)]
enum ClassLayer {
    /// Added to the timestep embedding (Nichol & Dhariwal 2021, section 6).
    Table(Embedding),
    /// The same, of a class that is embedded like a timestep (diffusers).
    Sinusoidal(SinusoidalMlp),
    /// Concatenated with the timestep embedding (lucidrains).
    Joined(Box<JoinedClasses>),
    /// Class biases inside the residual blocks (nanodiffusion).
    PerBlock,
}

/// A table with a vector of its own for the null class, then an MLP.
#[derive(Debug)]
struct JoinedClasses {
    table: Embedding,
    null: Weight,
    mlp: Mlp,
}

/// Sinusoids of a number, then Linear · activation · Linear.
#[derive(Debug)]
struct SinusoidalMlp {
    sinusoids: Sinusoids,
    /// Frequencies of [`Sinusoids::Fourier`].
    frequencies: Option<Weight>,
    mlp: Mlp,
    dtype: Kind,
}

impl EmbeddingLayers {
    fn new(scope: &mut Scope, spec: &UnetSpec, dtype: Kind) -> Result<Self> {
        let timestep = spec.timestep.as_ref();
        let timestep =
            timestep.map(|spec| SinusoidalMlp::new(scope, spec, Mlp::new, dtype)).transpose()?;
        let interval = spec.interval.as_ref();
        let interval = interval
            .map(|spec| SinusoidalMlp::new(scope, spec, Mlp::new_zero, dtype))
            .transpose()?;
        let class = |spec: &ClassSpec| -> Result<ClassLayer> {
            Ok(match spec {
                ClassSpec::Table { key, rows, width } => {
                    ClassLayer::Table(Embedding::new(&mut scope.sub(key), *rows, *width)?)
                }
                ClassSpec::Sinusoidal(spec) => {
                    ClassLayer::Sinusoidal(SinusoidalMlp::new(scope, spec, Mlp::new, dtype)?)
                }
                ClassSpec::Joined(spec) => {
                    ClassLayer::Joined(Box::new(JoinedClasses::new(scope, spec)?))
                }
                ClassSpec::PerBlock => ClassLayer::PerBlock,
            })
        };
        Ok(Self { timestep, interval, classes: spec.classes.as_ref().map(class).transpose()? })
    }

    /// - t, interval: `[B]`; class_ids: `[B]` in i64
    fn forward(
        &self,
        t: &Tensor,
        interval: Option<&Tensor>,
        class_ids: Option<&Tensor>,
    ) -> Result<BlockConditioning> {
        let mut embedding = self.timestep.as_ref().map(|layers| layers.forward(t)).transpose()?;
        if let (Some(sum), Some(layers), Some(interval)) =
            (&mut embedding, &self.interval, interval)
        {
            *sum = sum.f_add(&layers.forward(interval)?)?;
        }
        let conditioning = BlockConditioning { embedding, ..BlockConditioning::default() };
        let (Some(layer), Some(ids)) = (&self.classes, class_ids) else { return Ok(conditioning) };
        let class = match layer {
            ClassLayer::Table(table) => table.forward(ids)?,
            ClassLayer::Sinusoidal(layers) => layers.forward(ids)?,
            ClassLayer::Joined(layers) => {
                let class = layers.forward(ids)?;
                let joined = |time: Tensor| Tensor::f_cat(&[&time, &class], 1);
                let embedding = conditioning.embedding.map(joined).transpose()?;
                return Ok(BlockConditioning { embedding, ..BlockConditioning::default() });
            }
            ClassLayer::PerBlock => {
                return Ok(BlockConditioning {
                    class_ids: Some(ids.shallow_clone()),
                    ..conditioning
                });
            }
        };
        let embedding = conditioning.embedding.map(|sum| sum.f_add(&class)).transpose()?;
        Ok(BlockConditioning { embedding, ..BlockConditioning::default() })
    }
}

impl JoinedClasses {
    fn new(scope: &mut Scope, spec: &JoinedClassSpec) -> Result<Self> {
        let width = spec.widths[0];
        Ok(Self {
            table: Embedding::new(&mut scope.sub(spec.table), spec.rows, width)?,
            null: scope.weight(spec.null, &[width], Init::Normal)?,
            mlp: Mlp::new(&mut scope.sub(spec.mlp), [0, 2], spec.widths, Activation::Gelu)?,
        })
    }

    /// [B] in 0..=rows, the last for the null class → [B, E].
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.mlp.forward(&self.table.forward_or_null(ids, &self.null)?)
    }
}

impl SinusoidalMlp {
    fn new(
        scope: &mut Scope,
        spec: &EmbeddingSpec,
        mlp: fn(&mut Scope, [&'static str; 2], [i64; 3], Activation) -> Result<Mlp>,
        dtype: Kind,
    ) -> Result<Self> {
        let scope = &mut scope.sub(spec.scope);
        let frequencies = match spec.sinusoids {
            Sinusoids::Fourier { key, frequencies, trained: true } => {
                Some(scope.weight(key, &[frequencies], Init::Normal)?)
            }
            Sinusoids::Fourier { key, frequencies, trained: false } => {
                Some(scope.drawn(key, &[frequencies], Init::Normal, 1.0)?)
            }
            _ => None,
        };
        let mlp = mlp(scope, spec.keys, spec.widths, spec.sinusoids.activation())?;
        Ok(Self { sinusoids: spec.sinusoids, frequencies, mlp, dtype })
    }

    /// [B] → [B, E].
    fn forward(&self, values: &Tensor) -> Result<Tensor> {
        let sinusoids = match self.sinusoids {
            Sinusoids::Nanodiffusion { width, scale } => positional_embedding(values, width, scale),
            Sinusoids::Improved { width } => timestep_embedding(values, width, 10_000.0),
            Sinusoids::Diffusers { width, cosine_first, shift } => {
                diffusers_embedding(values, width, cosine_first, shift)
            }
            Sinusoids::Lucid { width, theta } => lucid_embedding(values, width, theta),
            Sinusoids::Fourier { .. } => match &self.frequencies {
                Some(frequencies) => fourier_embedding(values, frequencies),
                None => Err(TorchError::message("the time embedding has no frequencies".into())),
            },
        };
        self.mlp.forward(&sinusoids?.f_to_kind(self.dtype)?)
    }
}

// ------------------------------------------------------- encoder, middle, decoder, head

/// The convolutional part of the network, with trained or with compiled layers.
#[derive(Debug)]
struct Backbone<F: Form> {
    encoder: Vec<EmbedSequential<F>>,
    middle: Vec<EmbedSequential<F>>,
    decoder: Vec<DecoderStage<F>>,
    head: Head<F>,
    /// Mixed precision: dtype of encoder, middle and decoder (the torso), and of the head.
    dtypes: [Kind; 2],
}

impl<F: Form> Backbone<F> {
    /// [B, C, ...] → [B, C', ...].
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        let mut skips = self.encode(x, conditioning, mode)?;
        let mut h = self.middle(&skips, conditioning, mode)?;
        for stage in &self.decoder {
            h = stage.forward(h, &mut skips, conditioning, mode)?;
        }
        self.head.forward(&h.f_to_kind(self.dtypes[1])?, mode)
    }

    /// The encoder (down path): the output of each stage is a skip connection to the decoder.
    fn encode(
        &self,
        x: &Tensor,
        conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Vec<Tensor>> {
        let mut h = x.f_to_kind(self.dtypes[0])?;
        if h.dim() == 4 && h.device() == Device::Cpu {
            h = channels_last(&h)?; // the layout of our kernels and of oneDNN
        }
        let mut skips = Vec::with_capacity(self.encoder.len());
        for stage in &self.encoder {
            h = stage.forward(&h, conditioning, mode)?;
            skips.push(h.shallow_clone());
        }
        Ok(skips)
    }

    /// The middle, at the lowest resolution.
    fn middle(
        &self,
        skips: &[Tensor],
        conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        let bottom = skips[skips.len() - 1].shallow_clone(); // the encoder has a first convolution
        self.middle.iter().try_fold(bottom, |h, stage| stage.forward(&h, conditioning, mode))
    }

    fn features(
        &self,
        x: &Tensor,
        conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Features> {
        let full = |h: &Tensor| -> Result<Tensor> { Ok(h.f_to_kind(self.dtypes[1])?) };
        let mut skips = self.encode(x, conditioning, mode)?;
        let encoder = skips.iter().map(full).collect::<Result<_>>()?;
        let mut h = self.middle(&skips, conditioning, mode)?;
        let mut features = Features { encoder, middle: Some(full(&h)?), decoder: Vec::new() };
        for stage in &self.decoder {
            h = stage.forward(h, &mut skips, conditioning, mode)?;
            features.decoder.push(full(&h)?);
        }
        Ok(features)
    }
}

/// Layers of the decoder (up path) that share one skip connection.
#[derive(Debug)]
struct DecoderStage<F: Form> {
    layers: EmbedSequential<F>,
    takes_skip: bool,
}

impl<F: Form> DecoderStage<F> {
    fn forward(
        &self,
        h: Tensor,
        skips: &mut Vec<Tensor>,
        conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        let h = match if self.takes_skip { skips.pop() } else { None } {
            Some(skip) => Tensor::f_cat(&[&h, &skip], 1)?, // skip connection
            None => h,
        };
        self.layers.forward(&h, conditioning, mode)
    }
}

/// Normalisation · activation · convolution, in full precision.
#[derive(Debug)]
struct Head<F: Form> {
    norm: F::Norm,
    activation: Option<Activation>,
    conv: F::Conv,
}

impl Head<Trained> {
    fn new(scope: &mut Scope, spec: &HeadSpec) -> Result<Self> {
        let norm = Norm::new(&mut scope.sub(spec.norm_key), spec.norm, spec.conv.inputs)?;
        let new = if spec.zero { Conv::new_zero } else { Conv::new };
        let conv = new(&mut scope.sub(spec.conv_key).full(), spec.conv)?;
        Ok(Self { norm, activation: spec.activation, conv })
    }
}

impl<F: Form> Head<F> {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let h = self.norm.forward_modulated(x, &Modulation::None, self.activation, mode)?;
        self.conv.forward(&h)
    }
}

/// Activations of all stages of a [`Unet`]; see [`Unet::features`].
#[derive(Debug, Default)]
pub struct Features {
    /// After each stage of the encoder, the first convolution included.
    pub encoder: Vec<Tensor>,
    /// After the middle.
    pub middle: Option<Tensor>,
    /// After each stage of the decoder.
    pub decoder: Vec<Tensor>,
}
