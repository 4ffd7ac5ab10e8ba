//! Detection of EDM's U-Nets from names and shapes, which determine all fields but dropout.

use inkdrop_nn::FilterTaps;

use super::{EdmArchitecture, EdmConfig, EdmDecoder, EdmEncoder, EdmTimeEmbedding, SongConfig};
use crate::ModelConfig;
use crate::detect::{DetectedArchitecture, Shapes};

impl EdmConfig {
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let song = !shapes.has("out_norm.weight");
        let size = shapes.first_side("enc.", "_conv.weight")?;
        let key = |list: &str, level: u32, name: &str| {
            let side = size >> level;
            format!("{list}.{side}x{side}_{name}")
        };
        let dec_block = |level| key("dec", level, "block0.conv0.weight");
        let levels = (0..16u32).take_while(|&level| shapes.has(&dec_block(level))).count() as u32;
        let first = shapes.axis(&key("enc", 0, "conv.weight"), 0)?;
        let embedding = shapes.axis("map_layer0.weight", 0)?;
        let noise = shapes.axis("map_layer0.weight", 1)?;
        let features = if song { first } else { noise };
        let times = |channels: i64| channels.checked_div(features);
        let multiplier = |level| times(shapes.axis(&dec_block(level), 0)?);
        let blocks = shapes.run(|n| key("enc", 0, &format!("block{n}.conv0.weight")));
        // The last block of the decoder attends in both architectures.
        let attends =
            |&level: &u32| shapes.has(&key("dec", level, &format!("block{blocks}.qkv.weight")));
        let outputs = match song {
            true => shapes.axis(&key("dec", 0, "aux_conv.weight"), 0)?,
            false => shapes.axis("out_conv.weight", 0)?,
        };
        let options = SongConfig {
            time_embedding: match shapes.has("map_noise.freqs") {
                true => EdmTimeEmbedding::Fourier,
                false => EdmTimeEmbedding::Positional,
            },
            noise_multiplier: times(noise)?,
            encoder: match () {
                () if shapes.has(&key("enc", 1, "aux_skip.weight")) => EdmEncoder::Skip,
                () if shapes.has(&key("enc", 1, "aux_residual.weight")) => EdmEncoder::Residual,
                () => EdmEncoder::Standard,
            },
            decoder: match shapes.has(&key("dec", 0, "aux_up.resample_filter")) {
                true => EdmDecoder::Skip,
                false => EdmDecoder::Standard,
            },
            filter: match shapes.axis(&key("dec", 0, "up.conv0.resample_filter"), 3) {
                Some(4) => FilterTaps::Bilinear,
                _ => FilterTaps::Box,
            },
        };
        let config = Self {
            architecture: match song {
                true => EdmArchitecture::Song(options),
                false => EdmArchitecture::Dhariwal,
            },
            size,
            channels: shapes.axis(&key("enc", 0, "conv.weight"), 1)?,
            outputs,
            classes: shapes.axis("map_label.weight", 1),
            augment: shapes.axis("map_augment.weight", 1),
            features,
            multipliers: (0..levels).map(multiplier).collect::<Option<_>>()?,
            embedding_multiplier: times(embedding)?,
            blocks,
            attention: (0..levels).filter(attends).map(|level| size >> level).collect(),
            ..Self::cifar10()
        };
        Some(DetectedArchitecture { config: ModelConfig::Edm(config), undetermined: Vec::new() })
    }
}
