//! DiT with parameters, and compiled.

use inkdrop_nn::{
    Activation, Block, BlockConditioning, Checkpointed, ClassIds, CompileOptions, CompiledConv,
    Conditioning, Conv, Convolution, Embedding, EmbeddingCache, Init, Linear, Mlp, Mode, Network,
    NetworkError, Params, RotaryEmbedding, Scope, TokenNorm, TrainableNetwork, Weight,
    compiled_activations, position_embedding_2d, timestep_embedding,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, TorchError};

use super::DitConfig;
use super::block::{AdaLn, DitBlock, Projections, TokenLinear, token_norm};
use super::tokens::{ContextTokens, EMBEDDING_STD, patch_embedding};
use crate::BuildError;

/// Number of sinusoids of the timestep.
const SINUSOIDS: i64 = 256;

/// DiT, the diffusion transformer (Peebles & Xie 2023), family `dit`. JiT (Li & He 2025) is the same with other options.
///
/// It takes x `[B, C, H, W]` of its own size and t `[B]`.
///
/// ```
/// use inkdrop_nn::{ClassIds, Conditioning, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
/// use inkdrop_unet::DitConfig;
///
/// let network = DitConfig { depth: 1, ..DitConfig::sprites() }.build(Kind::Float, Device::Cpu)?;
/// let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
/// let t = Tensor::from_slice(&[0.0f32, 999.0]);
/// let classes = Conditioning::classes(ClassIds::new(&[3, 5], Device::Cpu)?); // 5: no class
/// assert_eq!(network.forward(&x, &t, &classes)?, x.zeros_like()); // its last layer begins at 0
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Dit {
    embedding: EmbeddingLayers,
    body: Body<Checkpointed<DitBlock>, Conv>,
    params: Params,
}

impl DitConfig {
    /// The network with DiT's initialisation.
    ///
    /// - dtype: `Float` or `Double`; `BFloat16` or `Half` for mixed precision
    ///
    /// # Errors
    /// An invalid config, or libtorch cannot allocate the network.
    pub fn build(&self, dtype: Kind, device: Device) -> std::result::Result<Dit, BuildError> {
        Dit::new(self, Params::new(dtype, device))
    }
}

impl Dit {
    /// Adds all layers to `params`.
    pub(crate) fn new(
        config: &DitConfig,
        mut params: Params,
    ) -> std::result::Result<Self, BuildError> {
        config.check()?;
        let dtypes = [params.torso(), params.kind()];
        let scope = &mut params.root();
        // The positions come first in the original's state_dict, the embeddings before the blocks.
        let positions = position_embedding_2d(config.features, config.grid())?;
        let positions = positions.f_unsqueeze(0).map_err(TorchError::from)?;
        let positions = scope.constant("pos_embed", &positions)?;
        let context = ContextTokens::new(scope, config)?;
        let patches = patch_embedding(&mut scope.sub("x_embedder"), config)?;
        let embedding = EmbeddingLayers::new(scope, config)?;
        let at = (scope.full_kind(), positions.device());
        let rotary = |tokens| {
            let width = config.features / config.heads;
            RotaryEmbedding::new(width, config.grid(), tokens, at)
        };
        let rotary = match config.rotary {
            true => Some([rotary(0)?, rotary(config.in_context_len)?]),
            false => None,
        };
        let blocks = (0..config.depth).map(|number| {
            let later = usize::from(number >= config.in_context_start);
            let rotary = rotary.as_ref().map(|both| both[later].clone());
            let build = |scope: &mut Scope| DitBlock::new(scope, config, rotary);
            let scope = &mut scope.sub("blocks");
            Checkpointed::new(&mut scope.sub(number), config.checkpoint, build)
        });
        let blocks = blocks.collect::<Result<_>>()?;
        let last = &mut scope.sub("final_layer");
        let norm = token_norm(last, "norm_final", config)?;
        let values = config.patch * config.patch * config.outputs;
        let linear = Linear::new_zero(&mut last.sub("linear"), config.features, values)?;
        let linear = TokenLinear::Trained(linear);
        let modulation = AdaLn::new(last, config.features)?;
        params.initialize(initialization)?;
        let config = config.clone();
        let body =
            Body { config, patches, positions, context, blocks, norm, linear, modulation, dtypes };
        Ok(Self { embedding, body, params })
    }
}

/// Xavier's uniform weights, small normal ones in the embeddings, and zeros where a block or the output starts from
/// nothing.
fn initialization(name: &str, shape: &[i64]) -> Init {
    let zero = name.ends_with("bias")
        || name.contains("adaLN_modulation.")
        || name.starts_with("final_layer.linear.");
    match name {
        _ if zero => Init::Constant(0.0),
        "in_context_posemb" => Init::ScaledNormal(EMBEDDING_STD),
        _ if name.starts_with("t_embedder.") || name.starts_with("y_embedder.") => {
            Init::ScaledNormal(EMBEDDING_STD)
        }
        _ if shape.len() == 1 => Init::Constant(1.0), // the factors of a norm
        _ => {
            let inputs: i64 = shape[1..].iter().product();
            Init::Uniform((6.0 / (shape[0] + inputs) as f64).sqrt())
        }
    }
}

