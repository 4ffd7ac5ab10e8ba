//! The validation loss: the loss of the EMA network on images that it is not trained on.

use std::sync::Arc;

use inkdrop_data::loader::{Batch, BatchSampler, DataLoader, DataLoaderConfig};
use inkdrop_data::{Dataset, LabelledDataset};
use inkdrop_nn::Mode;
use inkdrop_process::ImageCondition;
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::batch::{LabelTable, Share, TrainingBatch};
use crate::{LabelUse, SampledTimesteps, TrainError, Trainer};

/// Images per forward pass, whatever the training batch: the noise must not depend on that.
const BATCH: usize = 32;

/// The validation images, with fixed noise and timesteps.
#[derive(Debug)]
pub(crate) struct Validation {
    images: Arc<dyn Dataset>,
    labels: LabelTable,
    crop: Option<[usize; 2]>,
    count: usize,
}

impl Validation {
    /// - most: largest number of images to use
    pub(crate) fn new(
        data: &LabelledDataset,
        labels: LabelUse,
        crop: Option<[usize; 2]>,
        most: usize,
    ) -> Result<Self, TrainError> {
        let count = data.images.len().min(most);
        let labels = LabelTable::new(&data.labels, labels)?;
        Ok(Self { images: data.images.clone(), labels, crop, count })
    }

    /// The mean loss of the EMA network. Each image is used once, with its label.
    pub(crate) fn loss(&self, trainer: &Trainer) -> Result<f64, TrainError> {
        let _guard = no_grad_guard();
        // An epoch shuffled by a fixed seed has a fair share of every class.
        let batches = BatchSampler::new(self.images.len(), self.count.min(BATCH), 0)?;
        let config = DataLoaderConfig { crop: self.crop, ..DataLoaderConfig::default() };
        let mut loader = DataLoader::new(self.images.clone(), batches, config)?;
        let steps = self.count.div_ceil(BATCH);
        // Each process takes every other batch; each sum has its place, so that the total does not
        // depend on the number of processes.
        let mut sums = vec![0.0; steps];
        let (rank, processes) = (trainer.processes.rank(), trainer.processes.count());
        for step in (rank..steps).step_by(processes) {
            let loaded = loader.batch(step)?;
            let first = step * BATCH;
            let images = loaded.indices.len().min(self.count - first);
            let batch = self.batch(trainer, &loaded, first)?;
            let network = trainer.ema_network();
            let terms = trainer.loss_terms(network, &batch, &(0..images), Mode::Eval)?;
            sums[step] = terms.loss.f_sum(Kind::Double)?.f_double_value(&[])?;
        }
        let sums = Vec::<f64>::try_from(&trainer.processes.sum(Tensor::f_from_slice(&sums)?)?)?;
        Ok(sums.iter().sum::<f64>() / self.count as f64)
    }

    /// - first: number of the batch's first image among all validation images
    fn batch(
        &self,
        trainer: &Trainer,
        loaded: &Batch,
        first: usize,
    ) -> Result<TrainingBatch, TrainError> {
        let _generator = DefaultGenerator::seeded(first as i64);
        let x0 = trainer.to_device(&loaded.images)?;
        let labels = self.labels.batch(&loaded.indices, 0.0)?;
        let steps = trainer.process().training_levels();
        // Multiples of the golden ratio cover [0, 1) evenly for any number of images.
        let position = |image: usize| (image as f64 * 0.618_033_988_749_895).fract();
        let images = first..first + loaded.indices.len();
        let t: Vec<usize> = images.map(|image| (position(image) * steps as f64) as usize).collect();
        let importance_weights = vec![1.0; t.len()];
        let timesteps = SampledTimesteps { t, importance_weights };
        let share = Share::new(0..loaded.indices.len());
        let mut options = trainer.batch_options(first as u64);
        options.condition = options.condition.map(ImageCondition::for_sampling);
        options.augment = None;
        TrainingBatch::new((x0, share), timesteps, labels, options)
    }
}
