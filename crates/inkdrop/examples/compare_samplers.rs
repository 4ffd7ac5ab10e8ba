//! Compares all samplers at 5 to 50 network calls on the built-in model.
//!
//! Samples are compared with held-out sprites: sliced Wasserstein distance, kernel distance, and
//! accuracy of a classifier. Each result is appended to a file; results in the file are not computed
//! again.
//!
//! ```text
//! cargo run --release -p inkdrop --example compare_samplers -- results.jsonl          # hours
//! cargo run --release -p inkdrop --example compare_samplers -- results.jsonl --table  # Markdown
//! ```

#[path = "support/judge.rs"]
mod judge;
#[path = "support/results.rs"]
mod results;

use std::env::args;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use inkdrop_checkpoint::{StateDict, load};
use inkdrop_eval::{kernel_distance, sliced_wasserstein};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{DiffusionProcess, NetworkDenoiser, Process, ProcessConfig};
use inkdrop_sampler::{
    BatchModel, BoxedDenoiser, Rng, SampleBatches, SampleConfig, Sampler, SamplerError,
};
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::ModelConfig;

use results::{Outcome, Results};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/sprites.safetensors");

/// Number of samples, and of held-out sprites.
const COUNT: usize = 500;

/// Largest numbers of network calls per run.
const CALLS: [usize; 4] = [5, 10, 20, 50];

/// Samplers with trailing timesteps, and those that are also compared with Karras's noise levels.
const TRAILING: [&str; 15] = [
    "ddim",
    "ddpm",
    "euler-ancestral",
    "heun",
    "edm",
    "lms",
    "dpm-solver-2",
    "dpm++2m",
    "dpm++3m",
    "dpm++2m-sde",
    "dpm++3m-sde",
    "unipc",
    "unipc-3",
    "plms",
    "pndm",
];
const KARRAS: [&str; 3] = ["heun", "dpm++2m", "unipc"];

fn main() -> Result<()> {
    let arguments: Vec<String> = args().skip(1).collect();
    let file = Path::new(arguments.first().context("expected the path of the results file")?);
    let mut results = Results::open(file)?;
    if arguments.get(1).is_some_and(|word| word == "--table") {
        return results.print(&CALLS);
    }
    let judging = Judging::new()?;
    if !results.has("held-out", "", 0) {
        let (x, _) = judge::batch(2_000_000, 2_000_000 + COUNT as u64)?;
        results.add(judging.outcome("held-out", "", 0, &x)?)?;
    }
    for (sampler, spacing, steps) in runs() {
        let calls = sampler.parse::<Sampler>()?.calls(steps);
        if !results.has(sampler, spacing, calls) {
            let x = judging.samples(sampler.parse()?, &format!("{spacing}{steps}").parse()?)?;
            results.add(judging.outcome(sampler, spacing, calls, &x)?)?;
        }
    }
    Ok(())
}

/// All runs: sampler, spacing and steps; the reference first.
fn runs() -> Vec<(&'static str, &'static str, usize)> {
    let mut runs = vec![("ddpm", "trailing", 500)];
    let trailing = TRAILING.iter().map(|sampler| (*sampler, "trailing"));
    for (sampler, spacing) in trailing.chain(KARRAS.iter().map(|sampler| (*sampler, "karras"))) {
        let kind: Option<Sampler> = sampler.parse().ok();
        for calls in CALLS {
            let most =
                (1..=calls).rev().find(|&steps| kind.is_some_and(|k| k.calls(steps) <= calls));
            // PNDM starts with three steps of four calls each.
            let least = if sampler == "pndm" { 4 } else { 2 };
            runs.extend(most.filter(|&n| n >= least).map(|steps| (sampler, spacing, steps)));
        }
    }
    runs.extend([("ddpm", "trailing", 100), ("ddim", "trailing", 100)]);
    runs
}

/// The model, a classifier, and the held-out sprites.
struct Judging {
    network: Box<dyn Network>,
    process: Process,
    classifier: judge::Classifier,
    held_out: Tensor,
}

impl Judging {
    fn new() -> Result<Self> {
        let weights = StateDict::open(Path::new(MODEL))?;
        let model: ModelConfig =
            weights.metadata("model")?.context("no network config in the metadata")?;
        let process: ProcessConfig =
            weights.metadata("process")?.context("no process in the metadata")?;
        let network = model.build_uninitialized(Kind::Float, Device::Cpu)?;
        load(network.params(), &weights, &[])?;
        let process = Process::new(&process, Device::Cpu)?;
        let (held_out, _) = judge::batch(1_000_000, 1_000_000 + COUNT as u64)?;
        Ok(Self { network, process, classifier: judge::of_sprites()?, held_out })
    }

    /// Samples; image i has class i mod 5, as the held-out sprites.
    fn samples(&self, sampler: Sampler, spacing: &LevelSpacing) -> Result<Tensor> {
        let config = SampleConfig {
            images: 0..COUNT,
            batch: 100,
            sampler,
            schedule: spacing.sampling_schedule(self.process.schedule())?,
            seed: 1,
            rng: Rng::PerImage,
            discarded_draws: 0,
        };
        let mut parts = Vec::new();
        for batch in SampleBatches::new(self, config)? {
            parts.push(batch?.x.clamp(-1.0, 1.0));
        }
        Ok(Tensor::cat(&parts, 0))
    }

    fn outcome(&self, sampler: &str, spacing: &str, calls: usize, x: &Tensor) -> Result<Outcome> {
        let named = self.classifier.predict(x)?;
        let right = named.iter().enumerate().filter(|(i, class)| **class == *i as i64 % 5).count();
        Ok(Outcome {
            sampler: sampler.to_string(),
            spacing: spacing.to_string(),
            calls,
            wasserstein: sliced_wasserstein(x, &self.held_out, 0)?,
            kernel: kernel_distance(x, &self.held_out)?,
            accuracy: right as f64 / x.size()[0] as f64,
        })
    }
}

impl BatchModel for Judging {
    fn process(&self) -> &dyn DiffusionProcess {
        &self.process
    }

    fn image_shape(&self) -> [i64; 3] {
        [3, 16, 16]
    }

    fn denoiser(&self, images: Range<usize>) -> Result<BoxedDenoiser<'_>, SamplerError> {
        let classes: Vec<i64> = images.map(|image| image as i64 % 5).collect();
        let context = Tensor::from_slice(&classes).one_hot(5).to_kind(Kind::Float);
        let (network, conditioning) = (self.network.as_ref(), Conditioning::context(context));
        Ok(Box::new(NetworkDenoiser::new(&self.process, network, conditioning)))
    }
}
