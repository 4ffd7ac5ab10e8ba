//! Detection of nanodiffusion's U-Net from names and shapes.

use inkdrop_nn::{Activation, NormKind};

use super::DdpmConfig;
use crate::detect::{DetectedArchitecture, Shapes, UndeterminedField, usual_groups};
use crate::{ImageSize, ModelConfig};

impl DdpmConfig {
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let features = shapes.axis("init_conv.weight", 0)?;
        let count = shapes.count("downs.");
        let halves = |n: &i64| shapes.has(&format!("downs.{n}.downsample.weight"));
        let levels = (0..count).filter(halves).count() as i64 + 1;
        let blocks = (count - levels + 1).checked_div(levels)?;
        // The first block of a level, after those before it and their halvings.
        let first = |level: i64| format!("downs.{}", level * (blocks + 1));
        let multiplier = |level| {
            let outputs = shapes.axis(&format!("{}.conv_1.weight", first(level)), 0)?;
            outputs.checked_div(features)
        };
        let attends = |&level: &i64| shapes.any(&format!("{}.attention.", first(level)));
        let norm = if shapes.has("downs.0.norm_1.running_mean") {
            NormKind::Batch
        } else if shapes.has("downs.0.norm_1.weight") {
            NormKind::Group
        } else {
            NormKind::None
        };
        let config = Self {
            channels: shapes.axis("init_conv.weight", 1)?,
            features,
            multipliers: (0..levels).map(multiplier).collect::<Option<_>>()?,
            blocks,
            time_features: shapes.axis("time_mlp.1.weight", 0),
            interval: shapes.any("interval_mlp."),
            classes: shapes.axis("downs.0.class_bias.weight", 0),
            attention: (0..levels).filter(attends).collect(),
            norm,
            groups: usual_groups(&[features]),
            activation: Activation::Silu,
            size: ImageSize::square(32),
            ..Self::cifar10()
        };
        let mut undetermined = vec![
            UndeterminedField::new("size", config.size),
            UndeterminedField::new("activation", "silu"),
        ];
        if norm == NormKind::Group {
            undetermined.push(UndeterminedField::new("norm", "group"));
            undetermined.push(UndeterminedField::new("groups", config.groups));
        }
        if config.time_features.is_some() {
            undetermined.push(UndeterminedField::new("time_scale", config.time_scale));
        }
        undetermined.push(UndeterminedField::new("padding", config.padding));
        Some(DetectedArchitecture { config: ModelConfig::Ddpm(config), undetermined })
    }
}
