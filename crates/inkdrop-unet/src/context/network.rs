//! The ContextUnet itself, in the notebook's order.

use inkdrop_nn::{
    Activation, Conditioning, Conv, ConvConfig, ConvTranspose2d, EmbedFc, EmbeddingCache,
    EmbeddingCacheKey, GroupNorm, Inference, Mode, Network, NetworkError, Params,
    ResidualConvBlock, UnetDown, UnetUp,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, TorchError};

use super::ContextConfig;
use crate::BuildError;
use crate::error::{READY, TRAINING};

/// The network. Predicts the noise in x.
#[derive(Debug)]
pub struct ContextUnet {
    config: ContextConfig,
    params: Params,
    init_conv: ResidualConvBlock,
    down1: UnetDown,
    down2: UnetDown,
    timeembed1: EmbedFc,
    timeembed2: EmbedFc,
    contextembed1: EmbedFc,
    contextembed2: EmbedFc,
    up0: (ConvTranspose2d, GroupNorm),
    up1: UnetUp,
    up2: UnetUp,
    out: (Conv, GroupNorm, Conv),
    ready: Option<Ready>,
}

/// What a network for inference has beside its layers.
#[derive(Debug)]
struct Ready {
    steps: Option<EmbeddingCache>,
}

impl ContextUnet {
    /// Groups of the two GroupNorms.
    const GROUPS: i64 = 8;

    /// The network with PyTorch's default initialisation, drawn from libtorch's
    /// global generator in the notebook's order.
    ///
    /// # Errors
    /// A size that cannot be, or libtorch cannot allocate it.
    pub fn new(
        config: &ContextConfig,
        kind: Kind,
        device: Device,
    ) -> std::result::Result<Self, BuildError> {
        config.check()?;
        let mut params = Params::new(kind, device);
        let n = config.features;
        let mut root = params.root();
        let mut network = Self {
            init_conv: ResidualConvBlock::new(&mut root.sub("init_conv"), config.channels, n)?,
            down1: UnetDown::new(&mut root.sub("down1"), n, n)?,
            down2: UnetDown::new(&mut root.sub("down2"), n, 2 * n)?,
            timeembed1: EmbedFc::new(&mut root.sub("timeembed1"), 1, 2 * n)?,
            timeembed2: EmbedFc::new(&mut root.sub("timeembed2"), 1, n)?,
            contextembed1: EmbedFc::new(&mut root.sub("contextembed1"), config.contexts, 2 * n)?,
            contextembed2: EmbedFc::new(&mut root.sub("contextembed2"), config.contexts, n)?,
            up0: (
                ConvTranspose2d::new(
                    &mut root.sub("up0").sub(0),
                    ConvConfig::patches(2 * n, 2 * n, config.size / 4),
                )?,
                GroupNorm::new(&mut root.sub("up0").sub(1), Self::GROUPS, 2 * n)?,
            ),
            up1: UnetUp::new(&mut root.sub("up1"), 4 * n, n)?,
            up2: UnetUp::new(&mut root.sub("up2"), 2 * n, n)?,
            out: (
                Conv::new(&mut root.sub("out").sub(0).full(), ConvConfig::same(2 * n, n, 3))?,
                GroupNorm::new(&mut root.sub("out").sub(1), Self::GROUPS, n)?,
                Conv::new(
                    &mut root.sub("out").sub(3).full(),
                    ConvConfig::same(n, config.channels, 3),
                )?,
            ),
            ready: None,
            config: config.clone(),
            params: Params::new(kind, device),
        };
        // Last, since the notebook draws no shortcut while it builds: so all else is drawn as there.
        network.init_conv.add_residual(&mut root.sub("init_conv"), config.channels, n)?;
        network.params = params;
        Ok(network)
    }

