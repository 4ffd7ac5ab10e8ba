//! EDM's U-Nets with parameters, and compiled.

use inkdrop_nn::{
    Activation, BlockConditioning, CompileOptions, Compiled, Conditioning, Conv, Convolution,
    EmbedSequential, EmbeddingCache, Form, FusedProjection, FusedProjectionBuilder, Init, Mode,
    Network, NetworkError, Norm, Normalization, Params, Resample, Resampling, Scope,
    TrainableNetwork, Trained, compiled_activations,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, channels_last};

use super::EdmConfig;
use super::embedding::EmbeddingLayers;
use super::spec::{DecoderSpec, EncoderSpec, ImageSpec, OutputSpec};
use crate::BuildError;
use crate::inputs::InputSpec;

/// SongUNet or DhariwalUNet (Karras et al. 2022), family `edm`.
///
/// It takes x `[B, C, H, W]` and t `[B]`, which is c_noise of its preconditioning.
///
/// ```
/// use inkdrop_nn::{ClassIds, Conditioning, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
/// use inkdrop_unet::EdmConfig;
///
/// let config = EdmConfig {
///     size: 16,
///     features: 16,
///     multipliers: vec![1, 2],
///     blocks: 1,
///     attention: vec![8],
///     classes: Some(10),
///     ..EdmConfig::cifar10()
/// };
/// let network = config.build(Kind::Float, Device::Cpu)?;
/// let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
/// let t = Tensor::from_slice(&[-1.2f32, 0.5]);
/// let classes = Conditioning::classes(ClassIds::new(&[3, 10], Device::Cpu)?); // 10: no class
/// assert_eq!(network.forward(&x, &t, &classes)?.size(), [2, 3, 16, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EdmUnet {
    inputs: InputSpec,
    embedding: EmbeddingLayers,
    backbone: Backbone<Trained>,
    params: Params,
}

impl EdmConfig {
    /// The network with EDM's initialisation.
    ///
    /// - dtype: `Float` or `Double`; `BFloat16` or `Half` for mixed precision
    ///
    /// # Errors
    /// An invalid config, or libtorch cannot allocate the network.
    pub fn build(&self, dtype: Kind, device: Device) -> std::result::Result<EdmUnet, BuildError> {
        EdmUnet::new(self, Params::new(dtype, device))
    }
}

impl EdmUnet {
    /// Adds all layers to `params`.
    pub(crate) fn new(
        config: &EdmConfig,
        mut params: Params,
    ) -> std::result::Result<Self, BuildError> {
        let spec = config.spec()?;
        let dtypes = [params.torso(), params.kind()];
        let scope = &mut params.root();
        let embedding = EmbeddingLayers::new(scope, config, dtypes[1])?;
        let checkpoint = spec.checkpoint;
        let encoder = spec.encoder.iter().map(|spec| EncoderStage::new(scope, spec, checkpoint));
        let encoder = encoder.collect::<Result<_>>()?;
        let decoder = spec.decoder.iter().map(|spec| DecoderStage::new(scope, spec, checkpoint));
        let decoder = decoder.collect::<Result<_>>()?;
        let song = config.song().is_some();
        params.initialize(|name, shape| initialization(name, shape, song))?;
        let backbone = Backbone { encoder, decoder, dtypes };
        Ok(Self { inputs: spec.inputs, embedding, backbone, params })
    }
}

/// The initialisation of a parameter: Xavier's of SongUNet, Kaiming's of DhariwalUNet.
fn initialization(name: &str, shape: &[i64], song: bool) -> Init {
    let (module, leaf) = name.rsplit_once('.').unwrap_or(("", name));
    let layer = module.rsplit('.').next().unwrap_or(module);
    if layer.contains("norm") {
        return Init::Constant(if leaf == "weight" { 1.0 } else { 0.0 });
    }
    let last = layer == "conv1" || layer == "proj" || layer.ends_with("aux_conv");
    if !song {
        return dhariwal(layer, last || layer == "out_conv", shape);
    }
    if leaf == "bias" {
        return Init::Constant(0.0);
    }
    let kernel: i64 = shape[2..].iter().product();
    let bound = (6.0 / ((shape[0] + shape[1]) * kernel) as f64).sqrt();
    let gain = match layer {
        _ if last => 1e-5,
        "qkv" => 0.2f64.sqrt(),
        _ => 1.0,
    };
    Init::Uniform(bound * gain)
}

/// Weights and biases are uniform in ±1/√fan_in but for those that start at 0, and the labels' standard
/// normal ones. √L, with which EDM multiplies those, cancels with their 1/√fan_in.
fn dhariwal(layer: &str, last: bool, shape: &[i64]) -> Init {
    match layer {
        _ if last => Init::Constant(0.0),
        "map_augment" => Init::Constant(0.0),
        "map_label" => Init::Normal,
        _ => Init::FanIn(shape[1..].iter().product()),
    }
}

