//! The embedding of noise level, class and augmentation labels of EDM's U-Nets.

use std::f64::consts::PI;

use inkdrop_nn::{ClassIds, Conditioning, Init, Linear, Scope, Weight, diffusers_embedding};
use inkdrop_torch::Result;
use inkdrop_torch::tch::{Kind, Tensor};

use super::{EdmConfig, EdmTimeEmbedding};

/// The embedding layers, `map_…`.
#[derive(Debug)]
pub(super) struct EmbeddingLayers {
    /// Frequencies of Fourier features; `None` for fixed ones.
    frequencies: Option<Weight>,
    label: Option<Linear>,
    augment: Option<Linear>,
    layers: [Linear; 2],
    noise_features: i64,
    classes: i64,
    /// Number of augmentation labels.
    labels: Option<i64>,
    /// SongUNet, or else DhariwalUNet.
    song: bool,
    dtype: Kind,
}

/// Standard deviation of the frequencies (Song et al. 2021).
const FOURIER_SCALE: f64 = 16.0;

impl EmbeddingLayers {
    pub fn new(scope: &mut Scope, config: &EdmConfig, dtype: Kind) -> Result<Self> {
        let (noise, embedding) = (config.noise_features(), config.embedding());
        let song = config.song();
        let fourier = song.is_some_and(|song| song.time_embedding == EdmTimeEmbedding::Fourier);
        let mut frequencies = None;
        if fourier {
            let scope = &mut scope.sub("map_noise");
            frequencies = Some(scope.drawn("freqs", &[noise / 2], Init::Normal, FOURIER_SCALE)?);
        }
        let label = |scope: &mut Scope, classes: i64| match song {
            Some(_) => Linear::new(&mut scope.sub("map_label"), classes, noise),
            None => Linear::without_bias(&mut scope.sub("map_label"), classes, embedding),
        };
        let song_label = config.classes.filter(|_| song.is_some());
        let first = song_label.map(|classes| label(scope, classes)).transpose()?;
        let augment = |labels| Linear::without_bias(&mut scope.sub("map_augment"), labels, noise);
        let augment = config.augment.map(augment).transpose()?;
        let layers = [
            Linear::new(&mut scope.sub("map_layer0"), noise, embedding)?,
            Linear::new(&mut scope.sub("map_layer1"), embedding, embedding)?,
        ];
        let label = match (first, config.classes) {
            (None, Some(classes)) => Some(label(scope, classes)?),
            (first, _) => first,
        };
        Ok(Self {
            frequencies,
            label,
            augment,
            layers,
            noise_features: noise,
            classes: config.classes.unwrap_or(0),
            labels: config.augment,
            song: song.is_some(),
            dtype,
        })
    }

    /// The same layers without gradients.
    pub fn detached(&self) -> Result<Self> {
        let detached = |layer: &Option<Linear>| layer.as_ref().map(Linear::detached).transpose();
        let [first, second] = &self.layers;
        Ok(Self {
            frequencies: self.frequencies.clone(),
            label: detached(&self.label)?,
            augment: detached(&self.augment)?,
            layers: [first.detached()?, second.detached()?],
            ..*self
        })
    }

    /// The activated embedding, [B, E].
    ///
    /// - t: `[B]`; class_ids: `[B]` in i64, of which the last one is no class
    /// - augment: [B, labels]
    pub fn forward(
        &self,
        t: &Tensor,
        class_ids: Option<&Tensor>,
        augment: Option<&Tensor>,
    ) -> Result<Tensor> {
        let mut embedding = self.sinusoids(t)?.f_to_kind(self.dtype)?;
        let label = match (&self.label, class_ids) {
            (Some(layer), Some(ids)) => Some(layer.forward(&self.one_hot(ids)?)?),
            _ => None,
        };
        if let (true, Some(label)) = (self.song, &label) {
            embedding = embedding.f_add(label)?;
        }
        if let (Some(layer), Some(labels)) = (&self.augment, augment) {
            embedding = embedding.f_add(&layer.forward(&labels.f_to_kind(self.dtype)?)?)?;
        }
        let embedding = self.layers[0].forward(&embedding)?.f_silu()?;
        let embedding = self.layers[1].forward(&embedding)?;
        Ok(match label {
            Some(label) if !self.song => embedding.f_add(&label)?.f_silu()?,
            _ => embedding.f_silu()?,
        })
    }

    /// The embedding of a batch.
    pub fn of(&self, t: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        let ids = conditioning.classes.as_ref().map(ClassIds::tensor);
        self.forward(t, ids, conditioning.augment.as_ref())
    }

    /// The same with zeros for labels that are left out, so that every layer has a gradient, as training in
    /// several processes needs.
    pub fn of_training(&self, t: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        let (Some(labels), None) = (self.labels, &conditioning.augment) else {
            return self.of(t, conditioning);
        };
        let ids = conditioning.classes.as_ref().map(ClassIds::tensor);
        let zeros = Tensor::f_zeros([t.size()[0], labels], (self.dtype, t.device()))?;
        self.forward(t, ids, Some(&zeros))
    }

    /// [B, N]; SongUNet has sines before cosines.
    fn sinusoids(&self, t: &Tensor) -> Result<Tensor> {
        let Some(frequencies) = &self.frequencies else {
            let shift = if self.song { 1.0 } else { 0.0 };
            return diffusers_embedding(t, self.noise_features, !self.song, shift);
        };
        // 2π·f is rounded to f32 before the product with t, as in EDM.
        let frequencies = frequencies.f_to_kind(Kind::Float)?.f_mul_scalar(2.0 * PI)?;
        let phases = t.f_to_kind(Kind::Float)?.f_outer(&frequencies)?;
        Ok(Tensor::f_cat(&[phases.f_sin()?, phases.f_cos()?], 1)?)
    }

    /// Rows of the classes, [B, L]; zeros for no class. SongUNet scales them to unit variance.
    fn one_hot(&self, ids: &Tensor) -> Result<Tensor> {
        let rows = ids.f_one_hot(self.classes + 1)?.f_narrow(1, 0, self.classes)?;
        let rows = rows.f_to_kind(self.dtype)?;
        Ok(if self.song { rows.f_mul_scalar((self.classes as f64).sqrt())? } else { rows })
    }
}
