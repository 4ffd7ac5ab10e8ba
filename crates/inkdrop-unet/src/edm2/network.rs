//! EDM2's U-Net with parameters, and compiled.

use inkdrop_nn::{
    Block, BlockConditioning, Checkpointed, ClassIds, CompileOptions, Conditioning, EmbeddingCache,
    Init, Mode, MpConv, MpFourier, Network, NetworkError, Params, Scope, TrainableNetwork, Weight,
    compiled_activations, mp_cat, mp_silu, mp_sum,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, TorchError, channels_last};

use super::Edm2Config;
use super::block::MpBlock;
use super::spec::NamedBlock;
use crate::BuildError;
use crate::inputs::InputSpec;

/// EDM2's magnitude-preserving U-Net (Karras et al. 2024), family `edm2`, with the uncertainty head of its
/// preconditioning.
///
/// It takes x `[B, C, H, W]` and t `[B]`, which is c_noise = ¼·ln σ. In [`Mode::Train`] a pass overwrites the
/// weights by their normalised values. In mixed precision the weights stay in f32.
///
/// ```
/// use inkdrop_nn::{ClassIds, Conditioning, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
/// use inkdrop_unet::Edm2Config;
///
/// let config = Edm2Config {
///     size: 16,
///     multipliers: vec![1, 2],
///     blocks: 1,
///     classes: Some(10),
///     ..Edm2Config::imagenet64(16)
/// };
/// let network = config.build(Kind::Float, Device::Cpu)?;
/// let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
/// let t = Tensor::from_slice(&[-1.2f32, 0.5]);
/// let classes = Conditioning::classes(ClassIds::new(&[3, 10], Device::Cpu)?); // 10: no class
/// assert_eq!(network.forward(&x, &t, &classes)?, x.zeros_like()); // its last gain begins at 0
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Edm2Unet {
    inputs: InputSpec,
    embedding: EmbeddingLayers,
    layers: Layers<Checkpointed<MpBlock>>,
    out_gain: Weight,
    logvar: Option<(MpFourier, MpConv)>,
    params: Params,
}

/// The layer of the uncertainty head.
const LOGVAR: &str = "logvar_linear";

impl Edm2Config {
    /// The network with EDM2's initialisation.
    ///
    /// - dtype: `Float` or `Double`; `BFloat16` or `Half` for mixed precision
    ///
    /// # Errors
    /// An invalid config, or libtorch cannot allocate the network.
    pub fn build(&self, dtype: Kind, device: Device) -> std::result::Result<Edm2Unet, BuildError> {
        Edm2Unet::new(self, Params::new(dtype, device))
    }
}

impl Edm2Unet {
    /// Adds all layers to `params`.
    pub(crate) fn new(
        config: &Edm2Config,
        mut params: Params,
    ) -> std::result::Result<Self, BuildError> {
        config.check()?;
        let dtypes = [params.torso(), params.kind()];
        let root = &mut params.root();
        let unet = |scope: &mut Scope| -> Result<_> {
            let out_gain = scope.weight("out_gain", &[], Init::Constant(0.0))?;
            let embedding = EmbeddingLayers::new(scope, config, dtypes[1])?;
            Ok((out_gain, embedding, Layers::new(scope, config, dtypes)?))
        };
        let (out_gain, embedding, layers) = match config.logvar {
            Some(_) => unet(&mut root.sub("unet"))?,
            None => unet(root)?,
        };
        let logvar = |width| -> Result<_> {
            let fourier = MpFourier::new(&mut root.sub("logvar_fourier"), width)?;
            Ok((fourier, MpConv::new(&mut root.sub(LOGVAR), width, 1, None)?))
        };
        let logvar = config.logvar.map(logvar).transpose()?;
        Ok(Self { inputs: config.inputs(), embedding, layers, out_gain, logvar, params })
    }
}

/// The embedding of time and class.
#[derive(Debug)]
struct EmbeddingLayers {
    fourier: MpFourier,
    noise: MpConv,
    label: Option<MpConv>,
    label_balance: f64,
    classes: i64,
    dtype: Kind,
}

impl EmbeddingLayers {
    fn new(scope: &mut Scope, config: &Edm2Config, dtype: Kind) -> Result<Self> {
        let (noise, embedding) = (config.noise_features(), config.embedding());
        let fourier = MpFourier::new(&mut scope.sub("emb_fourier"), noise)?;
        let to_embedding = |scope: &mut Scope, key, inputs| {
            MpConv::new(&mut scope.sub(key), inputs, embedding, None)
        };
        Ok(Self {
            fourier,
            noise: to_embedding(scope, "emb_noise", noise)?,
            label: config
                .classes
                .map(|classes| to_embedding(scope, "emb_label", classes))
                .transpose()?,
            label_balance: config.label_balance,
            classes: config.classes.unwrap_or(0),
            dtype,
        })
    }

