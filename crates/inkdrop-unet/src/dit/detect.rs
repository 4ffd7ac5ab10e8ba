//! Detection of DiT and JiT from names and shapes.

use super::DitConfig;
use crate::ModelConfig;
use crate::detect::{DetectedArchitecture, Shapes, UndeterminedField};

impl DitConfig {
    /// Detects the network. The number of heads leaves no trace without normalised queries: published networks have heads
    /// of 64 or 72 channels. Nor do rotary positions, which networks with normalised queries have, and the first block with
    /// tokens of the class, which begin after a third of the blocks.
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let bottleneck = shapes.axis("x_embedder.proj1.weight", 0);
        let (first, last) = match bottleneck {
            Some(_) => ("x_embedder.proj1.weight", "x_embedder.proj2.weight"),
            None => ("x_embedder.proj.weight", "x_embedder.proj.weight"),
        };
        let features = shapes.axis(last, 0)?;
        let (channels, patch) = (shapes.axis(first, 1)?, shapes.axis(first, 2)?);
        let grid = (shapes.axis("pos_embed", 1)? as f64).sqrt().round() as i64;
        let classes = shapes.axis("y_embedder.embedding_table.weight", 0);
        let gated = shapes.axis("blocks.0.mlp.w3.weight", 1);
        // A gated MLP has two thirds of the width.
        let hidden = match gated {
            Some(hidden) => (hidden.checked_mul(3)? + 1) / 2,
            None => shapes.axis("blocks.0.mlp.fc1.weight", 0)?,
        };
        let normed = shapes.axis("blocks.0.attn.q_norm.weight", 0).filter(|&width| width > 0);
        let usual = [64, 72, 32].into_iter().find(|width| features % width == 0);
        let heads = normed.or(usual).map_or(1, |width| features / width);
        let depth = shapes.count("blocks.");
        let context = shapes.axis("in_context_posemb", 1);
        let values = patch.checked_mul(patch).filter(|&values| values > 0)?;
        let config = Self {
            size: grid.checked_mul(patch)?,
            channels,
            outputs: shapes.axis("final_layer.linear.weight", 0)? / values,
            classes: classes.map(|rows| rows.saturating_sub(1)),
            patch,
            features,
            depth,
            heads,
            mlp_ratio: hidden as f64 / features as f64,
            rms_norm: shapes.has("blocks.0.norm1.weight"),
            qk_norm: normed.is_some(),
            rotary: normed.is_some(),
            swiglu: gated.is_some(),
            bottleneck,
            in_context_len: context.unwrap_or(0),
            in_context_start: context.map_or(0, |_| depth / 3),
            checkpoint: false,
        };
        let mut undetermined = Vec::new();
        match normed {
            None => undetermined.push(UndeterminedField::new("heads", heads)),
            Some(_) => undetermined.push(UndeterminedField::new("rotary", config.rotary)),
        }
        if context.is_some() {
            let field = UndeterminedField::new("in_context_start", config.in_context_start);
            undetermined.push(field);
        }
        Some(DetectedArchitecture { config: ModelConfig::Dit(config), undetermined })
    }
}
