//! `inkdrop demo`: the built-in model at work, in one picture and one animation.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use inkdrop_data::picture::write_png;
use inkdrop_sampler::{Rng, SampleConfig, Sampler};
use inkdrop_schedule::{Levels, Spacing};

use crate::making::draw;
use crate::making::film::{self, Film};
use crate::making::guide::Guide;
use crate::making::meter::Meter;
use crate::making::request::Request;
use crate::model::card::{Build, Model};
use crate::model::context::Row;
use crate::model::foreign::Foreign;
use crate::say::say;

/// Sample a labelled grid and an animation from the built-in model
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder for sprites.png and sprites.gif
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

/// Mixed contexts that are shown beside the classes.
const MIXED: [&str; 3] = ["hero=1,food=0.6", "non-hero=0.6,spell=0.6", "side-facing=0.6,hero=0.6"];

const COLUMNS: usize = 8;

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let begun = Instant::now();
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let model = Model::find("sprites", &Foreign::default())?;
    let (network, process) = model.build(&Build::plain())?;
    let loaded = begun.elapsed();

    let (rows, labels) = rows(&model)?;
    let count = rows.len();
    let config = SampleConfig {
        images: 0..count,
        batch: count,
        sampler: Sampler::DDIM,
        levels: Levels::Steps(Spacing::Trailing(25)),
        seed: 0,
        rng: Rng::PerImage,
        idle_draws: 0,
    };
    let (network, guide) = (network.as_ref(), Guide::none());
    let request = Request { network, process: &process, card: &model.card, guide: &guide };
    let (png, gif) = (out.join("sprites.png"), out.join("sprites.gif"));
    let mut film = Film::new(gif.clone(), film::Of::X, labels.clone());
    let mut meter = Meter::new(count, 0);
    request.sample(&config, &|image| &rows[image], &mut film, &mut meter, |_, images| {
        Ok(write_png(&png, &draw::rows(&images, COLUMNS, &labels)?)?)
    })?;
    meter.finish();
    let sampled = begun.elapsed();
    film.write()?;

    say(&format!(
        "{count} sprites in {}, 25 DDIM steps each, seed 0\ntheir denoising in {}\nmodel {:.2} s, sampling and picture {:.2} s, animation {:.2} s",
        png.display(),
        gif.display(),
        loaded.as_secs_f64(),
        (sampled - loaded).as_secs_f64(),
        (begun.elapsed() - sampled).as_secs_f64()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A context row for every image, and a label for every row of images.
fn rows(model: &Model) -> Result<(Vec<Row>, Vec<String>)> {
    let card = &model.card;
    let mut rows = Vec::new();
    let mut labels = Vec::new();
    for name in &card.contexts {
        rows.extend(vec![Row::class(card, name)?; COLUMNS]);
        labels.push(name.clone());
    }
    for text in MIXED {
        rows.extend(vec![Row::parse(card, text)?; COLUMNS]);
        labels.push(short(text));
    }
    Ok((rows, labels))
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
