//! Detection of a UNet2DModel from names and shapes. Its config.json has more fields.

use super::{ClassEmbedding, Unet2dConfig};
use crate::detect::{DetectedArchitecture, Shapes, UndeterminedField, usual_groups};
use crate::{ImageSize, ModelConfig};

impl Unet2dConfig {
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let levels = shapes.count("down_blocks.");
        let width = |level| shapes.axis(&format!("down_blocks.{level}.resnets.0.conv1.weight"), 0);
        let features: Vec<i64> = (0..levels).map(width).collect::<Option<_>>()?;
        let attends = |list: &str| -> Vec<bool> {
            (0..levels).map(|level| shapes.any(&format!("{list}.{level}.attentions."))).collect()
        };
        let res = "down_blocks.0.resnets.0";
        let embedding = shapes.axis("time_embedding.linear_1.weight", 0)?;
        let outputs = *features.first()?;
        let (twice, four_times) = (outputs.checked_mul(2)?, outputs.checked_mul(4)?);
        let resblock = |list: &str, resampler: &str, attention: bool| {
            let level = |n: i64| format!("{list}.{n}");
            (0..levels).any(|n| {
                shapes.any(&format!("{}.{resampler}.0.norm1.", level(n)))
                    && shapes.any(&format!("{}.attentions.", level(n))) == attention
            })
        };
        let table = shapes.axis("class_embedding.weight", 0);
        let timestep = shapes.has("class_embedding.linear_1.weight");
        let config = Self {
            size: ImageSize::square(32),
            channels: shapes.axis("conv_in.weight", 1)?,
            outputs: shapes.axis("conv_out.weight", 0)?,
            blocks: shapes.run(|n| format!("down_blocks.0.resnets.{n}.conv1.weight")),
            down_attention: attends("down_blocks"),
            up_attention: attends("up_blocks"),
            middle: shapes.any("mid_block."),
            middle_attention: shapes.any("mid_block.attentions."),
            scale_shift: shapes.axis(&format!("{res}.time_emb_proj.weight"), 0)? == twice,
            resblock_down: resblock("down_blocks", "downsamplers", true),
            resblock_up: resblock("up_blocks", "upsamplers", true),
            plain_resblock_down: resblock("down_blocks", "downsamplers", false),
            plain_resblock_up: resblock("up_blocks", "upsamplers", false),
            time_features: (embedding != four_times).then_some(embedding),
            classes: if timestep { Some(1 << 20) } else { table },
            class_embedding: if timestep {
                ClassEmbedding::Timestep
            } else {
                ClassEmbedding::Table
            },
            groups: usual_groups(&features),
            features,
            ..Self::cifar10()
        };
        // Fields that have no effect on this network are determined.
        let attention =
            config.down_attention.iter().chain(&config.up_attention).any(|&attends| attends)
                || config.middle_attention;
        let halves =
            (0..levels).any(|n| shapes.has(&format!("down_blocks.{n}.downsamplers.0.conv.weight")));
        let fields = [
            (true, UndeterminedField::new("size", config.size)),
            (attention, UndeterminedField::new("head_channels", "none")),
            (true, UndeterminedField::new("groups", config.groups)),
            (true, UndeterminedField::new("eps", config.eps)),
            (true, UndeterminedField::new("activation", "silu")),
            (halves, UndeterminedField::new("far_padding", config.far_padding)),
            (true, UndeterminedField::new("cosine_first", config.cosine_first)),
            (true, UndeterminedField::new("frequency_shift", config.frequency_shift)),
            (config.middle, UndeterminedField::new("middle_divisor", config.middle_divisor)),
            (config.middle_attention, UndeterminedField::new("middle_groups", "none")),
            (true, UndeterminedField::new("center_input", config.center_input)),
        ];
        let undetermined =
            fields.into_iter().filter(|(acts, _)| *acts).map(|(_, field)| field).collect();
        Some(DetectedArchitecture { config: ModelConfig::Unet2d(config), undetermined })
    }
}
