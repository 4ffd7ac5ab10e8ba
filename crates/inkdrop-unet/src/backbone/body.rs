//! The network that a layout describes.

use inkdrop_nn::{
    Activation, BlockConditioning, Conditioning, Conv, EmbedSequential, Embedding, EmbeddingCache,
    EmbeddingCacheKey, FusedProjection, FusedProjectionBuilder, Inference, Mlp, Mode, NetworkError,
    Norm, Params, Scope,
};
use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::error::{READY, TRAINING};

use super::{ClassLayout, HeadLayout, Layout, MlpLayout, StageLayout};

/// Every layer of a network, by the places of its layout.
#[derive(Debug)]
pub(crate) struct Body {
    time: Option<Mlp>,
    classes: Option<ClassLayer>,
    down: Vec<EmbedSequential>,
    middle: Vec<EmbedSequential>,
    up: Vec<(EmbedSequential, bool)>,
    head: Head,
    told: Option<FusedProjection>,
    steps: Option<EmbeddingCache>,
    torso: Kind,
    kind: Kind,
}

#[derive(Debug)]
enum ClassLayer {
    Table(Embedding),
    Sinusoids(Mlp),
}

#[derive(Debug)]
struct Head {
    norm: Norm,
    activation: Activation,
    conv: Conv,
}

/// The activations between the blocks, as improved-diffusion's `get_feature_vectors` gives them.
#[derive(Debug, Default)]
pub struct Features {
    /// After each block of the path down, the first convolution included.
    pub down: Vec<Tensor>,
    /// After the middle.
    pub middle: Option<Tensor>,
    /// After each block of the path up.
    pub up: Vec<Tensor>,
}

impl Body {
    /// Draws all layers in the order of the original; with them, the parameters that they made.
    ///
    /// - torso: kind of the convolutions
    pub fn build(
        layout: &Layout,
        checkpoint: bool,
        torso: Kind,
        device: Device,
    ) -> Result<(Self, Params)> {
        let mut params = Params::new(torso, device);
        let kind = params.kind();
        let body = Self::new(&mut params.root(), layout, checkpoint, [torso, kind])?;
        Ok((body, params))
    }

    fn new(
        scope: &mut Scope,
        layout: &Layout,
        checkpoint: bool,
        [torso, kind]: [Kind; 2],
    ) -> Result<Self> {
        let stage = |scope: &mut Scope, stage: &StageLayout| {
            EmbedSequential::new(scope, &stage.layers, checkpoint)
        };
        let early = if layout.first_conv_first { layout.down.first() } else { None };
        let early = early.map(|first| stage(scope, first)).transpose()?;
        let time = layout.time.as_ref().map(|time| mlp(scope, time)).transpose()?;
        let classes =
            layout.classes.as_ref().map(|classes| class_layer(scope, classes)).transpose()?;
        let rest = &layout.down[usize::from(early.is_some())..];
        let mut down: Vec<_> = early.into_iter().collect();
        for layers in rest {
            down.push(stage(scope, layers)?);
        }
        let middle = layout.middle.iter().map(|s| stage(scope, s)).collect::<Result<_>>()?;
        let up = layout.up.iter().map(|s| Ok((stage(scope, s)?, s.takes_skip)));
        let up = up.collect::<Result<_>>()?;
        let head = Head::new(&mut scope.full(), &layout.head)?;
        let (told, steps) = (None, None);
        Ok(Self { time, classes, down, middle, up, head, told, steps, torso, kind })
    }

