//! The ContextUnet, in the sprites notebook's order.

use inkdrop_nn::{
    Activation, CompileOptions, Compiled, Conditioning, Conv, ConvConfig, ConvTranspose2d,
    Convolution, EmbedFc, EmbeddingCache, Form, GroupNorm, Mode, Network, NetworkError, Norm,
    Normalization, Params, ResidualConvBlock, Scope, TrainableNetwork, Trained,
    TransposedConvolution, UnetDown, UnetUp, compiled_activations,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, TorchError, channels_last};

use super::ContextConfig;
use crate::BuildError;
use crate::inputs::check_interval;

/// The sprites notebook's network, which predicts the noise in x: a U-Net of two levels, whose
/// decoder is modulated by a context vector and the timestep.
///
/// It takes x `[B, C, S, S]`, t `[B]` as a fraction t/T, and [`Conditioning::context`].
#[derive(Debug)]
pub struct ContextUnet {
    config: ContextConfig,
    layers: Layers<Trained>,
    embeddings: Embeddings,
    params: Params,
}

/// All layers but the embeddings, trained or compiled.
#[derive(Debug)]
struct Layers<F: Form> {
    init_conv: ResidualConvBlock<F>,
    down1: UnetDown<F>,
    down2: UnetDown<F>,
    up0: (F::ConvTranspose, F::Norm),
    up1: UnetUp<F>,
    up2: UnetUp<F>,
    out: (F::Conv, F::Norm, F::Conv),
    /// Mixed precision: dtype of the blocks (the torso), and of everything else.
    dtypes: [Kind; 2],
}

/// Embeddings of timestep and context for both stages of the decoder, [B, 2n, 1, 1] and
/// [B, n, 1, 1].
#[derive(Debug)]
struct Embeddings {
    timeembed: [EmbedFc; 2],
    /// Of the length of a time interval; added to those of the time.
    intervalembed: Option<[EmbedFc; 2]>,
    contextembed: [EmbedFc; 2],
    dtype: Kind,
}

/// Groups of the two group normalisations.
const GROUPS: i64 = 8;

impl ContextConfig {
    /// The network with PyTorch's default initialisation, drawn from libtorch's default generator in
    /// the notebook's order.
    ///
    /// - dtype: `Float` or `Double`; `BFloat16` or `Half` for mixed precision
    ///
    /// # Errors
    /// An invalid size, or libtorch cannot allocate the network.
    pub fn build(
        &self,
        dtype: Kind,
        device: Device,
    ) -> std::result::Result<ContextUnet, BuildError> {
        self.check()?;
        Ok(ContextUnet::new(self, Params::new(dtype, device))?)
    }
}

impl ContextUnet {
    /// Adds all layers to `params`; the config has been checked.
    pub(crate) fn new(config: &ContextConfig, mut params: Params) -> Result<Self> {
        let dtypes = [params.torso(), params.kind()];
        let (n, channels) = (config.features, config.channels);
        let root = &mut params.root();
        let init_conv = ResidualConvBlock::new(&mut root.sub("init_conv"), channels, n)?;
        let down1 = UnetDown::new(&mut root.sub("down1"), n, n)?;
        let down2 = UnetDown::new(&mut root.sub("down2"), n, 2 * n)?;
        let embeddings = Embeddings::new(root, config, dtypes[1])?;
        let mut layers = Layers {
            init_conv,
            down1,
            down2,
            up0: up0(&mut root.sub("up0"), config)?,
            up1: UnetUp::new(&mut root.sub("up1"), 4 * n, n)?,
            up2: UnetUp::new(&mut root.sub("up2"), 2 * n, n)?,
            out: out(&mut root.sub("out"), config)?,
            dtypes,
        };
        // Last: the notebook does not initialise a shortcut here, so all other weights equal its own.
        layers.init_conv.add_residual(&mut root.sub("init_conv"), channels, n)?;
        Ok(Self { config: config.clone(), layers, embeddings, params })
    }
}

/// Upsampling from the bottleneck of one pixel.
fn up0(scope: &mut Scope, config: &ContextConfig) -> Result<(ConvTranspose2d, Norm)> {
    let n = 2 * config.features;
    let conv = ConvTranspose2d::new(&mut scope.sub(0), ConvConfig::patches(n, n, config.size / 4))?;
    Ok((conv, Norm::Group(GroupNorm::new(&mut scope.sub(1), GROUPS, n)?)))
}