/// The embedding of time and class.
#[derive(Debug)]
struct EmbeddingLayers {
    time: Mlp,
    classes: Option<Embedding>,
    kind: Kind,
}

impl EmbeddingLayers {
    fn new(scope: &mut Scope, config: &DitConfig) -> Result<Self> {
        let widths = [SINUSOIDS, config.features, config.features];
        let time = &mut scope.sub("t_embedder");
        let time = Mlp::new(&mut time.sub("mlp"), [0, 2], widths, Activation::Silu)?;
        let mut table = |classes| {
            let scope = &mut scope.sub("y_embedder");
            Embedding::new(&mut scope.sub("embedding_table"), classes + 1, config.features)
        };
        let classes = config.classes.map(&mut table).transpose()?;
        Ok(Self { time, classes, kind: scope.full_kind() })
    }

    /// The activated embedding, [B, D], and the class vector alone, [B, D].
    ///
    /// - t: `[B]`; class_ids: `[B]` in i64, of which the last one is no class
    fn forward(&self, t: &Tensor, class_ids: Option<&Tensor>) -> Result<Embedded> {
        let sinusoids = timestep_embedding(t, SINUSOIDS, 10_000.0)?.f_to_kind(self.kind)?;
        let mut embedding = self.time.forward(&sinusoids)?;
        let mut class = None;
        if let (Some(table), Some(ids)) = (&self.classes, class_ids) {
            let vector = table.forward(ids)?;
            embedding = embedding.f_add(&vector)?;
            class = Some(vector);
        }
        Ok(Embedded { activated: embedding.f_silu()?, class })
    }

    fn detached(&self) -> Result<Self> {
        Ok(Self {
            time: self.time.detached()?,
            classes: self.classes.as_ref().map(Embedding::detached).transpose()?,
            kind: self.kind,
        })
    }
}

/// Embedding of the time and class of each image.
struct Embedded {
    /// Of both, [B, D].
    activated: Tensor,
    /// Of the class, [B, D].
    class: Option<Tensor>,
}

/// From the image to tokens, through the blocks, and back.
#[derive(Debug)]
struct Body<B: Block, C: Convolution> {
    config: DitConfig,
    patches: Vec<C>,
    /// [1, T, D]
    positions: Weight,
    context: Option<ContextTokens>,
    blocks: Vec<B>,
    norm: TokenNorm,
    linear: TokenLinear,
    modulation: AdaLn<2>,
    /// Mixed precision: dtype of the blocks (the torso), and of the last layer.
    dtypes: [Kind; 2],
}

