//! As many images as are asked for, after those that are there, until all are there or Ctrl-C.

use std::ops::Range;
use std::process::ExitCode;

use anyhow::Result;
use inkdrop_sampler::SampleConfig;

use crate::making::film::Film;
use crate::making::job::counted;
use crate::making::meter::Meter;
use crate::making::output::Target;
use crate::making::request::Request;
use crate::making::stop::{INTERRUPTED, Stoppable};
use crate::model::context::Row;

/// Fills a target, and says where everything is; or how to go on, where Ctrl-C stopped the network.
pub fn fill(
    network: &Stoppable,
    mut film: Film,
    mut target: Box<dyn Target>,
    make: impl FnOnce(&mut Film, &mut dyn Target) -> Result<()>,
) -> Result<ExitCode> {
    match make(&mut film, target.as_mut()) {
        Err(_) if network.stopped() => {
            eprintln!("stopped: {}", target.stopped());
            return Ok(ExitCode::from(INTERRUPTED));
        }
        made => made?,
    }
    let mut made = target.finish()?;
    if let Some(path) = film.write()? {
        made += &format!(", the denoising in {}", path.display());
    }
    eprintln!("{made}");
    Ok(ExitCode::SUCCESS)
}

/// Makes the images of `config` that a target misses, each asked to be `row`.
pub fn make(
    request: &Request,
    config: &SampleConfig,
    row: &Row,
    film: &mut Film,
    target: &mut dyn Target,
) -> Result<()> {
    let SampleConfig { images, batch, .. } = config;
    each((images, *batch, false), film, target, |images, film, meter, target| {
        let part = SampleConfig { images, ..config.clone() };
        request.sample(&part, &|_| row, film, meter, |numbers, images| target.push(numbers, images))
    })
}

/// Has the images made that a target misses, range by range, under a meter.
///
/// - again: also those that it does not miss
pub fn each(
    (all, batch, again): (&Range<usize>, usize, bool),
    film: &mut Film,
    target: &mut dyn Target,
    mut make: impl FnMut(Range<usize>, &mut Film, &mut Meter, &mut dyn Target) -> Result<()>,
) -> Result<()> {
    let missing = if again { vec![all.clone()] } else { target.missing().to_vec() };
    let total = all.len();
    let there = total - counted(&missing);
    target.begin()?;
    if there > 0 {
        eprintln!("continuing: {there} of {total} images are there");
    }
    let parts = if film.wanted() { with_first(missing, all, batch) } else { missing };
    let mut meter = Meter::new(total, total - counted(&parts));
    let made = parts.into_iter().try_for_each(|part| make(part, film, &mut meter, target));
    meter.finish();
    made
}

/// What is to be made, after the first batch: a film shows it, also where it is there already.
fn with_first(missing: Vec<Range<usize>>, all: &Range<usize>, batch: usize) -> Vec<Range<usize>> {
    if missing.first().is_some_and(|range| range.start == all.start) {
        return missing;
    }
    let first = all.start..all.end.min(all.start + batch);
    std::iter::once(first).chain(missing).collect()
}
