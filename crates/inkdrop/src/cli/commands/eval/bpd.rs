//! `inkdrop eval bpd`: bits per dimension of images (`calc_bpd_loop` of improved-diffusion).

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use inkdrop::data::Images;
use inkdrop::model::conditioning;
use inkdrop::nn::{Conditioning, Network};
use inkdrop::process::{BitsPerDim, BoundTerms, Process, pixels};
use inkdrop::schedule::TimestepSpacing;
use inkdrop::torch::PerImageNoise;
use inkdrop::torch::tch::Tensor;
use serde_json::{Value, json};

use super::conditions::DataConditions;
use super::figures::{BatchFigures, Figures, mean};
use super::images::ImagesArgs;
use super::{hash_of, model_hash};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::options::{ModelArgs, ProcessesArgs};
use crate::processes::Processes;
use crate::stdout::{entry, print_line};

/// Bits per dimension of images under a model: the variational lower bound
///
/// Several processes (`inkdrop launch -n N eval bpd …`) divide the batches; the result is that of one.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    images: ImagesArgs,
    /// Batch size
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Timestep spacing of a shorter process: 50, ddim50, trailing50, … [default: all timesteps]
    #[arg(long, value_name = "SPACING")]
    steps: Option<TimestepSpacing>,
    /// Print JSON, with every timestep
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    processes: ProcessesArgs,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    Processes::run(&arguments.processes, |processes| evaluate(arguments, processes))
}

fn evaluate(arguments: &Arguments, processes: &Processes) -> Result<u8> {
    ensure!(arguments.batch > 0, "--batch 0: expected at least 1");
    let pipeline = arguments.model.open(arguments.images.seed)?;
    let shape = pipeline.metadata().model.image_shape().map(|side| side as usize);
    let (images, conditions) = arguments.images.load(pipeline.metadata())?;
    ensure!(
        pipeline.process().config().consistency().is_none(),
        "eval bpd needs a diffusion model with timesteps, this is a consistency model: evaluate the model that it was distilled from"
    );
    let process = pipeline
        .process()
        .timesteps()
        .context("eval bpd needs a model with timesteps, this one has continuous noise levels: use eval likelihood")?;
    let respaced = arguments.steps.as_ref().map(|steps| process.respaced(steps));
    let respaced = respaced.transpose().context("--steps")?;
    let process = respaced.as_ref().unwrap_or(process);
    if processes.count() > 1 {
        processes.agree(&arguments.facts(&model_hash(&pipeline)?, &images, &conditions))?;
    }
    let bar = processes.bar(images.len() * process.schedule().num_timesteps(), "image steps");
    let interrupt = Interrupt::listen()?;
    let (network, interrupt) = (pipeline.network()?, &interrupt);
    let evaluation = Evaluation { process, network, interrupt, bar, processes };
    let figures = evaluation.run(arguments, &images, &conditions)?;
    let (done, requested) = (figures.totals.len(), images.len());
    ensure!(done > 0, "stopped before the first batch was done");
    let code = if done < requested { INTERRUPTED } else { 0 };
    if !processes.is_main() {
        return Ok(code);
    }
    print_line(&match arguments.json {
        true => {
            let mut json = arguments.json(&figures, process, &conditions);
            json["weights"] = model_hash(&pipeline)?.into();
            serde_json::to_string_pretty(&json)?
        }
        false => arguments.text(&figures, process, &conditions, shape),
    })?;
    if done < requested {
        eprintln!("stopped: these are the first {done} of {requested} images");
    }
    Ok(code)
}