    /// The embeddings of the contexts for both stages: [B, 2n, 1, 1] and [B, n, 1, 1], or one for all
    /// images. A network for inference on the CPU computes each different row by itself, so that an
    /// image does not depend on what is beside it in the batch.
    fn contexts(&self, context: &Tensor) -> Result<[Tensor; 2]> {
        let embed = |rows: &Tensor| -> Result<[Tensor; 2]> {
            Ok([self.contextembed1.forward(rows)?, self.contextembed2.forward(rows)?])
        };
        if self.ready.is_none() || context.device() != Device::Cpu || context.numel() == 0 {
            return embed(context);
        }
        let (rows, kinds) = different_rows(context)?;
        let embedded = rows.iter().map(embed).collect::<Result<Vec<_>>>()?;
        let [first, ..] = &embedded[..] else { return embed(context) };
        if embedded.len() == 1 {
            return Ok([first[0].shallow_clone(), first[1].shallow_clone()]);
        }
        let kinds = Tensor::f_from_slice(&kinds)?;
        let gather = |stage: usize| -> Result<Tensor> {
            let all: Vec<&Tensor> = embedded.iter().map(|both| &both[stage]).collect();
            Ok(Tensor::f_cat(&all, 0)?.f_index_select(0, &kinds)?)
        };
        Ok([gather(0)?, gather(1)?])
    }

    /// The embeddings of the time for both stages: [B, 2n, 1, 1] and [B, n, 1, 1], or one for all
    /// images.
    ///
    /// - t: `[B]`
    fn times(&self, t: &Tensor) -> Result<[Tensor; 2]> {
        let kind = self.params.kind();
        let embed = |t: &Tensor| -> Result<[Tensor; 2]> {
            let t = t.f_to_kind(kind)?.f_unsqueeze(-1)?;
            Ok([self.timeembed1.forward(&t)?, self.timeembed2.forward(&t)?])
        };
        let Some(ready) = &self.ready else { return embed(t) };
        let Some(moment) = EmbeddingCacheKey::of(t, &Conditioning::none())? else {
            return embed(t);
        };
        let known = ready.steps.as_ref().map(|steps| steps.row(&moment)).transpose()?.flatten();
        let Some(row) = known else { return embed(&t.f_narrow(0, 0, 1)?) };
        let n = self.config.features;
        Ok([row.f_narrow(1, 0, 2 * n)?, row.f_narrow(1, 2 * n, n)?])
    }

    /// - x: [B, C, H, W], t: [B, 1], context: [B, K]
    fn pass(&self, x: &Tensor, t: &Tensor, context: &Tensor, mode: Mode) -> Result<Tensor> {
        let (kind, torso) = (self.params.kind(), self.params.torso());
        let half = |x: &Tensor| x.f_to_kind(torso).map_err(TorchError::from);
        let x = &channels_last(&half(x)?)?;
        let init = self.init_conv.forward(x, mode)?; // [B, n, H, W]
        let down1 = self.down1.forward(&init, mode)?; // [B, n, H/2, W/2]
        let down2 = self.down2.forward(&down1, mode)?; // [B, 2n, H/4, W/4]
        let vector = down2.f_avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None)?; // [B, 2n, 1, 1]
        let hidden = vector.f_gelu("none")?;

