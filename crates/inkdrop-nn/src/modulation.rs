//! Conditioning of the blocks: how the embedding of timestep and class reaches each normalisation,
//! and its fused and cached form for inference.

use std::collections::HashMap;

use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, TorchError};

use crate::{
    Activation, ClassIds, CompileOptions, Conditioning, Embedding, GroupNorm, Linear,
    ResBlockConfig,
};

/// Conditioning of all blocks in a pass: the embedding of timestep and class, or its projections.
#[derive(Debug, Default)]
pub struct BlockConditioning {
    /// Embedding of the timestep, with the class where it has an embedding, [B, E].
    pub embedding: Option<Tensor>,
    /// Class ids, `[B]` in i64, for blocks with a class bias.
    pub class_ids: Option<Tensor>,
    /// Projections for all blocks of a compiled network, [B, ...], or [1, ...] for all images;
    /// computed by [`FusedProjection`].
    pub modulation: Option<Tensor>,
    /// Index of the first image in the batch of the whole step, on which dropout masks depend; see
    /// [`Conditioning::first_image`].
    pub first_image: i64,
}

impl BlockConditioning {
    /// Conditioning by a timestep embedding alone.
    pub fn embedding(embedding: Tensor) -> Self {
        Self { embedding: Some(embedding), ..Self::default() }
    }
}

/// Modulation of a normalisation by the conditioning; rows are [1, ...] or [B, ...].
#[derive(Debug)]
pub enum Modulation {
    /// Plain normalisation.
    None,
    /// A bias [B, C], added to x before the normalisation (Ho et al. 2020).
    Bias(Tensor),
    /// Scale-shift norm (adaptive group norm): norm(x)·(1 + s) + b, with (s, b) the halves of
    /// [B, 2·C] (Nichol & Dhariwal 2021; Dhariwal & Nichol 2021, eq. 3).
    ScaleShift(Tensor),
    /// Scale and shift [B, 2·C] that replace those of the normalisation, for inference.
    FusedAffine(Tensor),
}

/// Projection of the conditioning to the modulation of one residual block.
#[derive(Debug, Clone)]
pub(crate) enum EmbeddingProjection {
    /// The block's own layers.
    PerBlock { embedding: Option<Linear>, class_bias: Option<Embedding> },
    /// A slice of the fused projection that all blocks share; see [`FusedProjection`].
    Fused { columns: (i64, i64), affine: bool },
}

impl EmbeddingProjection {
    pub fn modulation(
        &self,
        conditioning: &BlockConditioning,
        config: &ResBlockConfig,
    ) -> Result<Modulation> {
        let (row, affine) = match self {
            Self::PerBlock { embedding, class_bias } => {
                let (layer, table) = (embedding.as_ref(), class_bias.as_ref());
                (project(layer, table, config.embedding_activation(), conditioning)?, false)
            }
            Self::Fused { columns: (first, width), affine } => {
                let rows = conditioning.modulation.as_ref().filter(|_| *width > 0);
                (rows.map(|rows| rows.f_narrow(1, *first, *width)).transpose()?, *affine)
            }
        };
        Ok(match (row, affine, config.scale_shift) {
            (None, ..) => Modulation::None,
            (Some(row), true, _) => Modulation::FusedAffine(row),
            (Some(row), false, true) => Modulation::ScaleShift(row),
            (Some(row), false, false) => Modulation::Bias(row),
        })
    }
}

/// linear(act(embedding)) + table(class): [B, width]; `None` without either.
fn project(
    layer: Option<&Linear>,
    table: Option<&Embedding>,
    activation: Option<Activation>,
    conditioning: &BlockConditioning,
) -> Result<Option<Tensor>> {
    let mut sum = match (layer, &conditioning.embedding) {
        (Some(layer), Some(embedding)) => {
            Some(layer.forward(&Activation::maybe(activation, embedding.shallow_clone())?)?)
        }
        _ => None,
    };
    if let (Some(table), Some(ids)) = (table, &conditioning.class_ids) {
        let bias = table.forward(ids)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&bias)?,
            None => bias,
        });
    }
    Ok(sum)
}

/// Collects the embedding projections of all residual blocks, to fuse them into one.
///
/// One matrix product then gives the modulation of all blocks; each block reads its columns. Scale
/// and shift of a group normalisation with scale-shift are folded into its projection.
#[derive(Debug, Default)]
pub struct FusedProjectionBuilder {
    layers: Vec<(Linear, Option<Activation>)>,
    tables: Vec<Embedding>,
    width: i64,
}

