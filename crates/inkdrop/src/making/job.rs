//! What a run of `sample` is to make: which images, and what else they depend on.

use std::ops::Range;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::making::shard::Shard;
use crate::model::card::{Build, Model};
use crate::model::context::Row;
use crate::model::identity;

/// What a run of `sample` is to make.
#[derive(Debug, Clone)]
pub struct Job {
    /// All that decides what an image is, but its number and that of the images.
    pub request: Value,
    /// What the images are asked to be.
    pub row: Row,
    /// Rows, columns and channels of an image.
    pub image: [usize; 3],
    /// How many images there are to be, in all parts together.
    pub count: usize,
    /// How many are made at a time.
    pub batch: usize,
    /// The part that this run makes.
    pub shard: Option<Shard>,
    /// Whether a batch can be made without those before it.
    pub resumable: bool,
    /// Whether what an earlier run made is to go.
    pub restart: bool,
}

/// What a command was told, with what it stands for in place of names and defaults.
///
/// - weaker: the model that guides, or null
pub fn request(
    arguments: &impl Serialize,
    model: &Model,
    build: &Build,
    row: &Row,
    weaker: Value,
) -> Result<Value> {
    let [_, height, width] = model.card.model.image_shape();
    let mut request = serde_json::to_value(arguments)?;
    request["model"] = identity::of(model)?;
    request["asked"] = json!({"contexts": row.contexts, "class": row.class});
    request["size"] = json!([height, width]);
    request["device"] = json!(if build.device.is_cuda() { "cuda" } else { "cpu" });
    if !weaker.is_null() {
        request["autoguide"] = weaker;
    }
    Ok(request)
}

impl Job {
    /// Makes sure that there is a part for this run.
    pub fn check(&self) -> Result<()> {
        let Some(shard) = self.shard else { return Ok(()) };
        ensure!(
            self.resumable,
            "--shard {shard} with --rng torch: one generator runs through all images, so no part can be made alone; use --rng per-sample"
        );
        let (count, batch, batches) = (self.count, self.batch, self.count.div_ceil(self.batch));
        ensure!(
            shard.of() <= batches,
            "--shard {shard}: {count} images in batches of {batch} can be shared by at most {batches}; use fewer parts or a smaller --batch"
        );
        Ok(())
    }

    /// The numbers of the images of this run: whole batches.
    pub fn images(&self) -> Range<usize> {
        let batches = self.count.div_ceil(self.batch);
        let part = self.shard.map_or(0..batches, |shard| shard.part(batches));
        part.start * self.batch..part.end.saturating_mul(self.batch).min(self.count)
    }

    /// What the same command does after a stop, in words.
    pub fn next(&self) -> &'static str {
        if self.resumable {
            "goes on"
        } else {
            "begins anew (--rng torch cannot go on in the middle)"
        }
    }

    /// The numbers of the images of each batch. Where batches begin is the same in every run, since
    /// the last bits of an image depend on those beside it.
    pub fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (images, batch) = (self.images(), self.batch);
        let end = images.end;
        images.step_by(batch).map(move |start| start..(start + batch).min(end))
    }
}

/// How many numbers there are in ranges.
pub fn counted(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(Range::len).sum()
}

/// Ranges in order, with those that touch as one.
pub fn joined(ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => all.push(range),
        }
    }
    all
}
