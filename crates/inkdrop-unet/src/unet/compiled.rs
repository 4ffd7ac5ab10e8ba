//! The compiled form of a [`Unet`], for inference.

use inkdrop_nn::{
    BlockConditioning, CompileOptions, Compiled, Conditioning, EmbedSequential, Embedding,
    EmbeddingCache, FusedProjection, FusedProjectionBuilder, Mode, Network, NetworkError, Trained,
    Weight, compiled_activations,
};
use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::{
    Backbone, ClassLayer, DecoderStage, EmbeddingLayers, Head, JoinedClasses, SinusoidalMlp, Unet,
};
use crate::inputs::InputSpec;

/// A [`Unet`] compiled for inference: packed convolutions, fused normalisation, and one projection
/// of the embedding for all blocks, cached for known timesteps. It has no gradients and no
/// parameters.
///
/// It implements [`Network`] only, so that training it is an error of types:
///
/// ```compile_fail
/// use inkdrop_nn::TrainableNetwork;
///
/// fn parameters(network: &inkdrop_unet::CompiledUnet) -> usize {
///     TrainableNetwork::params(network).trained_count() // CompiledUnet is not a TrainableNetwork
/// }
/// ```
#[derive(Debug)]
pub struct CompiledUnet {
    inputs: InputSpec,
    embedding: EmbeddingLayers,
    projection: FusedProjection,
    cache: Option<EmbeddingCache>,
    backbone: Backbone<Compiled>,
    device: Device,
}

impl CompiledUnet {
    pub(super) fn new(unet: &Unet, options: &CompileOptions) -> Result<Self> {
        let (inputs, device) = (unet.inputs.clone(), unet.params.device());
        let embedding = unet.embedding.detached()?;
        let (backbone, projection) = unet.backbone.compile(options, device)?;
        let rows = |t: &Tensor, ids: Option<&Tensor>| {
            Ok(project(&embedding, &projection, t, None, ids)?.modulation)
        };
        let cache = EmbeddingCache::new(options, inputs.classes, device, rows)?;
        Ok(Self { inputs, embedding, projection, cache, backbone, device })
    }

    /// The conditioning of a pass: one row for all images if they share timestep and class, from
    /// the cache if it has them; otherwise a row for each image.
    fn conditioning(&self, t: &Tensor, conditioning: &Conditioning) -> Result<BlockConditioning> {
        let cached =
            |row| Ok(BlockConditioning { modulation: Some(row), ..BlockConditioning::default() });
        EmbeddingCache::embed(self.cache.as_ref(), (t, conditioning), cached, |t, interval, ids| {
            project(&self.embedding, &self.projection, t, interval, ids)
        })
    }
}

/// Embeds timesteps and classes and projects them for all blocks.
fn project(
    embedding: &EmbeddingLayers,
    projection: &FusedProjection,
    t: &Tensor,
    interval: Option<&Tensor>,
    class_ids: Option<&Tensor>,
) -> Result<BlockConditioning> {
    let mut conditioning = embedding.forward(t, interval, class_ids)?;
    conditioning.modulation = projection.rows(&conditioning)?;
    Ok(conditioning)
}

impl Network for CompiledUnet {
    /// As that of [`Unet`], in evaluation mode.
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.inputs.check(x, t, conditioning)?;
        let input = self.inputs.prepare(x, conditioning)?;
        let conditioning = self.conditioning(t, conditioning)?;
        let out = self.backbone.forward(&input, &conditioning, Mode::Eval)?;
        Ok(self.inputs.crop(out, x)?)
    }

    fn device(&self) -> Device {
        self.device
    }

    fn kind(&self) -> Kind {
        self.backbone.dtypes[1]
    }

    fn takes_self_condition(&self) -> bool {
        self.inputs.self_condition
    }
}

impl Backbone<Trained> {
    fn compile(
        &self,
        options: &CompileOptions,
        device: Device,
    ) -> Result<(Backbone<Compiled>, FusedProjection)> {
        let mut builder = FusedProjectionBuilder::default();
        let mut stage = |stage: &EmbedSequential| stage.compile(options, &mut builder);
        let encoder = self.encoder.iter().map(&mut stage).collect::<Result<_>>()?;
        let middle = self.middle.iter().map(&mut stage).collect::<Result<_>>()?;
        let decoder = self.decoder.iter().map(|decoder| {
            Ok(DecoderStage { layers: stage(&decoder.layers)?, takes_skip: decoder.takes_skip })
        });
        let decoder = decoder.collect::<Result<_>>()?;
        let head = Head {
            norm: self.head.norm.compile(options.pack)?,
            activation: self.head.activation,
            conv: self.head.conv.compile(options.pack)?,
        };
        let [torso, full] = self.dtypes;
        let dtypes = [compiled_activations(torso, device, options.pack)?, full];
        let backbone = Backbone { encoder, middle, decoder, head, dtypes };
        Ok((backbone, builder.finish()?))
    }
}

impl EmbeddingLayers {
    fn detached(&self) -> Result<Self> {
        let class = |layer: &ClassLayer| -> Result<ClassLayer> {
            Ok(match layer {
                ClassLayer::Table(table) => ClassLayer::Table(Embedding::detached(table)?),
                ClassLayer::Sinusoidal(layers) => ClassLayer::Sinusoidal(layers.detached()?),
                ClassLayer::Joined(layers) => ClassLayer::Joined(Box::new(JoinedClasses {
                    table: layers.table.detached()?,
                    null: layers.null.detached()?,
                    mlp: layers.mlp.detached()?,
                })),
                ClassLayer::PerBlock => ClassLayer::PerBlock,
            })
        };
        Ok(Self {
            timestep: self.timestep.as_ref().map(SinusoidalMlp::detached).transpose()?,
            interval: self.interval.as_ref().map(SinusoidalMlp::detached).transpose()?,
            classes: self.classes.as_ref().map(class).transpose()?,
        })
    }
}

impl SinusoidalMlp {
    fn detached(&self) -> Result<Self> {
        let frequencies = self.frequencies.as_ref().map(Weight::detached).transpose()?;
        Ok(Self { frequencies, mlp: self.mlp.detached()?, ..*self })
    }
}
