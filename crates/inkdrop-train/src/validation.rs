//! How well a network does on images that it does not learn.

use std::sync::Arc;

use inkdrop_data::loader::BatchSampler;
use inkdrop_data::loader::{DataLoader, DataLoaderConfig};
use inkdrop_data::{Dataset, LabelledDataset};
use inkdrop_nn::Mode;
use tch::Kind;

use crate::batch::TrainingBatch;
use crate::labels::LabelTable;
use crate::timesteps::SampledTimesteps;
use crate::{LabelUse, TrainConfig, TrainError, Trainer};

/// Images to look at, always the same ones with the same noise at the same steps.
#[derive(Debug)]
pub(crate) struct Validation {
    images: Arc<dyn Dataset>,
    labels: LabelTable,
    crop: Option<[usize; 2]>,
    count: usize,
}

impl Validation {
    pub(crate) fn new(
        data: &LabelledDataset,
        labels: LabelUse,
        crop: Option<[usize; 2]>,
        config: &TrainConfig,
    ) -> Result<Self, TrainError> {
        let count = data.images.len().min(config.validation_images);
        let labels = LabelTable::new(&data.labels, labels)?;
        Ok(Self { images: data.images.clone(), labels, crop, count })
    }
}

impl Trainer {
    /// The mean loss of the averaged weights on the validation images; none without such images.
    ///
    /// Each image is seen once, all labels are kept, and the steps of the process are spread
    /// evenly over the images: so the numbers of two steps, or of two runs, can be compared.
    ///
    /// # Errors
    /// An image cannot be read; libtorch failed.
    pub fn validate(&self) -> Result<Option<f64>, TrainError> {
        let Some(validation) = &self.validation else { return Ok(None) };
        let _guard = tch::no_grad_guard();
        // Whatever the recipe's batches are: the noise must not depend on them.
        let batch = validation.count.min(32);
        // One epoch in the order of a fixed seed takes a fair share of every class.
        let batches = BatchSampler::new(validation.images.len(), batch, 0)?;
        let config = DataLoaderConfig { crop: validation.crop, ..DataLoaderConfig::default() };
        let mut loader = DataLoader::new(validation.images.clone(), batches, config)?;
        let (mut seen, mut sum) = (0, 0.0);
        for step in 0.. {
            if seen >= validation.count {
                break;
            }
            let read = loader.batch(step)?;
            let images = read.indices.len().min(validation.count - seen);
            let prepared = self.look(validation, &read, seen)?;
            let network = self.averages.network();
            let terms = self.terms(network, &prepared, 0..images, Mode::Eval)?;
            sum += terms.loss.f_sum(Kind::Double)?.f_double_value(&[])?;
            seen += images;
        }
        Ok(Some(sum / validation.count as f64))
    }

    fn look(
        &self,
        validation: &Validation,
        read: &inkdrop_data::loader::Batch,
        seen: usize,
    ) -> Result<TrainingBatch, TrainError> {
        tch::manual_seed(seen as i64);
        let x0 = self.tensor(&read.images)?;
        let labels = validation.labels.batch(&read.indices, 0.0)?;
        let steps = self.process.schedule().steps();
        // Multiples of the golden ratio are spread evenly, however many there are.
        let place = |image: usize| (image as f64 * 0.618_033_988_749_895).fract();
        let t =
            (seen..seen + read.indices.len()).map(|image| (place(image) * steps as f64) as usize);
        let t: Vec<usize> = t.collect();
        let weights = vec![1.0; t.len()];
        TrainingBatch::new(x0, SampledTimesteps { t, weights }, labels, self.config.low_res)
    }
}