/// The last layers, in full precision.
fn out(scope: &mut Scope, config: &ContextConfig) -> Result<(Conv, Norm, Conv)> {
    let (n, channels) = (config.features, config.channels);
    let first = Conv::new(&mut scope.sub(0).full(), ConvConfig::same(2 * n, n, 3))?;
    let norm = Norm::Group(GroupNorm::new(&mut scope.sub(1), GROUPS, n)?);
    let last = Conv::new(&mut scope.sub(3).full(), ConvConfig::same(n, channels, 3))?;
    Ok((first, norm, last))
}

impl<F: Form> Layers<F> {
    /// - x: [B, C, S, S]
    /// - shifts, scales: embeddings of timestep and context
    fn forward(
        &self,
        x: &Tensor,
        [shift1, shift2]: [Tensor; 2],
        [scale1, scale2]: [Tensor; 2],
        mode: Mode,
    ) -> Result<Tensor> {
        let [torso, full] = self.dtypes;
        let half = |x: &Tensor| x.f_to_kind(torso).map_err(TorchError::from);
        let x = &channels_last(&half(x)?)?;
        // Encoder (down path).
        let init = self.init_conv.forward(x, mode)?; // [B, n, S, S]
        let down1 = self.down1.forward(&init, mode)?; // [B, n, S/2, S/2]
        let down2 = self.down2.forward(&down1, mode)?; // [B, 2n, S/4, S/4]
        let vector = down2.f_avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None)?; // [B, 2n, 1, 1]
        let hidden = vector.f_gelu("none")?;
        // Decoder (up path): context·h + timestep, then the skip connection.
        let h = self.up0.0.forward(&hidden)?;
        let up0 = self.up0.1.forward_with_activation(&h, Activation::Relu, mode)?;
        // One pixel has no memory format to pass on; all that follows takes this one.
        let up0 = channels_last(&up0)?;
        let up1 = half(&shift1.f_addcmul(&scale1, &up0)?)?;
        let up1 = self.up1.forward(&up1, &down2, mode)?;
        let up2 = half(&shift2.f_addcmul(&scale2, &up1)?)?;
        let up2 = self.up2.forward(&up2, &down1, mode)?;
        // Its gradient would be a view of that of both; a copy is faster to read.
        let up2 = if mode == Mode::Eval { up2 } else { up2.f_mul_scalar(1.0)? };
        let h = self.out.0.forward(&Tensor::f_cat(&[&up2, &init], 1)?.f_to_kind(full)?)?;
        self.out.2.forward(&self.out.1.forward_with_activation(&h, Activation::Relu, mode)?)
    }
}

impl Embeddings {
    fn new(root: &mut Scope, config: &ContextConfig, dtype: Kind) -> Result<Self> {
        let mut embed = |key, inputs, outputs| EmbedFc::new(&mut root.sub(key), inputs, outputs);
        let (n, contexts) = (config.features, config.contexts);
        let timeembed = [embed("timeembed1", 1, 2 * n)?, embed("timeembed2", 1, n)?];
        let contextembed =
            [embed("contextembed1", contexts, 2 * n)?, embed("contextembed2", contexts, n)?];
        let mut embed = |key, outputs| EmbedFc::new_zero(&mut root.sub(key), 1, outputs);
        let intervalembed = match config.interval {
            true => Some([embed("intervalembed1", 2 * n)?, embed("intervalembed2", n)?]),
            false => None,
        };
        Ok(Self { timeembed, intervalembed, contextembed, dtype })
    }

    /// - t: `[B]`
    /// - interval: `[B]`
    fn times(&self, t: &Tensor, interval: Option<&Tensor>) -> Result<[Tensor; 2]> {
        let numbers = |t: &Tensor| t.f_to_kind(self.dtype)?.f_unsqueeze(-1);
        let t = numbers(t)?;
        let [first, second] = [self.timeembed[0].forward(&t)?, self.timeembed[1].forward(&t)?];
        let (Some(layers), Some(interval)) = (&self.intervalembed, interval) else {
            return Ok([first, second]);
        };
        let interval = numbers(interval)?;
        Ok([
            first.f_add(&layers[0].forward(&interval)?)?,
            second.f_add(&layers[1].forward(&interval)?)?,
        ])
    }

