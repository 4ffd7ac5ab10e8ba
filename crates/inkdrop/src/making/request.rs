//! A model at work: many images under a meter, or a small grid while it trains.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use inkdrop_data::Images;
use inkdrop_data::picture::write_png;
use inkdrop_nn::{ClassIds, CompileOptions, Conditioning, Network, TrainableNetwork};
use inkdrop_process::Process;
use inkdrop_sampler::{Batch, Rng, SampleConfig, Sampler, Source, Step, sample};
use inkdrop_schedule::{Levels, Spacing};
use inkdrop_torch::tch::Tensor;

use crate::making::draw;
use crate::making::film::Film;
use crate::making::guide::Guide;
use crate::making::meter::Meter;
use crate::model::card::Card;
use crate::model::context::Row;

/// A model that is ready to sample.
pub struct Request<'a> {
    pub network: &'a dyn Network,
    pub process: &'a Process,
    pub card: &'a Card,
    pub guide: &'a Guide,
}

impl<'a> Request<'a> {
    /// Samples images, each with the context row of its number, the steps counted by a meter.
    pub fn sample(
        &self,
        config: &SampleConfig,
        row: &'a dyn Fn(usize) -> &'a Row,
        film: &mut Film,
        meter: &mut Meter,
        mut on_images: impl FnMut(Range<usize>, Images) -> Result<()>,
    ) -> Result<()> {
        let predictor = |images: Range<usize>| {
            let conditioning = |other: Option<&Row>| match other {
                None => self.conditioning(images.clone().map(row)),
                Some(other) => self.conditioning(images.clone().map(|_| other)),
            };
            Ok(self.guide.predictor(self.network, self.process, &conditioning))
        };
        let meter = RefCell::new(meter);
        let mut on_step = |step: &Step| {
            film.take(step);
            meter.borrow_mut().step(step.x.size()[0] as usize, step.number, step.total);
        };
        let on_batch = |batch: Batch| -> Result<()> {
            let count = batch.images.len();
            on_images(batch.images, draw::images(&batch.x)?)?;
            meter.borrow_mut().batch(count);
            Ok(())
        };
        let image_shape = self.card.model.image_shape();
        let source = Source { process: self.process, image_shape, predictor: &predictor };
        sample(&source, config, &mut on_step, on_batch)
    }

    /// What images are asked to be, one row each.
    pub fn conditioning<'r>(&self, rows: impl ExactSizeIterator<Item = &'r Row>) -> Conditioning {
        let device = self.network.device();
        let rows: Vec<&Row> = rows.collect();
        let classes: Option<Vec<i64>> = rows.iter().map(|row| row.class).collect();
        if let Some(classes) = classes {
            // Copying a few numbers to the device fails only with the device itself.
            return ClassIds::new(&classes, device)
                .map_or_else(|_| Conditioning::none(), Conditioning::classes);
        }
        let values: Vec<f32> = rows.iter().flat_map(|row| row.contexts.iter().copied()).collect();
        if values.is_empty() {
            return Conditioning::none();
        }
        let weights = Tensor::from_slice(&values).view([rows.len() as i64, -1]);
        Conditioning::context(weights.to_device(device))
    }
}

/// A few images at once, from this many DDIM steps: to see what a model has learned.
pub fn draft(images: usize, steps: usize) -> SampleConfig {
    SampleConfig {
        images: 0..images,
        batch: images,
        sampler: Sampler::DDIM,
        levels: Levels::Steps(Spacing::Trailing(steps)),
        seed: 0,
        rng: Rng::PerImage,
        idle_draws: 0,
    }
}

/// A grid of 8 images per context or class, from 25 DDIM steps: what a run looks like while it
/// trains.
pub fn preview(network: &dyn TrainableNetwork, card: &Card, path: &Path) -> Result<()> {
    const COLUMNS: usize = 8;
    const ROWS: usize = 10;
    let names = match card.conditions() {
        none if none.is_empty() => vec![String::new(); 4],
        conditions => conditions.into_iter().take(ROWS).collect(),
    };
    let row =
        |name: &String| if name.is_empty() { Ok(Row::none(card)) } else { Row::class(card, name) };
    let rows: Vec<Row> = names.iter().map(row).collect::<Result<_>>()?;
    let rows: Vec<Row> = rows.into_iter().flat_map(|row| vec![row; COLUMNS]).collect();
    let process = Process::new(&card.process, network.device())?;
    let steps = process.schedule().steps().min(25);
    let config = draft(rows.len(), steps);
    let guide = Guide::none();
    let options =
        CompileOptions::at(process.network_times(&config.levels.path(process.schedule())?));
    let network = network.compile(&options)?;
    let network = network.as_ref();
    let request = Request { network, process: &process, card, guide: &guide };
    let (mut film, mut meter) = (Film::none(), Meter::hidden());
    request.sample(&config, &|image| &rows[image], &mut film, &mut meter, |_, images| {
        Ok(write_png(path, &draw::rows(&images, COLUMNS, &names)?)?)
    })
}
