//! The job of a sampling run: its images, and the request that identifies them.

use std::ops::Range;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::condition::Condition;
use crate::model::identity;
use crate::model::metadata::{Build, Model};
use crate::sampling::shard::Shard;

/// The job of a sampling run.
#[derive(Debug, Clone)]
pub struct SamplingJob {
    /// Everything that determines an image except its index, for outputs that keep a manifest; null
    /// otherwise.
    pub request: Value,
    /// Condition of the images.
    pub condition: Condition,
    /// Height, width and channels of an image.
    pub image: [usize; 3],
    /// Number of images of all shards.
    pub count: usize,
    /// Images per batch.
    pub batch: usize,
    /// The shard of this run.
    pub shard: Option<Shard>,
    /// True if a batch can be generated without the batches before it.
    pub resumable: bool,
    /// Removes the images of an earlier run.
    pub restart: bool,
}

/// The request of a command: its arguments with names and defaults resolved, and the identity of its
/// models. It hashes all weights, so only outputs that keep a manifest need it.
pub fn request(
    arguments: &impl Serialize,
    model: &Model,
    weaker: Option<&Model>,
    build: &Build,
    condition: &Condition,
) -> Result<Value> {
    let [_, height, width] = model.metadata.model.image_shape();
    let mut request = serde_json::to_value(arguments)?;
    request["model"] = identity::of(model)?;
    request["condition"] = json!({"contexts": condition.contexts, "class": condition.class});
    request["size"] = json!([height, width]);
    request["device"] = json!(if build.device.is_cuda() { "cuda" } else { "cpu" });
    if let Some(weaker) = weaker {
        request["autoguide"] = identity::of(weaker)?;
    }
    Ok(request)
}

impl SamplingJob {
    /// Checks that the shard of this run has images.
    pub fn check(&self) -> Result<()> {
        let Some(shard) = self.shard else { return Ok(()) };
        ensure!(
            self.resumable,
            "--shard {shard} with --rng torch: one generator runs through all images, so a shard needs all images before it; use --rng per-sample"
        );
        let (count, batch, batches) = (self.count, self.batch, self.count.div_ceil(self.batch));
        ensure!(
            shard.of() <= batches,
            "--shard {shard}: {count} images in batches of {batch} make at most {batches} shards; use fewer shards or a smaller --batch"
        );
        Ok(())
    }

    /// Indices of the images of this run: whole batches.
    pub fn images(&self) -> Range<usize> {
        let batches = self.count.div_ceil(self.batch);
        let part = self.shard.map_or(0..batches, |shard| shard.part(batches));
        part.start * self.batch..part.end.saturating_mul(self.batch).min(self.count)
    }

    /// What the same command does after it was stopped.
    pub fn after_stop(&self) -> &'static str {
        if self.resumable {
            "continues"
        } else {
            "starts again (--rng torch cannot continue in the middle)"
        }
    }

    /// Indices of the images of each batch. Batches start at the same indices in every run, since the
    /// last bits of an image depend on its batch.
    pub fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (images, batch) = (self.images(), self.batch);
        let end = images.end;
        images.step_by(batch).map(move |start| start..(start + batch).min(end))
    }
}

/// Number of images in ranges.
pub fn count_images(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(Range::len).sum()
}

/// Merges adjacent ranges.
pub fn merge_ranges(ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => all.push(range),
        }
    }
    all
}