/// The convolutional part of the network, with trained or with compiled layers.
#[derive(Debug)]
struct Backbone<F: Form> {
    encoder: Vec<EncoderStage<F>>,
    decoder: Vec<DecoderStage<F>>,
    /// Mixed precision: dtype of the blocks (the torso), and of the outputs.
    dtypes: [Kind; 2],
}

impl<F: Form> Backbone<F> {
    /// [B, C, H, W] → [B, C', H, W].
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        let mut image = x.f_to_kind(self.dtypes[0])?;
        if image.device() == Device::Cpu {
            image = channels_last(&image)?; // the layout of our kernels and of oneDNN
        }
        let mut h = image.shallow_clone();
        let mut skips = Vec::with_capacity(self.encoder.len());
        for stage in &self.encoder {
            h = stage.layers.forward(&h, conditioning, mode)?;
            if let Some(layers) = &stage.image {
                (h, image) = layers.forward(&h, &image)?;
            }
            skips.push(h.shallow_clone());
        }
        let mut sum: Option<Tensor> = None;
        for stage in &self.decoder {
            let skip = if stage.takes_skip { skips.pop() } else { None };
            if let Some(skip) = skip {
                h = Tensor::f_cat(&[&h, &skip], 1)?; // skip connection
            }
            h = stage.layers.forward(&h, conditioning, mode)?;
            if let Some(output) = &stage.output {
                sum = Some(output.forward(&h.f_to_kind(self.dtypes[1])?, sum, mode)?);
            }
        }
        Ok(sum.unwrap_or(h))
    }
}

/// Layers that end in a skip connection.
#[derive(Debug)]
struct EncoderStage<F: Form> {
    layers: EmbedSequential<F>,
    image: Option<ImageLayers<F>>,
}

impl EncoderStage<Trained> {
    fn new(scope: &mut Scope, spec: &EncoderSpec, checkpoint: bool) -> Result<Self> {
        let layers = EmbedSequential::new(scope, &spec.stage.layers, checkpoint)?;
        let image = spec.image.as_ref().map(|spec| ImageLayers::new(scope, spec)).transpose()?;
        Ok(Self { layers, image })
    }
}

/// What the image adds to the encoder.
#[derive(Debug)]
struct ImageLayers<F: Form> {
    conv: F::Conv,
    down: Resampling,
    /// The sum is the image of the next level (residual encoder).
    residual: bool,
}

impl ImageLayers<Trained> {
    fn new(scope: &mut Scope, spec: &ImageSpec) -> Result<Self> {
        let (down_key, key, conv, filter) = match spec {
            ImageSpec::Skip { down, key, conv, filter } => (down, key, *conv, *filter),
            ImageSpec::Residual { key, conv, filter } => (key, key, *conv, *filter),
        };
        let down = Resampling::new(&mut scope.sub(down_key), Resample::Halve, Some(filter))?;
        let conv = Conv::new(&mut scope.sub(key), conv)?;
        Ok(Self { conv, down, residual: matches!(spec, ImageSpec::Residual { .. }) })
    }
}

impl<F: Form> ImageLayers<F> {
    /// x with what the image adds, and the image of the next level.
    fn forward(&self, x: &Tensor, image: &Tensor) -> Result<(Tensor, Tensor)> {
        if self.residual {
            // The convolution has the padding of the filter, too.
            let image = self.down.halve_unpadded(&self.conv.forward(image)?)?;
            let sum = x.f_add(&image)?.f_div_scalar(2f64.sqrt())?;
            return Ok((sum.shallow_clone(), sum));
        }
        let image = self.down.forward(image)?;
        Ok((self.conv.forward_add(&image, x)?, image))
    }
}

/// Layers of the decoder.
#[derive(Debug)]
struct DecoderStage<F: Form> {
    layers: EmbedSequential<F>,
    takes_skip: bool,
    output: Option<Output<F>>,
}

impl DecoderStage<Trained> {
    fn new(scope: &mut Scope, spec: &DecoderSpec, checkpoint: bool) -> Result<Self> {
        let layers = EmbedSequential::new(scope, &spec.stage.layers, checkpoint)?;
        let output = spec.output.as_ref();
        let output = output.map(|spec| Output::new(&mut scope.full(), spec)).transpose()?;
        Ok(Self { layers, takes_skip: spec.stage.takes_skip, output })
    }
}

/// An output, in full precision.
#[derive(Debug)]
struct Output<F: Form> {
    up: Option<Resampling>,
    norm: F::Norm,
    conv: F::Conv,
}

impl Output<Trained> {
    fn new(scope: &mut Scope, spec: &OutputSpec) -> Result<Self> {
        let up = spec.up.as_ref().map(|(key, filter)| {
            Resampling::new(&mut scope.sub(key), Resample::Double, Some(*filter))
        });
        Ok(Self {
            up: up.transpose()?,
            norm: Norm::new(&mut scope.sub(&spec.norm_key), spec.norm, spec.conv.inputs)?,
            conv: Conv::new(&mut scope.sub(&spec.key).full(), spec.conv)?,
        })
    }
}