    /// The activated embedding, [B, E].
    ///
    /// - t: `[B]`; class_ids: `[B]` in i64, of which the last one is no class
    fn forward(&self, t: &Tensor, class_ids: Option<&Tensor>) -> Result<Tensor> {
        let mut embedding = self.noise.forward(&self.fourier.forward(t)?)?;
        if let (Some(layer), Some(ids)) = (&self.label, class_ids) {
            let rows = ids.f_one_hot(self.classes + 1)?.f_narrow(1, 0, self.classes)?;
            let rows = rows.f_to_kind(self.dtype)?.f_mul_scalar((self.classes as f64).sqrt())?;
            embedding = mp_sum(&embedding, &layer.forward(&rows)?, self.label_balance)?;
        }
        mp_silu(&embedding)
    }
}

/// The convolutional part of the network.
#[derive(Debug)]
struct Layers<B: Block> {
    first: MpConv,
    encoder: Vec<B>,
    decoder: Vec<(B, bool)>,
    last: MpConv,
    concat_balance: f64,
    /// Mixed precision: dtype of the blocks (the torso), and of the last layer.
    dtypes: [Kind; 2],
}

impl Layers<Checkpointed<MpBlock>> {
    fn new(scope: &mut Scope, config: &Edm2Config, dtypes: [Kind; 2]) -> Result<Self> {
        let level0 = config.level_channels()[0];
        let key = config.first_key();
        let first = MpConv::new(&mut scope.sub(key), config.channels + 1, level0, Some(3))?;
        let mut block = |named: &NamedBlock| {
            let build = |scope: &mut Scope| MpBlock::new(scope, named.block);
            Checkpointed::new(&mut scope.sub(&named.key), config.checkpoint, build)
        };
        let encoder = config.encoder().iter().map(&mut block).collect::<Result<_>>()?;
        let decoder = config.decoder();
        let decoder = decoder.iter().map(|named| Ok((block(named)?, named.takes_skip)));
        let decoder = decoder.collect::<Result<_>>()?;
        let last = MpConv::new(&mut scope.sub("out_conv"), level0, config.channels, Some(3))?;
        Ok(Self { first, encoder, decoder, last, concat_balance: config.concat_balance, dtypes })
    }
}

impl<B: Block> Layers<B> {
    /// The input of the last layer, [B, C, H, W].
    fn forward(&self, x: &Tensor, conditioning: &BlockConditioning, mode: Mode) -> Result<Tensor> {
        let [batch, _, height, width] = x.size()[..] else {
            return Err(TorchError::message(format!("{:?} is not [B, C, H, W]", x.size())));
        };
        let ones = Tensor::f_ones([batch, 1, height, width], (x.kind(), x.device()))?;
        let mut h = Tensor::f_cat(&[x, &ones], 1)?.f_to_kind(self.dtypes[0])?;
        if h.device() == Device::Cpu {
            h = channels_last(&h)?; // the layout of oneDNN
        }
        h = self.first.forward(&h)?;
        let mut skips = vec![h.shallow_clone()];
        for block in &self.encoder {
            h = block.forward(&h, conditioning, mode)?;
            skips.push(h.shallow_clone());
        }
        for (block, takes_skip) in &self.decoder {
            let skip = if *takes_skip { skips.pop() } else { None };
            if let Some(skip) = skip {
                h = mp_cat(&h, &skip, self.concat_balance)?;
            }
            h = block.forward(&h, conditioning, mode)?;
        }
        Ok(h.f_to_kind(self.dtypes[1])?)
    }
}