    /// - context: [B, K]
    fn contexts(&self, context: &Tensor) -> Result<[Tensor; 2]> {
        Ok([self.contextembed[0].forward(context)?, self.contextembed[1].forward(context)?])
    }

    /// The context of a batch, in the network's dtype; zeros if there is none.
    fn context(&self, x: &Tensor, given: Option<&Tensor>, contexts: i64) -> Result<Tensor> {
        Ok(match given {
            Some(rows) => rows.f_to_kind(self.dtype)?,
            None => Tensor::f_zeros([x.size()[0], contexts], (self.dtype, x.device()))?,
        })
    }

    fn detached(&self) -> Result<Self> {
        let [time1, time2] = &self.timeembed;
        let [context1, context2] = &self.contextembed;
        let interval = |[first, second]: &[EmbedFc; 2]| -> Result<[EmbedFc; 2]> {
            Ok([first.detached()?, second.detached()?])
        };
        Ok(Self {
            intervalembed: self.intervalembed.as_ref().map(interval).transpose()?,
            timeembed: [time1.detached()?, time2.detached()?],
            contextembed: [context1.detached()?, context2.detached()?],
            dtype: self.dtype,
        })
    }
}

impl TrainableNetwork for ContextUnet {
    /// - t: `[B]`, t/T in (0, 1]
    /// - without a context, all zeros
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.config.check_inputs(x, t, conditioning)?;
        let context = conditioning.context.as_ref();
        let context = self.embeddings.context(x, context, self.config.contexts)?;
        let (shifts, scales) = (
            self.embeddings.times(t, conditioning.interval.as_ref())?,
            self.embeddings.contexts(&context)?,
        );
        Ok(self.layers.forward(x, shifts, scales, mode)?)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn compile(
        &self,
        options: &CompileOptions,
    ) -> std::result::Result<Box<dyn Network>, NetworkError> {
        Ok(options.finish(CompiledContextUnet::new(self, options)?))
    }
}

/// A [`ContextUnet`] compiled for inference. It has no gradients and no parameters.
#[derive(Debug)]
pub struct CompiledContextUnet {
    config: ContextConfig,
    layers: Layers<Compiled>,
    embeddings: Embeddings,
    cache: Option<EmbeddingCache>,
    device: Device,
}

impl CompiledContextUnet {
    fn new(network: &ContextUnet, options: &CompileOptions) -> Result<Self> {
        let (config, device) = (network.config.clone(), network.params.device());
        let embeddings = network.embeddings.detached()?;
        let rows = |t: &Tensor, _: Option<&Tensor>| {
            Ok(Some(Tensor::f_cat(&embeddings.times(t, None)?, 1)?))
        };
        let cache = EmbeddingCache::new(options, None, device, rows)?;
        let layers = network.layers.compile(options.pack, device)?;
        Ok(Self { config, layers, embeddings, cache, device })
    }

    /// The embeddings of the timestep, one for all images if they share it.
    fn times(&self, t: &Tensor, interval: Option<&Tensor>) -> Result<[Tensor; 2]> {
        let shared = interval.map(Tensor::shallow_clone);
        let shared = Conditioning { interval: shared, ..Conditioning::none() };
        let n = self.config.features;
        let parts = |row: Tensor| Ok([row.f_narrow(1, 0, 2 * n)?, row.f_narrow(1, 2 * n, n)?]);
        EmbeddingCache::embed(self.cache.as_ref(), (t, &shared), parts, |t, interval, _| {
            self.embeddings.times(t, interval)
        })
    }

