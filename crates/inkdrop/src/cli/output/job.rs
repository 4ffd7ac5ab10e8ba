//! The job of a sampling run: its images, their shards, and the request that identifies them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use inkdrop::Pipeline;
use inkdrop::data::ImageForm;
use inkdrop::model::{Condition, Conditions, ModelMetadata};
use inkdrop::samples::Rounding;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The job of a sampling run.
#[derive(Debug, Clone)]
pub struct SamplingJob {
    /// Everything that determines an image except its index, for outputs that keep a manifest; null
    /// otherwise.
    pub request: Value,
    /// Conditions of the images.
    pub conditions: Conditions,
    /// Size and depth of an image.
    pub image: ImageForm,
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

/// The form of the images of a model.
pub fn image_form(metadata: &ModelMetadata) -> ImageForm {
    let [channels, height, width] = metadata.model.image_shape().map(|side| side as usize);
    ImageForm { shape: [height, width, channels], depth: metadata.depth }
}

/// The request of a command: its arguments with names and defaults resolved, and the identity of its
/// models. It hashes all weights, so only outputs that keep a manifest need it.
pub fn request(
    arguments: &impl Serialize,
    pipeline: &Pipeline,
    conditions: &Conditions,
) -> Result<Value> {
    let [_, height, width] = pipeline.metadata().model.image_shape();
    let condition =
        |condition: &Condition| json!({"contexts": condition.contexts, "class": condition.class});
    let mut request = serde_json::to_value(arguments)?;
    request["model"] = identity(pipeline)?;
    request["condition"] = match conditions.as_slice() {
        [one] => condition(one),
        several => several.iter().map(condition).collect(),
    };
    request["size"] = json!([height, width]);
    request["device"] = json!(if pipeline.process().device().is_cuda() { "cuda" } else { "cpu" });
    if pipeline.rounding() == Rounding::Nearest {
        request["rounding"] = json!("nearest");
    }
    if let Some(weaker) = pipeline.weaker() {
        request["autoguide"] = identity(weaker)?;
    }
    Ok(request)
}

fn identity(pipeline: &Pipeline) -> Result<Value> {
    Ok(pipeline.model().context("the pipeline has no file")?.identity()?)
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

    /// The effect of the same command after a run was stopped, for messages.
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

/// Part `index` of `of` of the images, counted from 0, for one of several machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            Some((index, of)) if of > 0 => {
                Err(format!("part {index} of {of}: expected I/N with I from 0 to {}", of - 1))
            }
            _ => Err("expected I/N with I from 0 to N-1, such as 0/4 for the first of four".into()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Shard {
    /// Part `index` of `of`; the index is below the number of parts.
    pub fn new(index: usize, of: usize) -> Self {
        Self { index, of }
    }

    /// Number of parts.
    pub fn of(self) -> usize {
        self.of
    }

    /// The range of this part in `0..count`; the parts differ by at most one in length.
    pub fn part(self, count: usize) -> Range<usize> {
        let edge = |i: usize| (count as u128 * i as u128 / self.of as u128) as usize;
        edge(self.index)..edge(self.index + 1)
    }

    /// `x.npz` as `x.0-of-4.npz`.
    pub fn name(self, path: &Path) -> PathBuf {
        let mut name = path.file_stem().unwrap_or_default().to_os_string();
        name.push(format!(".{}-of-{}", self.index, self.of));
        if let Some(ending) = path.extension() {
            name.push(".");
            name.push(ending);
        }
        path.with_file_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_without_overlap() {
        for (count, of) in [(1, 1), (10, 4), (4, 4), (782, 7), (usize::MAX, 3)] {
            let mut next = 0;
            for index in 0..of {
                let part = Shard { index, of }.part(count);
                assert_eq!(part.start, next);
                assert!(!part.is_empty() && part.len() <= count.div_ceil(of));
                next = part.end;
            }
            assert_eq!(next, count);
        }
    }

    #[test]
    fn a_shard_is_below_the_number_of_shards() {
        let shard: Shard = "3/4".parse().expect("a part");
        assert_eq!(shard.name(Path::new("a/x.npz")), Path::new("a/x.3-of-4.npz"));
        assert_eq!(shard.to_string(), "3/4");
        for text in ["4/4", "0/0", "1", "a/b", "-1/4", "1/", "/4", "1/2/3", ""] {
            let error = text.parse::<Shard>().expect_err("no part");
            assert!(error.contains("I/N"), "{text}: {error}");
        }
    }
}