impl FusedProjectionBuilder {
    /// Adds the projection of one block; returns the first of its columns and their number.
    ///
    /// - norm: the group normalisation with scale-shift, if there is one
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
                Some(layer.fold_affine(scale, shift)?)
            }
            (Some(layer), None) => Some(Linear::concat(&[layer])?),
            (None, _) => None,
        };
        let width = layer.as_ref().map(Linear::outputs).or(table.map(Embedding::width));
        let columns = (self.width, width.unwrap_or(0));
        self.width += columns.1;
        self.layers.extend(layer.map(|layer| (layer, config.embedding_activation())));
        self.tables.extend(table.cloned());
        Ok(columns)
    }

    /// Concatenates the projections into one layer and one table.
    ///
    /// # Errors
    /// libtorch is out of memory.
    ///
    /// # Panics
    /// The blocks differ in their activations, or only some of them have a layer or a table. No
    /// family of networks is built so.
    pub fn finish(self) -> Result<FusedProjection> {
        let activation = self.layers.first().map(|(_, activation)| *activation);
        assert!(self.layers.iter().all(|(_, act)| Some(*act) == activation), "blocks differ");
        let layers: Vec<&Linear> = self.layers.iter().map(|(layer, _)| layer).collect();
        let tables: Vec<&Embedding> = self.tables.iter().collect();
        let whole = |width: i64| width == 0 || width == self.width;
        let widths = tables.iter().map(|table| table.width()).sum();
        assert!(whole(layers.iter().map(|layer| layer.outputs()).sum()), "blocks differ");
        assert!(whole(widths), "blocks differ");
        let layer = match activation {
            Some(activation) => Some((Linear::concat(&layers)?, activation)),
            None => None,
        };
        let table = if tables.is_empty() { None } else { Some(Embedding::concat(&tables)?) };
        Ok(FusedProjection { layer, table })
    }
}

/// The embedding projections of all residual blocks as one layer and one table.
#[derive(Debug)]
pub struct FusedProjection {
    layer: Option<(Linear, Option<Activation>)>,
    table: Option<Embedding>,
}

impl FusedProjection {
    /// The modulation of all blocks, [B, columns]; `None` if no block has a projection.
    ///
    /// # Errors
    /// The embedding has another width than the layers take.
    pub fn rows(&self, conditioning: &BlockConditioning) -> Result<Option<Tensor>> {
        let layer = self.layer.as_ref();
        let activation = layer.and_then(|(_, activation)| *activation);
        project(layer.map(|(layer, _)| layer), self.table.as_ref(), activation, conditioning)
    }
}

/// Cache of everything that depends on timestep and class alone: rows computed before sampling.
#[derive(Debug)]
pub struct EmbeddingCache {
    rows: Tensor,
    row_of: HashMap<(u64, Option<i64>), i64>,
}

impl EmbeddingCache {
    /// Maximum number of cached rows; further timesteps are computed when they occur.
    const MOST: usize = 1024;

    /// Computes the rows of all timesteps of the options with all their classes; `None` if there is
    /// nothing to cache.
    ///
    /// - classes: number of classes of the network
    /// - rows: computes [K, ...] from timesteps `[K]` in f64 and as many class ids
    ///
    /// # Errors
    /// Those of `rows`, or it returns another number of rows.
    pub fn new(
        options: &CompileOptions,
        classes: Option<i64>,
        device: Device,
        rows: impl FnOnce(&Tensor, Option<&Tensor>) -> Result<Option<Tensor>>,
    ) -> Result<Option<Self>> {
        let keys = Self::keys(options, classes);
        let (times, ids): (Vec<f64>, Vec<Option<i64>>) = keys.into_iter().unzip();
        // On a GPU, a lookup by the value of t would wait for the device.
        if times.is_empty() || device != Device::Cpu {
            return Ok(None);
        }
        let t = Tensor::f_from_slice(&times)?;
        let known: Option<Vec<i64>> = ids.iter().copied().collect();
        let classes = known.map(|ids| Tensor::f_from_slice(&ids)).transpose()?;
        let Some(rows) = rows(&t, classes.as_ref())? else { return Ok(None) };
        if rows.size().first() != Some(&(times.len() as i64)) {
            let problem = format!("{:?} rows for {} times", rows.size(), times.len());
            return Err(TorchError::message(problem));
        }
        let keys = times.iter().zip(&ids).enumerate();
        let row_of = keys.map(|(i, (time, class))| ((time.to_bits(), *class), i as i64)).collect();
        Ok(Some(Self { rows, row_of }))
    }