impl TrainableNetwork for Edm2Unet {
    /// - t: `[B]`, c_noise
    /// - classes: required by a class-conditional network; `classes` itself is no class
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.inputs.check(x, t, conditioning)?;
        if mode == Mode::Train {
            let unet = |name: &str| !name.starts_with(LOGVAR);
            MpConv::force_weight_norm(&self.params, unet)?;
        }
        let ids = conditioning.classes.as_ref().map(ClassIds::tensor);
        let block = BlockConditioning {
            first_image: conditioning.first_image,
            ..BlockConditioning::embedding(self.embedding.forward(t, ids)?)
        };
        let h = self.layers.forward(x, &block, mode)?;
        Ok(self.layers.last.forward_with_gain(&h, &self.out_gain)?)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn log_variance(
        &self,
        t: &Tensor,
        mode: Mode,
    ) -> std::result::Result<Option<Tensor>, NetworkError> {
        let Some((fourier, linear)) = &self.logvar else { return Ok(None) };
        if mode == Mode::Train {
            MpConv::force_weight_norm(&self.params, |name| name.starts_with(LOGVAR))?;
        }
        Ok(Some(linear.forward(&fourier.forward(t)?)?.f_squeeze_dim(1).map_err(TorchError::from)?))
    }

    fn compile(
        &self,
        options: &CompileOptions,
    ) -> std::result::Result<Box<dyn Network>, NetworkError> {
        Ok(options.finish(CompiledEdm2Unet::new(self, options)?))
    }
}

/// An [`Edm2Unet`] compiled for inference: its weights are normalised once. It has no gradients and no parameters.
#[derive(Debug)]
pub struct CompiledEdm2Unet {
    inputs: InputSpec,
    embedding: EmbeddingLayers,
    /// The projections of the embedding of all blocks, [columns, E].
    projection: Tensor,
    cache: Option<EmbeddingCache>,
    layers: Layers<MpBlock>,
    device: Device,
}

impl CompiledEdm2Unet {
    fn new(network: &Edm2Unet, options: &CompileOptions) -> Result<Self> {
        let (inputs, device) = (network.inputs.clone(), network.params.device());
        let embedding = network.embedding.detached()?;
        let mut matrices = Vec::new();
        let layers = network.layers.compile(network, &mut matrices, options.pack)?;
        let projection = Tensor::f_cat(&matrices, 0)?;
        let rows = |t: &Tensor, ids: Option<&Tensor>| {
            Ok(Some(project(&projection, &embedding.forward(t, ids)?)?))
        };
        let cache = EmbeddingCache::new(options, inputs.classes, device, rows)?;
        Ok(Self { inputs, embedding, projection, cache, layers, device })
    }

    /// The factors of all blocks: one row for all images if they share time and class.
    fn rows(&self, t: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        EmbeddingCache::embed(self.cache.as_ref(), (t, conditioning), Ok, |t, _, ids| {
            project(&self.projection, &self.embedding.forward(t, ids)?)
        })
    }
}

/// 1 + c for all channels of all blocks.
fn project(projection: &Tensor, embedding: &Tensor) -> Result<Tensor> {
    Ok(embedding.f_linear(projection, None::<&Tensor>)?.f_add_scalar(1.0)?)
}

impl Network for CompiledEdm2Unet {
    /// As that of [`Edm2Unet`], in evaluation mode.
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.inputs.check(x, t, conditioning)?;
        let modulation = Some(self.rows(t, conditioning)?);
        let conditioning = BlockConditioning { modulation, ..BlockConditioning::default() };
        let h = self.layers.forward(x, &conditioning, Mode::Eval)?;
        Ok(self.layers.last.forward(&h)?)
    }

    fn device(&self) -> Device {
        self.device
    }

    fn kind(&self) -> Kind {
        self.layers.dtypes[1]
    }
}

impl EmbeddingLayers {
    fn detached(&self) -> Result<Self> {
        Ok(Self {
            fourier: self.fourier.clone(),
            noise: self.noise.detached()?,
            label: self.label.as_ref().map(MpConv::detached).transpose()?,
            ..*self
        })
    }
}

impl Layers<Checkpointed<MpBlock>> {
    fn compile(
        &self,
        network: &Edm2Unet,
        matrices: &mut Vec<Tensor>,
        pack: bool,
    ) -> Result<Layers<MpBlock>> {
        let [torso, full] = self.dtypes;
        let activations = compiled_activations(torso, network.params.device(), pack)?;
        let mut block =
            |block: &Checkpointed<MpBlock>| block.block().compile(matrices, torso, pack);
        let encoder = self.encoder.iter().map(&mut block).collect::<Result<_>>()?;
        let decoder = self.decoder.iter().map(|(stage, skip)| Ok((block(stage)?, *skip)));
        Ok(Layers {
            decoder: decoder.collect::<Result<_>>()?,
            encoder,
            first: self.first.compile(None, torso, pack)?,
            last: self.last.compile(Some(&network.out_gain), full, pack)?,
            concat_balance: self.concat_balance,
            dtypes: [activations, full],
        })
    }
}
