//! What all residual blocks are told, computed for all of them at once.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::{Activation, BlockConditioning, Embedding, GroupNorm, Linear, ResBlockConfig};

/// Gathers the layers by which blocks take in time and class.
///
/// One product with all of them gives one row for each image (or one for all, where they share
/// their time), and each block reads its columns of it. Where a block scales and shifts a group
/// normalisation, that one's own scale and shift are part of the layer.
#[derive(Debug, Default)]
pub struct FusedProjectionBuilder {
    layers: Vec<(Linear, Activation)>,
    tables: Vec<Embedding>,
    width: i64,
}

impl FusedProjectionBuilder {
    /// Takes the layers of one block; returns its columns: the first one, and how many.
    ///
    /// - norm: the normalisation that is scaled and shifted, if it is one of groups
    pub(crate) fn add(
        &mut self,
        layer: Option<&Linear>,
        table: Option<&Embedding>,
        norm: Option<&GroupNorm>,
        config: &ResBlockConfig,
    ) -> Result<(i64, i64)> {
        let layer = match (layer, norm) {
            (Some(layer), Some(norm)) => {
                let (scale, shift) = norm.affine();
                Some(layer.affine(scale, shift)?)
            }
            (Some(layer), None) => Some(Linear::concat(&[layer])?),
            (None, _) => None,
        };
        let width = layer.as_ref().map(Linear::outputs).or(table.map(Embedding::width));
        let columns = (self.width, width.unwrap_or(0));
        self.width += columns.1;
        self.layers.extend(layer.map(|layer| (layer, config.activation)));
        self.tables.extend(table.cloned());
        Ok(columns)
    }

    /// The layers as one.
    ///
    /// # Errors
    /// libtorch is out of memory.
    ///
    /// # Panics
    /// Some blocks have a layer or a table, and others none, or other activations: no network is
    /// laid out so.
    pub fn finish(self) -> Result<FusedProjection> {
        let activation = self.layers.first().map(|(_, activation)| *activation);
        assert!(self.layers.iter().all(|(_, act)| Some(*act) == activation), "blocks differ");
        let layers: Vec<&Linear> = self.layers.iter().map(|(layer, _)| layer).collect();
        let tables: Vec<&Embedding> = self.tables.iter().collect();
        let whole = |width: i64| width == 0 || width == self.width;
        let widths = tables.iter().map(|table| table.width()).sum();
        assert!(whole(layers.iter().map(|layer| layer.outputs()).sum()), "blocks differ");
        assert!(whole(widths), "blocks differ");
        Ok(FusedProjection {
            layer: match activation {
                Some(activation) => Some((Linear::concat(&layers)?, activation)),
                None => None,
            },
            table: match tables.is_empty() {
                true => None,
                false => Some(Embedding::concat(&tables)?),
            },
        })
    }
}

/// The layers of a [`FusedProjectionBuilder`] as one layer and one table.
#[derive(Debug)]
pub struct FusedProjection {
    layer: Option<(Linear, Activation)>,
    table: Option<Embedding>,
}

impl FusedProjection {
    /// The rows of a conditioning: [B, columns of all blocks]; `None` where blocks are told nothing.
    ///
    /// # Errors
    /// The embedding has another width than the layers take.
    pub fn rows(&self, conditioning: &BlockConditioning) -> Result<Option<Tensor>> {
        let mut rows = match (&self.layer, &conditioning.embedding) {
            (Some((layer, activation)), Some(embedding)) => {
                Some(layer.forward(&activation.apply(embedding)?)?)
            }
            _ => None,
        };
        if let (Some(table), Some(classes)) = (&self.table, &conditioning.class_ids) {
            let biases = table.forward(classes)?;
            rows = Some(match rows {
                Some(rows) => rows.f_add(&biases)?,
                None => biases,
            });
        }
        Ok(rows)
    }
}
