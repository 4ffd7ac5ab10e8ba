//! As many images as are asked for, after those that are there, until all are there or Ctrl-C.

use std::ops::Range;

use anyhow::Result;
use inkdrop_sampler::SampleConfig;

use crate::context::Row;
use crate::film::Film;
use crate::job::counted;
use crate::meter::Meter;
use crate::output::Target;
use crate::request::Request;

/// Makes the images of `config` that a target misses, each asked to be `row`.
pub fn make(
    request: &Request,
    config: &SampleConfig,
    row: &Row,
    film: &mut Film,
    target: &mut dyn Target,
) -> Result<()> {
    let (missing, total) = (target.missing().to_vec(), config.images.len());
    let there = total - counted(&missing);
    target.begin()?;
    if there > 0 {
        eprintln!("continuing: {there} of {total} images are there");
    }
    let parts = if film.wanted() { with_first(missing, config) } else { missing };
    let mut meter = Meter::new(total, total - counted(&parts));
    let made = parts.into_iter().try_for_each(|images| {
        let part = SampleConfig { images, ..config.clone() };
        request.sample(&part, &|_| row, film, &mut meter, |numbers, images| {
            target.push(numbers, images)
        })
    });
    meter.finish();
    made
}

/// What is to be made, after the first batch: a film shows it, also where it is there already.
fn with_first(missing: Vec<Range<usize>>, config: &SampleConfig) -> Vec<Range<usize>> {
    let SampleConfig { images, batch, .. } = config;
    if missing.first().is_some_and(|range| range.start == images.start) {
        return missing;
    }
    let first = images.start..images.end.min(images.start + batch);
    std::iter::once(first).chain(missing).collect()
}