impl Arguments {
    /// What the result depends on, for several processes.
    fn facts(
        &self,
        model: &str,
        images: &Images,
        conditions: &DataConditions,
    ) -> [(&'static str, String); 6] {
        [
            ("the weights", model.to_string()),
            ("data of", hash_of(images)),
            ("the conditions", format!("{:?}", conditions.each)),
            ("--batch", self.batch.to_string()),
            ("--seed", self.images.seed.to_string()),
            ("--steps", self.steps.as_ref().map(ToString::to_string).unwrap_or_default()),
        ]
    }

    fn json(&self, figures: &Figures, process: &Process, conditions: &DataConditions) -> Value {
        let vb = figures.per_step(&figures.bound);
        json!({
            "bits_per_dim": mean(&figures.totals),
            "standard_error": figures.standard_error(),
            "prior": mean(&figures.priors),
            "vb": vb.iter().sum::<f64>(),
            "mse": mean(&figures.per_step(&figures.eps_mse)),
            "xstart_mse": mean(&figures.per_step(&figures.x0_mse)),
            "images": figures.totals.len(),
            "data": self.images.data.to_string(),
            "condition": conditions.source,
            "seed": self.images.seed,
            "steps": process.timestep_map(),
            "of_steps": process.config().schedule.num_timesteps(),
            "per_step": {
                "vb": vb,
                "mse": figures.per_step(&figures.eps_mse),
                "xstart_mse": figures.per_step(&figures.x0_mse),
            },
        })
    }

    fn text(
        &self,
        figures: &Figures,
        process: &Process,
        conditions: &DataConditions,
        [channels, height, width]: [usize; 3],
    ) -> String {
        let vb = figures.per_step(&figures.bound);
        let steps = (process.schedule().num_timesteps(), process.config().schedule.num_timesteps());
        let error =
            figures.standard_error().map_or(String::new(), |error| format!(" ± {error:.5}"));
        let lines = [
            (
                "images",
                format!(
                    "{} of {}, {height} x {width} x {channels}",
                    figures.totals.len(),
                    self.images.data
                ),
            ),
            ("steps", format!("{} of {}", steps.0, steps.1)),
            ("condition", conditions.source.to_string()),
            ("NLL", format!("{:.5}{error} bits/dim", mean(&figures.totals))),
            (
                "  vb",
                format!(
                    "{:.5}, of which {:.5} at t = 0 (the pixels themselves)",
                    vb.iter().sum::<f64>(),
                    vb.first().copied().unwrap_or_default()
                ),
            ),
            ("  prior", format!("{:.5}", mean(&figures.priors))),
            (
                "mse",
                format!(
                    "{:.6} of the noise, mean over timesteps",
                    mean(&figures.per_step(&figures.eps_mse))
                ),
            ),
            ("xstart_mse", format!("{:.6} of the image", mean(&figures.per_step(&figures.x0_mse)))),
        ];
        lines.iter().map(|(key, text)| entry(key, text)).collect::<Vec<_>>().join("\n")
    }
}

/// The evaluation of all images, batch by batch; the processes divide the batches.
struct Evaluation<'a> {
    process: &'a Process,
    network: &'a dyn Network,
    interrupt: &'a Interrupt,
    bar: ProgressBar,
    processes: &'a Processes,
}

impl Evaluation<'_> {
    /// Evaluates until all images are done; Ctrl-C keeps the finished batches.
    ///
    /// In each round a process evaluates one batch. The sums of the batches are added in the order of the
    /// images in every process, so that the bits of the result do not depend on the number of processes.
    fn run(
        self,
        arguments: &Arguments,
        images: &Images,
        conditions: &DataConditions,
    ) -> Result<Figures> {
        let steps = self.process.schedule().num_timesteps();
        let most = arguments.batch.min(images.len());
        let mut figures = Figures::new(steps);
        let starts: Vec<usize> = (0..images.len()).step_by(arguments.batch).collect();
        'all: for round in starts.chunks(self.processes.count()) {
            let own = round.get(self.processes.rank()).map(|&start| {
                let range = start..(start + arguments.batch).min(images.len());
                self.figures(arguments, images, conditions, range)
            });
            let own = own.transpose()?.flatten();
            let values = BatchFigures::to_values(own.as_ref(), most, steps);
            let gathered = self.processes.gather(&Tensor::f_from_slice(&values)?)?;
            for values in &gathered[..round.len()] {
                let values = Vec::<f64>::try_from(values)?;
                match BatchFigures::from_values(&values, most, steps) {
                    Some(batch) => figures.add(&batch),
                    None => break 'all,
                }
            }
            check_finite(&figures)?;
            self.bar.set_position((figures.totals.len() * steps) as u64);
            self.bar.set_message(format!("{:.4} bits/dim", mean(&figures.totals)));
        }
        self.bar.finish_and_clear();
        Ok(figures)
    }

    /// The figures of one batch; `None` after Ctrl-C.
    fn figures(
        &self,
        arguments: &Arguments,
        images: &Images,
        conditions: &DataConditions,
        range: Range<usize>,
    ) -> Result<Option<BatchFigures>> {
        let indices: Vec<usize> = range.clone().collect();
        let part = images.select(&indices)?;
        let device = self.process.device();
        let x0 = pixels::to_tensor(part.bytes(), part.nhwc(), device)?;
        let noise = PerImageNoise::new(arguments.images.seed, range.start as u64..range.end as u64);
        let conditioning = conditioning(&conditions.each[range], device)?;
        let bits = self.batch(&x0, &conditioning, noise)?;
        bits.map(|bits| BatchFigures::new(&bits)).transpose()
    }

    /// Bits per dimension of one batch; `None` after Ctrl-C.
    fn batch(
        &self,
        x0: &Tensor,
        conditioning: &Conditioning,
        mut noise: PerImageNoise,
    ) -> Result<Option<BitsPerDim>> {
        let mut terms = Vec::new();
        for term in BoundTerms::new(self.process, self.network, x0, conditioning, &mut noise)? {
            terms.push(term?);
            self.bar.inc(x0.size()[0] as u64);
            if self.interrupt.raised() {
                return Ok(None);
            }
        }
        Ok(Some(BitsPerDim::from_terms(self.process, x0, &terms)?))
    }
}

/// Returns an error if an image has no finite number of bits.
fn check_finite(figures: &Figures) -> Result<()> {
    match figures.totals.iter().position(|bits| !bits.is_finite()) {
        None => Ok(()),
        Some(image) => bail!(
            "image {image} has {} bits per dimension: the model's prediction for it is not finite; check its weights with `inkdrop inspect --stats`",
            figures.totals[image]
        ),
    }
}