        let [shift1, shift2] = self.times(t)?;
        let [scale1, scale2] = self.contexts(context)?;
        let up0 =
            self.up0.1.forward_with_post_op(&self.up0.0.forward(&hidden)?, Activation::Relu)?;
        // Of one place it has no layout to pass on; all that follows takes this one.
        let up0 = channels_last(&up0)?;
        let up1 = half(&shift1.f_addcmul(&scale1, &up0)?)?;
        let up1 = self.up1.forward(&up1, &down2, mode)?;
        let up2 = half(&shift2.f_addcmul(&scale2, &up1)?)?;
        let up2 = self.up2.forward(&up2, &down1, mode)?;
        // So that its gradient, a part of that of both, is laid out anew: as a part, it is slow to read.
        let up2 = if mode == Mode::Eval { up2 } else { up2.f_mul_scalar(1.0)? };
        let h = self.out.0.forward(&Tensor::f_cat(&[&up2, &init], 1)?.f_to_kind(kind)?)?;
        self.out.2.forward(&self.out.1.forward_with_post_op(&h, Activation::Relu)?)
    }

    fn with_folded_layers(&self, pack: bool) -> Result<Self> {
        let (up0, norm0) = &self.up0;
        let (out0, norm, out3) = &self.out;
        Ok(Self {
            config: self.config.clone(),
            params: Params::new(self.params.torso(), self.params.device()),
            init_conv: self.init_conv.for_inference(pack)?,
            down1: self.down1.for_inference(pack)?,
            down2: self.down2.for_inference(pack)?,
            timeembed1: self.timeembed1.for_inference()?,
            timeembed2: self.timeembed2.for_inference()?,
            contextembed1: self.contextembed1.for_inference()?,
            contextembed2: self.contextembed2.for_inference()?,
            up0: (up0.for_inference(pack)?, norm0.for_inference(pack)?),
            up1: self.up1.for_inference(pack)?,
            up2: self.up2.for_inference(pack)?,
            out: (out0.for_inference(pack)?, norm.for_inference(pack)?, out3.for_inference(pack)?),
            ready: None,
        })
    }

    fn check_inputs(
        &self,
        x: &Tensor,
        t: &Tensor,
        context: Option<&Tensor>,
    ) -> std::result::Result<(), NetworkError> {
        let ContextConfig { channels, contexts, size, .. } = self.config;
        let shape = |input, given: &Tensor, expected| {
            Err(NetworkError::Shape { input, given: given.size(), expected })
        };
        let batch = match x.size()[..] {
            [batch, c, h, w] if (c, h, w) == (channels, size, size) => batch,
            _ => return shape("x", x, format!("[B, {channels}, {size}, {size}]")),
        };
        if t.size() != [batch] {
            return shape("t", t, format!("[{batch}], one time per image"));
        }
        match context {
            Some(rows) if rows.size() != [batch, contexts] => {
                shape("context", rows, format!("[{batch}, {contexts}], one row per image"))
            }
            _ => Ok(()),
        }
    }
}

impl Network for ContextUnet {
    /// - t: `[B]`, t/T in (0, 1]
    /// - without a context, all zeros
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        if conditioning.classes.is_some() {
            return Err(NetworkError::Unexpected { input: "classes" });
        }
        if conditioning.low_res.is_some() {
            return Err(NetworkError::Unexpected { input: "low_res" });
        }
        self.check_inputs(x, t, conditioning.context.as_ref())?;
        if self.ready.is_some() && mode != Mode::Eval {
            return Err(NetworkError::Inference(TRAINING));
        }
        let kind = self.params.kind();
        let shape = [x.size()[0], self.config.contexts];
        let context = match &conditioning.context {
            Some(rows) => rows.f_to_kind(kind),
            None => Tensor::f_zeros(shape, (kind, x.device())),
        };
        Ok(self.pass(x, t, &context.map_err(TorchError::from)?, mode)?)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn for_inference(
        &self,
        options: &Inference,
    ) -> std::result::Result<Box<dyn Network>, NetworkError> {
        if self.ready.is_some() {
            return Err(NetworkError::Inference(READY));
        }
        let mut network = self.with_folded_layers(options.pack)?;
        let rows = |t: &Tensor, _: Option<&Tensor>| {
            let both = network.times(t)?;
            Ok(Some(Tensor::f_cat(&both, 1)?))
        };
        let steps = EmbeddingCache::new(options, None, self.params.device(), rows)?;
        network.ready = Some(Ready { steps });
        Ok(options.finish(network))
    }
}

/// The different rows of [B, K], each [1, K], and which of them each row is.
fn different_rows(context: &Tensor) -> Result<(Vec<Tensor>, Vec<i64>)> {
    let columns = context.size()[1].max(1) as usize;
    let flat = context.f_to_kind(Kind::Double)?.f_contiguous()?.f_view([-1])?;
    let numbers = Vec::<f64>::try_from(&flat)?;
    let (mut firsts, mut kinds): (Vec<&[f64]>, Vec<i64>) = Default::default();
    let mut rows = Vec::new();
    for (image, row) in numbers.chunks(columns).enumerate() {
        let known = firsts.iter().position(|first| *first == row);
        if known.is_none() {
            firsts.push(row);
            rows.push(context.f_narrow(0, image as i64, 1)?);
        }
        kinds.push(known.unwrap_or(firsts.len() - 1) as i64);
    }
    Ok((rows, kinds))
}

/// The same tensor with channels innermost in memory: a training step then needs an eighth less of it.
fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}