impl<B: Block, C: Convolution> Body<B, C> {
    /// Checks all inputs.
    fn check(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<(), NetworkError> {
        let size = self.config.size;
        if x.dim() == 4 && x.size()[2..] != [size, size] {
            let expected =
                format!("[B, {}, {size}, {size}], the size of the positions", self.config.channels);
            return Err(NetworkError::Shape { input: "x", given: x.size(), expected });
        }
        self.config.inputs().check(x, t, conditioning)
    }

    /// [B, C, H, W] → [B, C', H, W]
    ///
    /// - class: the class vectors, [B, D], or [1, D] for all images
    fn forward(
        &self,
        x: &Tensor,
        conditioning: &BlockConditioning,
        class: Option<&Tensor>,
        mode: Mode,
    ) -> Result<Tensor> {
        let [torso, full] = self.dtypes;
        let mut h = x.f_to_kind(torso)?;
        for map in &self.patches {
            h = map.forward(&h)?; // [B, D, H/p, W/p]
        }
        let h = h.f_flatten(2, -1)?.f_transpose(1, 2)?; // [B, T, D]
        let mut h = h.f_to_kind(full)?.f_add(&self.positions)?.f_to_kind(torso)?;
        for (number, block) in self.blocks.iter().enumerate() {
            if let Some(context) = self.context.as_ref().filter(|tokens| tokens.start() == number) {
                h = context.prepend(&h, class)?;
            }
            h = block.forward(&h, conditioning, mode)?;
        }
        if let Some(context) = &self.context {
            h = context.strip(&h)?;
        }
        let [shift, scale] = self.modulation.vectors(conditioning)?;
        let h = self.norm.modulated(&h.f_to_kind(full)?, &shift, &scale)?;
        self.image(&self.linear.forward(&h)?)
    }

    /// The image of tokens, [B, T, p·p·C'] → [B, C', H, W].
    fn image(&self, tokens: &Tensor) -> Result<Tensor> {
        let DitConfig { size, outputs, patch, .. } = self.config;
        let grid = self.config.grid();
        let h = tokens.f_reshape([-1, grid, grid, patch, patch, outputs])?;
        Ok(h.f_permute([0, 5, 1, 3, 2, 4])?.f_reshape([-1, outputs, size, size])?)
    }
}

impl TrainableNetwork for Dit {
    /// - t: `[B]`
    /// - classes: required by a class-conditional network; `classes` itself is no class
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.body.check(x, t, conditioning)?;
        let ids = conditioning.classes.as_ref().map(ClassIds::tensor);
        let Embedded { activated, class } = self.embedding.forward(t, ids)?;
        let block = BlockConditioning::embedding(activated);
        Ok(self.body.forward(x, &block, class.as_ref(), mode)?)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn compile(
        &self,
        options: &CompileOptions,
    ) -> std::result::Result<Box<dyn Network>, NetworkError> {
        Ok(options.finish(CompiledDit::new(self, options)?))
    }
}

/// A [`Dit`] compiled for inference: one matrix product gives the modulation of all blocks. It has no gradients and
/// no parameters.
#[derive(Debug)]
pub struct CompiledDit {
    embedding: EmbeddingLayers,
    projection: Linear,
    cache: Option<EmbeddingCache>,
    body: Body<DitBlock, CompiledConv>,
    device: Device,
}

impl CompiledDit {
    fn new(network: &Dit, options: &CompileOptions) -> Result<Self> {
        let device = network.params.device();
        let embedding = network.embedding.detached()?;
        let mut all = Projections::default();
        let body = network.body.compile(&mut all, options.pack)?;
        let projection = Linear::concat(&all.layers.iter().collect::<Vec<_>>())?;
        let tokens = body.context.is_some();
        let rows = |t: &Tensor, ids: Option<&Tensor>| {
            rows(&projection, embedding.forward(t, ids)?, tokens).map(Some)
        };
        let classes = body.config.inputs().classes;
        let cache = EmbeddingCache::new(options, classes, device, rows)?;
        Ok(Self { embedding, projection, cache, body, device })
    }

    /// The [`rows`] of a pass: one for all images if they share time and class.
    fn rows(&self, t: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        EmbeddingCache::embed(self.cache.as_ref(), (t, conditioning), Ok, |t, _, ids| {
            rows(&self.projection, self.embedding.forward(t, ids)?, self.body.context.is_some())
        })
    }
}

/// The modulation of all blocks, followed by the class vector for a network with tokens of the class.
fn rows(projection: &Linear, embedded: Embedded, tokens: bool) -> Result<Tensor> {
    let rows = projection.forward(&embedded.activated)?;
    match embedded.class.filter(|_| tokens) {
        Some(class) => Ok(Tensor::f_cat(&[rows, class], 1)?),
        None => Ok(rows),
    }
}

impl Network for CompiledDit {
    /// As that of [`Dit`], in evaluation mode.
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.body.check(x, t, conditioning)?;
        let rows = self.rows(t, conditioning)?;
        let width = self.body.config.features;
        let last = |rows: &Tensor| rows.f_narrow(1, rows.size()[1] - width, width);
        let class = self.body.context.as_ref().map(|_| last(&rows));
        let class = class.transpose().map_err(TorchError::from)?;
        let block = BlockConditioning { modulation: Some(rows), ..BlockConditioning::default() };
        Ok(self.body.forward(x, &block, class.as_ref(), Mode::Eval)?)
    }

    fn device(&self) -> Device {
        self.device
    }

    fn kind(&self) -> Kind {
        self.body.dtypes[1]
    }
}

impl Body<Checkpointed<DitBlock>, Conv> {
    fn compile(&self, all: &mut Projections, pack: bool) -> Result<Body<DitBlock, CompiledConv>> {
        let ([torso, full], features) = (self.dtypes, self.config.features);
        let activations = compiled_activations(torso, self.positions.device(), pack)?;
        let block =
            |block: &Checkpointed<DitBlock>| block.block().compile(features, &mut *all, pack);
        let blocks = self.blocks.iter().map(block).collect::<Result<_>>()?;
        Ok(Body {
            config: self.config.clone(),
            patches: self.patches.iter().map(|map| map.compile(pack)).collect::<Result<_>>()?,
            positions: self.positions.clone(),
            context: self.context.as_ref().map(ContextTokens::detached).transpose()?,
            blocks,
            norm: self.norm.detached()?,
            linear: self.linear.compile(pack)?,
            modulation: self.modulation.compile(features, all),
            dtypes: [activations, full],
        })
    }
}
