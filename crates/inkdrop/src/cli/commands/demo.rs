//! `inkdrop demo`: a picture and an animation from the built-in model.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use inkdrop::data::picture::write_png;
use inkdrop::model::{Condition, ModelMetadata};
use inkdrop::sampler::SamplingRun;
use inkdrop::{Pipeline, samples};

use crate::output::animation::{self, Animation};
use crate::progress;
use crate::stdout::print_line;

/// Sample a labelled grid and an animation from the built-in model
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory for sprites.png and sprites.gif
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

/// Mixed contexts, shown after the classes.
const MIXED: [&str; 3] = ["hero=1,food=0.6", "non-hero=0.6,spell=0.6", "side-facing=0.6,hero=0.6"];

const COLUMNS: usize = 8;

/// DDIM steps.
const STEPS: usize = 25;

pub fn run(arguments: &Arguments) -> Result<u8> {
    let begun = Instant::now();
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let pipeline = Pipeline::open("sprites")?;
    let loaded = begun.elapsed();

    let (conditions, labels) = conditions(pipeline.metadata())?;
    let count = conditions.len();
    let pipeline = pipeline.conditions(conditions).steps(STEPS).batch(count);
    let (png, gif) = (out.join("sprites.png"), out.join("sprites.gif"));
    let mut animation =
        Animation::new(gif.clone(), animation::Of::X, labels.clone(), pipeline.rounding());
    let bar = progress::bar(STEPS, "steps");
    let mut run = pipeline.trajectory(count)?;
    for state in run.by_ref() {
        let state = state?;
        animation.record(&state, state.index, state.count);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let images = pipeline.rounding().images(run.x())?;
    write_png(&png, &samples::rows(&images, COLUMNS, &labels)?)?;
    let sampled = begun.elapsed();
    animation.write()?;

    print_line(&format!(
        "{count} sprites in {}, 25 DDIM steps each, seed 0\ntheir denoising in {}\nmodel {:.2} s, sampling and picture {:.2} s, animation {:.2} s",
        png.display(),
        gif.display(),
        loaded.as_secs_f64(),
        (sampled - loaded).as_secs_f64(),
        (begun.elapsed() - sampled).as_secs_f64()
    ))?;
    Ok(0)
}

/// A condition for every image, and a label for every row of images.
fn conditions(metadata: &ModelMetadata) -> Result<(Vec<Condition>, Vec<String>)> {
    let mut conditions = Vec::new();
    let mut labels = Vec::new();
    for name in &metadata.contexts {
        conditions.extend(vec![Condition::class(metadata, name)?; COLUMNS]);
        labels.push(name.clone());
    }
    for text in MIXED {
        conditions.extend(vec![Condition::parse(metadata, text)?; COLUMNS]);
        labels.push(short(text));
    }
    Ok((conditions, labels))
}

/// `hero=1,food=0.6` as `hero+0.6 food`.
fn short(text: &str) -> String {
    let part = |part: &str| match part.split_once('=') {
        Some((name, "1")) => name.to_string(),
        Some((name, weight)) => format!("{weight} {name}"),
        None => part.to_string(),
    };
    text.split(',').map(part).collect::<Vec<_>>().join("+")
}
