//! Detection of improved-diffusion's U-Net from names and shapes.

use super::{AttentionOrder, ImprovedConfig};
use crate::detect::{DetectedArchitecture, Shapes, UndeterminedField};
use crate::{ImageSize, ModelConfig};

impl ImprovedConfig {
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let first = "input_blocks.0.0.weight";
        let features = shapes.axis("time_embed.0.weight", 1).filter(|&features| features > 0)?;
        let (inputs, outputs) = (shapes.axis(first, 1)?, shapes.axis("out.2.weight", 0)?);
        let twice = outputs.checked_mul(2)?;
        let super_res = inputs == twice || (inputs == outputs && [2, 6].contains(&inputs));
        let stages = shapes.count("input_blocks.");
        let blocks = blocks(shapes, stages).filter(|&blocks| blocks > 0)?;
        let levels = Some(stages / (blocks + 1)).filter(|levels| (1..=16).contains(levels))?;
        let res = |level: i64| format!("input_blocks.{}.0", 1 + level * (blocks + 1));
        let multiplier = |level| {
            let outputs = shapes.axis(&format!("{}.out_layers.0.weight", res(level)), 0)?;
            Some(outputs as f64 / features as f64)
        };
        let attends = |&level: &i64| {
            shapes.has(&format!("input_blocks.{}.1.qkv.weight", 1 + level * (blocks + 1)))
        };
        let embedded = shapes.axis(&format!("{}.emb_layers.1.weight", res(0)), 0)?;
        let width = shapes.axis(&format!("{}.out_layers.0.weight", res(0)), 0)?;
        let learned =
            levels == 1 || shapes.has(&format!("input_blocks.{}.0.op.weight", blocks + 1));
        let resblock_updown = doubled_res(shapes);
        // openai/consistency_models has the images' axes in its attention, and all q, k, v in turn.
        let consistency = shapes.axes("middle_block.1.qkv.weight") == Some(4);
        let attention: Vec<i64> = (0..levels).filter(attends).map(|level| 1 << level).collect();
        let config = Self {
            size: ImageSize::square(64),
            channels: if super_res { inputs / 2 } else { inputs },
            outputs,
            features,
            multipliers: (0..levels).map(multiplier).collect::<Option<_>>()?,
            blocks,
            attention,
            heads: 4,
            heads_upsample: None,
            head_channels: None,
            attention_order: match consistency {
                true => AttentionOrder::New,
                false => AttentionOrder::Legacy,
            },
            classes: shapes.axis("label_emb.weight", 0),
            scale_shift: embedded == width.checked_mul(2)?,
            dropout: 0.0,
            dims: shapes.axes(first)?.checked_sub(2)?,
            learned_resample: learned || resblock_updown,
            resblock_updown,
            checkpoint: false,
        };
        let mut undetermined = vec![
            UndeterminedField::new("size", config.size),
            UndeterminedField::new("heads", config.heads),
        ];
        if resblock_updown {
            // guided-diffusion's networks, where both of these occur.
            undetermined.push(UndeterminedField::new("head_channels", "none"));
            if !consistency {
                undetermined.push(UndeterminedField::new("attention_order", "legacy"));
            }
        }
        let config = match super_res {
            true => ModelConfig::ImprovedSuperRes(config),
            false => ModelConfig::Improved(config),
        };
        Some(DetectedArchitecture { config, undetermined })
    }
}

/// Residual blocks per level: the first upsampling of the decoder follows that many and one.
fn blocks(shapes: &Shapes, stages: i64) -> Option<i64> {
    let doubles = |&n: &i64| {
        let stage = format!("output_blocks.{n}");
        shapes.has(&format!("{stage}.1.conv.weight"))
            || shapes.has(&format!("{stage}.2.conv.weight"))
            || second_res(shapes, n)
    };
    let halves = |&n: &i64| !shapes.any(&format!("input_blocks.{n}.")); // the mean has no keys
    let up = (0..stages).find(doubles);
    up.or_else(|| (0..stages).find(halves).map(|n| n - 1)).or(Some(stages - 1))
}

/// True if this stage of the decoder ends with a second residual block.
fn second_res(shapes: &Shapes, stage: i64) -> bool {
    let key = |layer| format!("output_blocks.{stage}.{layer}.in_layers.2.weight");
    shapes.has(&key(1)) || shapes.has(&key(2))
}

fn doubled_res(shapes: &Shapes) -> bool {
    (0..shapes.count("output_blocks.")).any(|stage| second_res(shapes, stage))
}
