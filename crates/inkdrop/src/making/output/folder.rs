//! A PNG file for each image, and what they were asked to be in samples.json.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use inkdrop_data::Images;
use inkdrop_data::picture::{Picture, is_whole_png, write_png};

use super::{check_writable, counted};
use crate::making::job::{Job, counted as length, joined};
use crate::making::manifest::Manifest;

/// A folder with `00000.png`, `00001.png`, … and samples.json, or samples.0-of-4.json for a part.
pub struct Target {
    path: PathBuf,
    job: Job,
    found: Found,
    missing: Vec<Range<usize>>,
}

/// What of earlier runs is in a folder.
#[derive(Default)]
struct Found {
    manifests: Vec<PathBuf>,
    pictures: Vec<PathBuf>,
}

impl Target {
    /// Finds out which images are there.
    pub fn plan(path: &Path, job: Job) -> Result<Self> {
        let path: PathBuf = path.components().collect(); // a file with a slash behind it is a file
        ensure!(!path.exists() || path.is_dir(), "{} is a file, expected a folder", path.display());
        let there = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        check_writable(there)?;
        let found = Found::look(&path)?;
        found.check(&path, &job)?;
        let mut target = Self { path, job, found, missing: Vec::new() };
        target.missing = target.look_for_missing();
        Ok(target)
    }

    fn look_for_missing(&self) -> Vec<Range<usize>> {
        let [height, width, _] = self.job.image;
        let there = |number| is_whole_png(self.picture(number), width, height);
        let images = self.job.images();
        let batches = self.job.batches();
        let missing = joined(batches.filter(|batch| self.job.restart || !batch.clone().all(there)));
        // Without its own generator, an image is made only after all before it.
        if self.job.resumable || missing.is_empty() { missing } else { vec![images] }
    }

    fn picture(&self, number: usize) -> PathBuf {
        self.path.join(name(number))
    }

    fn manifest(&self) -> PathBuf {
        let path = self.path.join("samples.json");
        self.job.shard.map_or(path.clone(), |shard| shard.name(&path))
    }

    /// Removes what `--restart` is to remove: all of it, or the images of this part alone.
    fn clear(&self) -> Result<()> {
        let of_part = |path: &&PathBuf| {
            self.job.shard.is_none()
                || number(path).is_some_and(|number| self.job.images().contains(&number))
        };
        let manifests = self.found.manifests.iter().filter(|_| self.job.shard.is_none());
        // Images go before the words about them: none is ever taken for one of another request.
        for path in self.found.pictures.iter().filter(of_part).chain(manifests) {
            fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

impl super::Target for Target {
    fn missing(&self) -> &[Range<usize>] {
        &self.missing
    }

    fn done(&self) -> Option<String> {
        let (count, path) = (self.job.images().len(), self.path.display());
        self.missing.is_empty().then(|| {
            format!("{} of this request in {path} already: nothing to do", counted(count, "image"))
        })
    }

    fn begin(&mut self) -> Result<()> {
        fs::create_dir_all(&self.path)
            .with_context(|| format!("cannot make {}", self.path.display()))?;
        if self.job.restart {
            self.clear()?;
        }
        Manifest::of(&self.job).write(&self.manifest())
    }

    /// In the order of their numbers: a batch whose last image is there is there.
    fn push(&mut self, numbers: Range<usize>, images: Images) -> Result<()> {
        for (index, number) in numbers.clone().enumerate() {
            write_png(self.picture(number), &Picture::of_image(&images, index)?)?;
        }
        // What was made of the missing ones is missing no more.
        let left = self.missing.iter().map(|range| range.start.max(numbers.end)..range.end);
        self.missing = left.filter(|range| !range.is_empty()).collect();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<String> {
        let count = self.job.images().len();
        Ok(format!("{} in {}", counted(count, "PNG file"), self.path.display()))
    }

    fn stopped(&self) -> String {
        let all = self.job.images().len();
        format!(
            "{} of {all} images are in {}; the same command {}",
            all - length(&self.missing),
            self.path.display(),
            self.job.next()
        )
    }
}

impl Found {
    fn look(folder: &Path) -> Result<Self> {
        let mut found = Self::default();
        if !folder.exists() {
            return Ok(found);
        }
        let unread = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(folder).with_context(unread)? {
            let path = entry.with_context(unread)?.path();
            let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
            if file.starts_with("samples.") && file.ends_with(".json") {
                found.manifests.push(path);
            } else if number(&path).is_some() {
                found.pictures.push(path);
            }
        }
        found.manifests.sort();
        Ok(found)
    }

    /// Makes sure that what is there belongs to the job, or may go.
    fn check(&self, folder: &Path, job: &Job) -> Result<()> {
        if job.restart && job.shard.is_none() {
            return Ok(());
        }
        let checked = self.agree(folder, job);
        if job.restart {
            return checked.context("--restart with --shard begins this part anew, and cannot remove the others: use --restart without --shard, or another --out");
        }
        checked
    }

    /// All parts in one folder are parts of one whole.
    fn agree(&self, folder: &Path, job: &Job) -> Result<()> {
        ensure!(
            !self.manifests.is_empty() || self.pictures.is_empty(),
            "{} holds {} already, but no samples.json to say of what; give another --out, or --restart to remove the numbered PNG files and begin anew",
            folder.display(),
            counted(self.pictures.len(), "numbered PNG file")
        );
        for path in &self.manifests {
            if let Some(manifest) = Manifest::read(path)? {
                manifest.check(job, path)?;
            }
        }
        Ok(())
    }
}

/// The file of an image.
fn name(number: usize) -> String {
    format!("{number:05}.png")
}

/// The number of an image whose file this is.
fn number(path: &Path) -> Option<usize> {
    let file = path.file_name()?.to_str()?;
    let number = file.strip_suffix(".png")?.parse().ok()?;
    (file == name(number)).then_some(number)
}