    /// All pairs of timestep and class.
    fn keys(options: &CompileOptions, classes: Option<i64>) -> Vec<(f64, Option<i64>)> {
        let valid = |class: &&i64| classes.is_some_and(|count| (0..count).contains(*class));
        let ids: Vec<Option<i64>> = match classes {
            Some(_) => options.classes.iter().filter(valid).map(|class| Some(*class)).collect(),
            None => vec![None],
        };
        let pairs =
            ids.iter().flat_map(|class| options.times.iter().map(move |time| (*time, *class)));
        pairs.take(Self::MOST).collect()
    }

    /// The embedding of a pass: the cached row if all images share timestep and class; else computed, for
    /// one image if they share these, and otherwise for each.
    ///
    /// - from_row: the embedding from a cached row, [1, ...]
    /// - compute: the embedding from timesteps `[K]`, lengths of time intervals and class ids
    ///
    /// # Errors
    /// Those of `from_row` and `compute`.
    pub fn embed<T>(
        cache: Option<&Self>,
        (t, conditioning): (&Tensor, &Conditioning),
        from_row: impl FnOnce(Tensor) -> Result<T>,
        compute: impl FnOnce(&Tensor, Option<&Tensor>, Option<&Tensor>) -> Result<T>,
    ) -> Result<T> {
        let interval = conditioning.interval.as_ref();
        let ids = conditioning.classes.as_ref().map(ClassIds::tensor);
        let Some(key) = EmbeddingCacheKey::of(t, conditioning)? else {
            return compute(t, interval, ids);
        };
        if let Some(row) = cache.map(|cache| cache.row(&key)).transpose()?.flatten() {
            return from_row(row);
        }
        let first = |x: &Tensor| x.f_narrow(0, 0, 1);
        let (interval, ids) = (interval.map(first).transpose()?, ids.map(first).transpose()?);
        compute(&first(t)?, interval.as_ref(), ids.as_ref())
    }

    /// The cached row of a key, [1, ...].
    ///
    /// # Errors
    /// libtorch fails.
    pub fn row(&self, key: &EmbeddingCacheKey) -> Result<Option<Tensor>> {
        let row = self.row_of.get(&(key.time.to_bits(), key.class));
        let row = row.filter(|_| key.interval.is_none()); // rows are of a time without an interval
        Ok(row.map(|row| self.rows.f_narrow(0, *row, 1)).transpose()?)
    }
}

/// Timestep, class and time interval that all images of a batch share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingCacheKey {
    /// In the units of the network's t.
    pub time: f64,
    /// `None` without classes.
    pub class: Option<i64>,
    /// Length of the time interval; `None` without one.
    pub interval: Option<f64>,
}

/// The number that a tensor `[B]` holds B times.
fn shared_number(x: &Tensor) -> Result<Option<f64>> {
    let values = Vec::<f64>::try_from(&x.f_to_kind(Kind::Double)?.f_reshape([-1])?)?;
    Ok(values.first().copied().filter(|first| values.iter().all(|value| value == first)))
}

impl EmbeddingCacheKey {
    /// The key of a batch; `None` if its images differ in timestep, class or time interval, or if t is on a
    /// GPU, whose values cannot be read without waiting for the device.
    ///
    /// - t: `[B]`
    ///
    /// # Errors
    /// libtorch fails.
    pub fn of(t: &Tensor, conditioning: &Conditioning) -> Result<Option<Self>> {
        if t.device() != Device::Cpu || t.numel() == 0 {
            return Ok(None);
        }
        let class = conditioning.classes.as_ref().map(ClassIds::shared);
        if class == Some(None) {
            return Ok(None);
        }
        let interval = conditioning.interval.as_ref().map(shared_number).transpose()?;
        let time = shared_number(t)?.filter(|_| interval != Some(None));
        let (class, interval) = (class.flatten(), interval.flatten());
        Ok(time.map(|time| Self { time, class, interval }))
    }
}