impl<F: Form> Output<F> {
    /// conv(silu(norm(x))), plus the upsampled sum of the outputs before.
    fn forward(&self, x: &Tensor, sum: Option<Tensor>, mode: Mode) -> Result<Tensor> {
        let x = self.norm.forward_with_activation(x, Activation::Silu, mode)?;
        match (&self.up, sum) {
            (Some(up), Some(sum)) => self.conv.forward_add(&x, &up.forward(&sum)?),
            _ => self.conv.forward(&x),
        }
    }
}

impl TrainableNetwork for EdmUnet {
    /// - t: `[B]`, c_noise
    /// - classes: required by a class-conditional network; `classes` itself is no class
    /// - augment: may be left out
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.inputs.check(x, t, conditioning)?;
        let embedding = match mode {
            Mode::Eval => self.embedding.of(t, conditioning)?,
            _ => self.embedding.of_training(t, conditioning)?,
        };
        let block = BlockConditioning {
            first_image: conditioning.first_image,
            ..BlockConditioning::embedding(embedding)
        };
        Ok(self.backbone.forward(x, &block, mode)?)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn compile(
        &self,
        options: &CompileOptions,
    ) -> std::result::Result<Box<dyn Network>, NetworkError> {
        Ok(options.finish(CompiledEdmUnet::new(self, options)?))
    }
}

/// An [`EdmUnet`] compiled for inference. It has no gradients and no parameters.
#[derive(Debug)]
pub struct CompiledEdmUnet {
    inputs: InputSpec,
    embedding: EmbeddingLayers,
    projection: FusedProjection,
    cache: Option<EmbeddingCache>,
    backbone: Backbone<Compiled>,
    device: Device,
}

impl CompiledEdmUnet {
    fn new(network: &EdmUnet, options: &CompileOptions) -> Result<Self> {
        let (inputs, device) = (network.inputs.clone(), network.params.device());
        let embedding = network.embedding.detached()?;
        let (backbone, projection) = network.backbone.compile(options, device)?;
        let rows = |t: &Tensor, ids: Option<&Tensor>| {
            project(&projection, embedding.forward(t, ids, None)?)
        };
        let cache = EmbeddingCache::new(options, inputs.classes, device, rows)?;
        Ok(Self { inputs, embedding, projection, cache, backbone, device })
    }

    /// The modulation of all blocks: one row for all images if they share everything.
    fn rows(&self, t: &Tensor, conditioning: &Conditioning) -> Result<Option<Tensor>> {
        if conditioning.augment.is_some() {
            return project(&self.projection, self.embedding.of(t, conditioning)?);
        }
        let row = |row| Ok(Some(row));
        EmbeddingCache::embed(self.cache.as_ref(), (t, conditioning), row, |t, _, ids| {
            project(&self.projection, self.embedding.forward(t, ids, None)?)
        })
    }
}

fn project(projection: &FusedProjection, embedding: Tensor) -> Result<Option<Tensor>> {
    projection.rows(&BlockConditioning::embedding(embedding))
}

impl Network for CompiledEdmUnet {
    /// As that of [`EdmUnet`], in evaluation mode.
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.inputs.check(x, t, conditioning)?;
        let modulation = self.rows(t, conditioning)?;
        let conditioning = BlockConditioning { modulation, ..BlockConditioning::default() };
        Ok(self.backbone.forward(x, &conditioning, Mode::Eval)?)
    }

    fn device(&self) -> Device {
        self.device
    }

    fn kind(&self) -> Kind {
        self.backbone.dtypes[1]
    }
}

impl Backbone<Trained> {
    fn compile(
        &self,
        options: &CompileOptions,
        device: Device,
    ) -> Result<(Backbone<Compiled>, FusedProjection)> {
        let pack = options.pack;
        let mut builder = FusedProjectionBuilder::default();
        let encoder = self.encoder.iter().map(|stage| {
            let image = stage.image.as_ref().map(|image| -> Result<_> {
                let (conv, down) = (image.conv.compile(pack)?, image.down.compile()?);
                Ok(ImageLayers { conv, down, residual: image.residual })
            });
            let layers = stage.layers.compile(options, &mut builder)?;
            Ok(EncoderStage { layers, image: image.transpose()? })
        });
        let encoder = encoder.collect::<Result<_>>()?;
        let decoder = self.decoder.iter().map(|stage| {
            let output = stage.output.as_ref().map(|output| output.compile(pack)).transpose()?;
            let layers = stage.layers.compile(options, &mut builder)?;
            Ok(DecoderStage { layers, takes_skip: stage.takes_skip, output })
        });
        let decoder = decoder.collect::<Result<_>>()?;
        let [torso, full] = self.dtypes;
        let dtypes = [compiled_activations(torso, device, pack)?, full];
        Ok((Backbone { encoder, decoder, dtypes }, builder.finish()?))
    }
}

impl Output<Trained> {
    fn compile(&self, pack: bool) -> Result<Output<Compiled>> {
        Ok(Output {
            up: self.up.as_ref().map(Resampling::compile).transpose()?,
            norm: self.norm.compile(pack)?,
            conv: self.conv.compile(pack)?,
        })
    }
}