    /// What the blocks are told.
    ///
    /// - time: the sinusoids of the time
    /// - class: ids for a table, sinusoids for layers like the time's
    /// - biases: class ids for blocks with biases of their own
    pub fn block_conditioning(
        &self,
        time: Option<&Tensor>,
        class: Option<&Tensor>,
        biases: Option<&Tensor>,
    ) -> Result<BlockConditioning> {
        let in_kind = |t: &Tensor| inkdrop_torch::Result::Ok(t.f_to_kind(self.kind)?);
        let mut embedding = match (&self.time, time) {
            (Some(mlp), Some(time)) => Some(mlp.forward(&in_kind(time)?)?),
            _ => None,
        };
        if let (Some(layer), Some(class)) = (&self.classes, class) {
            let class = match layer {
                ClassLayer::Table(table) => table.forward(class)?,
                ClassLayer::Sinusoids(mlp) => mlp.forward(&in_kind(class)?)?,
            };
            embedding = embedding.map(|sum| sum.f_add(&class)).transpose()?;
        }
        let mut block_conditioning = BlockConditioning {
            embedding,
            class_ids: biases.map(Tensor::shallow_clone),
            modulation: None,
        };
        if let Some(told) = &self.told {
            block_conditioning.modulation = told.rows(&block_conditioning)?;
        }
        Ok(block_conditioning)
    }

    /// The same layers for inference, which know what blocks are told at the times of the options.
    ///
    /// - classes: how many the network knows
    /// - block_conditioning: as for [`Body::told`]
    ///
    /// # Errors
    /// It has been made ready already.
    pub fn for_inference(
        &self,
        options: &Inference,
        classes: Option<i64>,
        device: Device,
        block_conditioning: impl Fn(&Self, &Tensor, Option<&Tensor>) -> Result<BlockConditioning>,
    ) -> std::result::Result<Self, NetworkError> {
        if self.told.is_some() {
            return Err(NetworkError::Inference(READY));
        }
        let mut body = self.ready(options)?;
        let rows = |t: &Tensor, classes: Option<&Tensor>| {
            Ok(block_conditioning(&body, t, classes)?.modulation)
        };
        body.steps = EmbeddingCache::new(options, classes, device, rows)?;
        Ok(body)
    }

    fn ready(&self, options: &Inference) -> Result<Self> {
        let mut fused = FusedProjectionBuilder::default();
        let mut stage = |stage: &EmbedSequential| stage.for_inference(options, &mut fused);
        let down = self.down.iter().map(&mut stage).collect::<Result<_>>()?;
        let middle = self.middle.iter().map(&mut stage).collect::<Result<_>>()?;
        let up = self.up.iter().map(|(layers, takes_skip)| Ok((stage(layers)?, *takes_skip)));
        let up = up.collect::<Result<_>>()?;
        Ok(Self {
            time: self.time.as_ref().map(Mlp::for_inference).transpose()?,
            classes: self.classes.as_ref().map(ClassLayer::for_inference).transpose()?,
            down,
            middle,
            up,
            head: self.head.for_inference(options)?,
            told: Some(fused.finish()?),
            steps: None,
            torso: self.torso,
            kind: self.kind,
        })
    }

    /// # Errors
    /// [`Body::for_inference`] made it, and it is asked for something else than evaluation.
    pub fn check_mode(&self, mode: Mode) -> std::result::Result<(), NetworkError> {
        match (mode, &self.told) {
            (Mode::Eval, _) | (_, None) => Ok(()),
            _ => Err(NetworkError::Inference(TRAINING)),
        }
    }

    /// What the blocks are told in a pass: made by `block_conditioning` of `[B]` times and classes, of one of
    /// them where a network for inference finds that all images share it, or known beforehand.
    pub fn told(
        &self,
        t: &Tensor,
        conditioning: &Conditioning,
        block_conditioning: impl Fn(&Self, &Tensor, Option<&Tensor>) -> Result<BlockConditioning>,
    ) -> Result<BlockConditioning> {
        let classes = conditioning.classes.as_ref().map(inkdrop_nn::ClassIds::tensor);
        let moment = match &self.told {
            Some(_) => EmbeddingCacheKey::of(t, conditioning)?,
            None => None,
        };
        let Some(moment) = moment else { return block_conditioning(self, t, classes) };
        let known = self.steps.as_ref().map(|steps| steps.row(&moment)).transpose()?;
        if let Some(row) = known.flatten() {
            return Ok(BlockConditioning { modulation: Some(row), ..BlockConditioning::default() });
        }
        let first = classes.map(|classes| classes.f_narrow(0, 0, 1)).transpose()?;
        block_conditioning(self, &t.f_narrow(0, 0, 1)?, first.as_ref())
    }

