//! `inkdrop sample`: images from a model.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use inkdrop_data::Images;
use inkdrop_data::picture::{Picture, write_gif, write_png};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::Process;
use inkdrop_sampler::{Batch, Rng, SampleConfig, Sampler, Step, sample};
use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::Tensor;

use crate::card::{Card, Foreign, Model};
use crate::context::Row;
use crate::output::{Output, Writer, check_place};
use crate::{draw, progress};

/// Sample images from a model
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Path of a .safetensors file, or the built-in model `sprites`
    model: String,
    /// How many images
    #[arg(short = 'n', long, default_value_t = 16)]
    count: usize,
    /// How many at a time
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// ddpm (all steps unless --steps says otherwise) or ddim (50 steps)
    #[arg(long, default_value = "ddim")]
    sampler: String,
    /// Network calls per image, 1 to the model's number of steps
    #[arg(long)]
    steps: Option<usize>,
    /// Seed of all noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// per-sample: image i is the same whatever the batch; torch: the draws of torch.manual_seed
    #[arg(long, default_value = "per-sample")]
    rng: String,
    /// Weights of the contexts, such as hero=1,food=0.6
    #[arg(long, conflicts_with = "class", value_name = "NAME=W,…")]
    context: Option<String>,
    /// One class, short for --context NAME=1
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Where to: x.png (a grid), x.npz or a folder/ (a PNG each)
    #[arg(long, default_value = "samples.png")]
    out: Output,
    /// Also an animation of the denoising (of the first batch)
    #[arg(long)]
    gif: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    #[command(flatten)]
    foreign: Foreign,
}

/// DDIM's steps when none are asked for.
const DDIM_STEPS: usize = 50;

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let device = arguments.device.resolve()?;
    let model = Model::find(&arguments.model, &arguments.foreign)?;
    let config = arguments.config(&model.card)?;
    config.check(model.card.process.schedule.steps())?;
    let row = arguments.row(&model.card)?;
    let mut writer = Writer::new(arguments.out.clone(), row.clone(), arguments.count)?;
    arguments.gif.as_deref().map(check_gif).transpose()?;

    let (network, process) = model.build(device, &arguments.foreign, arguments.seed)?;
    let mut film = Film::new(arguments.gif.is_some(), arguments.batch.min(arguments.count), vec![]);
    let request = Request { network: network.as_ref(), process: &process, card: &model.card };
    request.sample(&config, &|_| &row, &mut film, |images| writer.push(images))?;
    let mut made = writer.finish()?;
    if let Some(path) = &arguments.gif {
        film.write(path)?;
        made += &format!(", the denoising in {}", path.display());
    }
    eprintln!("{made}");
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn config(&self, card: &Card) -> Result<SampleConfig> {
        let sampler: Sampler = self.sampler.parse()?;
        let all = card.process.schedule.steps();
        let steps = match sampler {
            Sampler::Ddim => Some(self.steps.unwrap_or(DDIM_STEPS.min(all))),
            Sampler::Ddpm => self.steps,
        };
        let rng: Rng = self.rng.parse()?;
        Ok(SampleConfig {
            count: self.count,
            batch: self.batch,
            sampler,
            steps,
            seed: self.seed,
            rng,
        })
    }

    fn row(&self, card: &Card) -> Result<Row> {
        match (&self.context, &self.class) {
            (Some(text), _) => Row::parse(card, text),
            (None, Some(name)) => Row::class(card, name),
            (None, None) => Ok(Row::none(card)),
        }
    }
}

/// A model that is ready to sample.
pub struct Request<'a> {
    pub network: &'a dyn Network,
    pub process: &'a Process,
    pub card: &'a Card,
}

impl<'a> Request<'a> {
    /// Samples images, each with the context row of its number, under a progress bar.
    pub fn sample(
        &self,
        config: &SampleConfig,
        row: &'a dyn Fn(usize) -> &'a Row,
        film: &mut Film,
        mut on_images: impl FnMut(Images) -> Result<()>,
    ) -> Result<()> {
        let steps = config.steps.unwrap_or(self.process.schedule().steps());
        let bar = progress::bar(steps * config.count.div_ceil(config.batch), "steps");
        let conditioning = |images: std::ops::Range<usize>| self.conditioning(images.map(row));
        let mut on_step = |step: &Step| {
            film.take(step);
            bar.inc(1);
        };
        let on_batch = |batch: Batch| -> Result<()> { on_images(draw::images(&batch.x)?) };
        let shape = self.card.model.image_shape();
        sample(self.network, self.process, config, shape, &conditioning, &mut on_step, on_batch)?;
        bar.finish_and_clear();
        Ok(())
    }

