//! Detection of DiT from names and shapes.

use super::DitConfig;
use crate::ModelConfig;
use crate::detect::{DetectedArchitecture, Shapes, UndeterminedField};

impl DitConfig {
    /// Detects the network. Only the number of heads leaves no trace: published networks have heads of 64 or 72
    /// channels.
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let features = shapes.axis("x_embedder.proj.weight", 0)?;
        let channels = shapes.axis("x_embedder.proj.weight", 1)?;
        let patch = shapes.axis("x_embedder.proj.weight", 2)?;
        let grid = (shapes.axis("pos_embed", 1)? as f64).sqrt().round() as i64;
        let classes = shapes.axis("y_embedder.embedding_table.weight", 0);
        let hidden = shapes.axis("blocks.0.mlp.fc1.weight", 0)?;
        let heads = [64, 72, 32].into_iter().find(|width| features % width == 0);
        let heads = heads.map_or(1, |width| features / width);
        let values = patch.checked_mul(patch).filter(|&values| values > 0)?;
        let config = Self {
            size: grid.checked_mul(patch)?,
            channels,
            outputs: shapes.axis("final_layer.linear.weight", 0)? / values,
            classes: classes.map(|rows| rows.saturating_sub(1)),
            patch,
            features,
            depth: shapes.count("blocks."),
            heads,
            mlp_ratio: hidden as f64 / features as f64,
            checkpoint: false,
        };
        let undetermined = vec![UndeterminedField::new("heads", heads)];
        Some(DetectedArchitecture { config: ModelConfig::Dit(config), undetermined })
    }
}