    /// The whole pass.
    pub fn forward(
        &self,
        x: &Tensor,
        block_conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        let h = self.walk(x, block_conditioning, mode, None)?;
        self.head.forward(&h.f_to_kind(self.kind)?, mode)
    }

    /// The pass without the head, for what lies between the blocks.
    pub fn features(
        &self,
        x: &Tensor,
        block_conditioning: &BlockConditioning,
        mode: Mode,
    ) -> Result<Features> {
        let mut features = Features::default();
        let _ = self.walk(x, block_conditioning, mode, Some(&mut features))?;
        Ok(features)
    }

    fn walk(
        &self,
        x: &Tensor,
        block_conditioning: &BlockConditioning,
        mode: Mode,
        mut features: Option<&mut Features>,
    ) -> Result<Tensor> {
        let mut h = x.f_to_kind(self.torso)?;
        let mut skips = Vec::with_capacity(self.down.len());
        for stage in &self.down {
            h = stage.forward(&h, block_conditioning, mode)?;
            skips.push(h.shallow_clone());
        }
        if let Some(features) = features.as_deref_mut() {
            features.down = self.seen(&skips)?;
        }
        for stage in &self.middle {
            h = stage.forward(&h, block_conditioning, mode)?;
        }
        let mut up = vec![h.shallow_clone()];
        for (stage, takes_skip) in &self.up {
            if *takes_skip && let Some(skip) = skips.pop() {
                h = Tensor::f_cat(&[&h, &skip], 1)?;
            }
            h = stage.forward(&h, block_conditioning, mode)?;
            if features.is_some() {
                up.push(h.shallow_clone());
            }
        }
        if let Some(features) = features {
            let mut up = self.seen(&up)?.into_iter();
            features.middle = up.next();
            features.up = up.collect();
        }
        Ok(h)
    }

    /// Handles in the kind of the network's inputs.
    fn seen(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>> {
        tensors.iter().map(|tensor| Ok(tensor.f_to_kind(self.kind)?)).collect()
    }
}

fn mlp(scope: &mut Scope, layout: &MlpLayout) -> Result<Mlp> {
    Mlp::new(&mut scope.sub(layout.scope), layout.keys, layout.widths, Activation::Silu)
}

fn class_layer(scope: &mut Scope, layout: &ClassLayout) -> Result<ClassLayer> {
    Ok(match layout {
        ClassLayout::Table { key, rows, width } => {
            ClassLayer::Table(Embedding::new(&mut scope.sub(key), *rows, *width)?)
        }
        ClassLayout::Sinusoids(layers) => ClassLayer::Sinusoids(mlp(scope, layers)?),
    })
}

impl ClassLayer {
    fn for_inference(&self) -> Result<Self> {
        Ok(match self {
            Self::Table(table) => Self::Table(table.for_inference()?),
            Self::Sinusoids(mlp) => Self::Sinusoids(mlp.for_inference()?),
        })
    }
}

impl Head {
    fn new(scope: &mut Scope, layout: &HeadLayout) -> Result<Self> {
        let norm = Norm::new(&mut scope.sub(layout.norm_key), layout.norm, layout.conv.inputs)?;
        let conv = Conv::new(&mut scope.sub(layout.conv_key).full(), layout.conv)?;
        let conv = if layout.zero { conv.zeroed()? } else { conv };
        Ok(Self { norm, activation: layout.activation, conv })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.conv.forward(&self.norm.forward_with_post_op(x, self.activation, mode)?)
    }

    fn for_inference(&self, options: &Inference) -> Result<Self> {
        let (norm, conv) =
            (self.norm.for_inference(options.pack)?, self.conv.for_inference(options.pack)?);
        Ok(Self { norm, activation: self.activation, conv })
    }
}