    fn conditioning<'r>(&self, rows: impl ExactSizeIterator<Item = &'r Row>) -> Conditioning {
        let count = rows.len() as i64;
        let values: Vec<f32> = rows.flat_map(|row| row.0.iter().copied()).collect();
        if values.is_empty() {
            return Conditioning::none();
        }
        let rows = Tensor::from_slice(&values).view([count, -1]);
        Conditioning::context(rows.to_device(self.network.params().device()))
    }
}

/// Makes sure that an animation can be written.
fn check_gif(path: &Path) -> Result<()> {
    let gif = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gif"));
    ensure!(gif, "--gif {}: expected a name that ends in .gif", path.display());
    check_place(path)
}

/// Frames of the denoising of the first batch.
pub struct Film {
    wanted: bool,
    images: usize,
    labels: Vec<String>,
    frames: Vec<Picture>,
    error: Option<anyhow::Error>,
}

impl Film {
    /// About as many frames as an animation needs.
    const FRAMES: usize = 40;

    /// A film of the first `images` images, with row labels if there are any.
    pub fn new(wanted: bool, images: usize, labels: Vec<String>) -> Self {
        Self { wanted, images, labels, frames: Vec::new(), error: None }
    }

    fn take(&mut self, step: &Step) {
        let first_batch = step.x.size()[0] as usize == self.images && !self.complete(step.total);
        let every = step.total.div_ceil(Self::FRAMES);
        let shown = step.number.is_multiple_of(every) || step.number + 1 == step.total;
        if self.wanted && first_batch && shown {
            match self.frame(step.x) {
                Ok(frame) => self.frames.push(frame),
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Whether the first batch has been filmed to its end.
    fn complete(&self, total: usize) -> bool {
        let every = total.div_ceil(Self::FRAMES);
        let frames = (0..total).filter(|n| n.is_multiple_of(every) || n + 1 == total).count();
        self.frames.len() == frames
    }

    fn frame(&self, x: &Tensor) -> Result<Picture> {
        let images = draw::images(x)?;
        match self.labels.len() {
            0 => draw::square(&images),
            rows => draw::rows(&images, images.len() / rows, &self.labels),
        }
    }

    /// Writes the animation: 0.08 s a frame, 3 s for the last.
    pub fn write(self, path: &Path) -> Result<()> {
        if let Some(error) = self.error {
            return Err(error);
        }
        Ok(write_gif(path, &self.frames, 8, 300)?)
    }
}

/// A grid of 8 images per context, from 25 DDIM steps: what a run looks like while it trains.
pub fn preview(network: &dyn Network, card: &Card, path: &Path) -> Result<()> {
    const COLUMNS: usize = 8;
    let names = match card.contexts.len() {
        0 => vec![String::new(); 4],
        _ => card.contexts.clone(),
    };
    let row =
        |name: &String| if name.is_empty() { Ok(Row::none(card)) } else { Row::class(card, name) };
    let rows: Vec<Row> = names.iter().map(row).collect::<Result<_>>()?;
    let rows: Vec<Row> = rows.into_iter().flat_map(|row| vec![row; COLUMNS]).collect();
    let process = Process::new(&card.process, network.params().device())?;
    let steps = process.schedule().steps().min(25);
    let config = SampleConfig {
        count: rows.len(),
        batch: rows.len(),
        sampler: Sampler::Ddim,
        steps: Some(steps),
        seed: 0,
        rng: Rng::PerImage,
    };
    let request = Request { network, process: &process, card };
    let conditioning = |images: std::ops::Range<usize>| request.conditioning(rows[images].iter());
    let shape = card.model.image_shape();
    let mut picture = None;
    let on_batch = |batch: Batch| -> Result<()> {
        picture = Some(draw::rows(&draw::images(&batch.x)?, COLUMNS, &names)?);
        Ok(())
    };
    sample(network, &process, &config, shape, &conditioning, &mut |_| {}, on_batch)?;
    let picture = picture.context("no images were sampled")?;
    ensure!(path.parent().is_some_and(Path::is_dir), "{} is gone", path.display());
    Ok(write_png(path, &picture)?)
}