    /// The embeddings of the contexts, one for all images if they share it. On the CPU, each
    /// distinct row is computed by itself, so that an image does not depend on its batch.
    fn contexts(&self, context: &Tensor) -> Result<[Tensor; 2]> {
        if context.device() != Device::Cpu || context.numel() == 0 {
            return self.embeddings.contexts(context);
        }
        let (rows, row_of) = distinct_rows(context)?;
        let embed = |row: &Tensor| self.embeddings.contexts(row);
        let mut embedded = rows.iter().map(embed).collect::<Result<Vec<_>>>()?;
        if embedded.len() == 1 {
            return Ok(embedded.remove(0));
        }
        let row_of = Tensor::f_from_slice(&row_of)?;
        let gather = |stage: usize| -> Result<Tensor> {
            let all: Vec<&Tensor> = embedded.iter().map(|both| &both[stage]).collect();
            Ok(Tensor::f_cat(&all, 0)?.f_index_select(0, &row_of)?)
        };
        Ok([gather(0)?, gather(1)?])
    }
}

impl Network for CompiledContextUnet {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.config.check_inputs(x, t, conditioning)?;
        let context = conditioning.context.as_ref();
        let context = self.embeddings.context(x, context, self.config.contexts)?;
        let (shifts, scales) =
            (self.times(t, conditioning.interval.as_ref())?, self.contexts(&context)?);
        Ok(self.layers.forward(x, shifts, scales, Mode::Eval)?)
    }

    fn device(&self) -> Device {
        self.device
    }

    fn kind(&self) -> Kind {
        self.embeddings.dtype
    }
}

impl Layers<Trained> {
    fn compile(&self, pack: bool, device: Device) -> Result<Layers<Compiled>> {
        let [torso, full] = self.dtypes;
        let (up0, norm0) = &self.up0;
        let (out0, norm, out3) = &self.out;
        Ok(Layers {
            init_conv: self.init_conv.compile(pack)?,
            down1: self.down1.compile(pack)?,
            down2: self.down2.compile(pack)?,
            up0: (up0.compile(pack)?, norm0.compile(pack)?),
            up1: self.up1.compile(pack)?,
            up2: self.up2.compile(pack)?,
            out: (out0.compile(pack)?, norm.compile(pack)?, out3.compile(pack)?),
            dtypes: [compiled_activations(torso, device, pack)?, full],
        })
    }
}

impl ContextConfig {
    fn check_inputs(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<(), NetworkError> {
        let Self { channels, contexts, size, .. } = *self;
        let shape = |input, given: &Tensor, expected| {
            Err(NetworkError::Shape { input, given: given.size(), expected })
        };
        if conditioning.classes.is_some() {
            return Err(NetworkError::Unexpected { input: "classes" });
        }
        if conditioning.low_res.is_some() {
            return Err(NetworkError::Unexpected { input: "low_res" });
        }
        if conditioning.image.is_some() {
            return Err(NetworkError::Unexpected { input: "image" });
        }
        if conditioning.augment.is_some() {
            return Err(NetworkError::Unexpected { input: "augment" });
        }
        let batch = match x.size()[..] {
            [batch, c, h, w] if (c, h, w) == (channels, size, size) => batch,
            _ => return shape("x", x, format!("[B, {channels}, {size}, {size}]")),
        };
        if t.size() != [batch] {
            return shape("t", t, format!("[{batch}], one time per image"));
        }
        check_interval(self.interval, conditioning.interval.as_ref(), batch)?;
        match &conditioning.context {
            Some(rows) if rows.size() != [batch, contexts] => {
                shape("context", rows, format!("[{batch}, {contexts}], one row per image"))
            }
            _ => Ok(()),
        }
    }
}

/// The distinct rows of [B, K], each [1, K], and for each image the number of its row.
fn distinct_rows(context: &Tensor) -> Result<(Vec<Tensor>, Vec<i64>)> {
    let columns = context.size()[1].max(1) as usize;
    let flat = context.f_to_kind(Kind::Double)?.f_contiguous()?.f_view([-1])?;
    let values = Vec::<f64>::try_from(&flat)?;
    let (mut firsts, mut row_of): (Vec<&[f64]>, Vec<i64>) = Default::default();
    let mut rows = Vec::new();
    for (image, row) in values.chunks(columns).enumerate() {
        let known = firsts.iter().position(|first| *first == row);
        if known.is_none() {
            firsts.push(row);
            rows.push(context.f_narrow(0, image as i64, 1)?);
        }
        row_of.push(known.unwrap_or(firsts.len() - 1) as i64);
    }
    Ok((rows, row_of))
}
