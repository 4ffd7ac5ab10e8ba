//! Detection of lucidrains' U-Nets from names and shapes.

use super::LucidConfig;
use crate::ModelConfig;
use crate::detect::{DetectedArchitecture, Shapes, UndeterminedField};

impl LucidConfig {
    /// The time embedding's θ, and whether Fourier frequencies were trained, leave no trace.
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let features = shapes.axis("time_mlp.1.weight", 0)?.checked_div(4)?;
        let levels = shapes.count("downs.");
        let multiplier = |level| {
            let down = |end| shapes.axis(&format!("downs.{level}.3{end}.weight"), 0);
            down("").or_else(|| down(".1"))?.checked_div(features)
        };
        let first = shapes.axis("init_conv.weight", 0)?;
        let frequencies = shapes.axis("time_mlp.0.weights", 0);
        let base = Self {
            features,
            init_features: (first != features).then_some(first),
            multipliers: (0..levels).map(multiplier).collect::<Option<_>>()?,
            fourier_features: frequencies.and_then(|count| count.checked_mul(2)),
            classes: shapes.axis("classes_emb.weight", 0),
            dims: shapes.axes("init_conv.weight")?.checked_sub(2)?,
            ..Self::readme()
        };
        let mut undetermined = vec![UndeterminedField::new("size", base.size)];
        let config = base.with_attention(shapes, &mut undetermined)?;
        let config = config.with_channels(shapes, &mut undetermined)?;
        Some(DetectedArchitecture { config: ModelConfig::Lucid(config), undetermined })
    }

    /// Image channels: the first convolution takes as many, or twice as many with self-conditioning.
    fn with_channels(
        self,
        shapes: &Shapes,
        undetermined: &mut Vec<UndeterminedField>,
    ) -> Option<Self> {
        let inputs = shapes.axis("init_conv.weight", 1)?;
        let outputs = shapes.axis("final_conv.weight", 0)?;
        // 2 or 6 of both: gray or RGB images with self-conditioning and a learned variance.
        let both = inputs == outputs && matches!(inputs, 2 | 6) && self.classes.is_none();
        let self_condition = both || outputs.checked_mul(2) == Some(inputs);
        let channels = if self_condition { inputs / 2 } else { inputs };
        if inputs == outputs && inputs % 2 == 0 {
            undetermined.push(UndeterminedField::new("channels", channels));
            undetermined.push(UndeterminedField::new("self_condition", self_condition));
        }
        Some(Self { channels, outputs, self_condition, ..self })
    }

    fn with_attention(
        self,
        shapes: &Shapes,
        undetermined: &mut Vec<UndeterminedField>,
    ) -> Option<Self> {
        if self.is_older() {
            let inner = shapes.axis("mid_attn.fn.fn.to_out.weight", 1)?;
            let heads = [4, 2].into_iter().find(|heads| inner % heads == 0).unwrap_or(1);
            undetermined.push(UndeterminedField::new("heads", format!("[{heads}]")));
            undetermined
                .push(UndeterminedField::new("head_channels", format!("[{}]", inner / heads)));
            return Some(Self { heads: vec![heads], head_channels: vec![inner / heads], ..self });
        }
        let stages = 0..self.multipliers.len();
        let is_full = |i: &usize| !shapes.has(&format!("downs.{i}.2.to_out.0.weight"));
        let memory = |i: usize, axis| shapes.axis(&format!("downs.{i}.2.mem_kv"), axis);
        let width = |i| memory(i, if is_full(&i) { 3 } else { 2 });
        let heads = stages.clone().map(|i| memory(i, 1)).collect::<Option<_>>()?;
        let head_channels = stages.clone().map(width).collect::<Option<_>>()?;
        let full: Vec<bool> = stages.map(|i| is_full(&i)).collect();
        let last_alone = full.iter().rev().skip(1).all(|full| !full) && full.last() == Some(&true);
        Some(Self {
            heads: shortened(heads),
            head_channels: shortened(head_channels),
            full_attention: if last_alone { Vec::new() } else { shortened(full) },
            ..self
        })
    }
}

/// One value, if all are equal.
fn shortened<T: PartialEq>(mut values: Vec<T>) -> Vec<T> {
    if values.windows(2).all(|pair| pair[0] == pair[1]) {
        values.truncate(1);
    }
    values
}
