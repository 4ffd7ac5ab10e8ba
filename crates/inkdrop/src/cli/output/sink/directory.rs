//! One PNG file per image, and a manifest (samples.json).

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use inkdrop::data::Images;
use inkdrop::data::picture::{is_whole_png, write_image};

use super::{check_writable, counted};
use crate::output::job::{SamplingJob, count_images, merge_ranges};
use crate::output::manifest::Manifest;

/// A directory with `00000.png`, `00001.png`, … and samples.json, or samples.0-of-4.json for a shard.
pub struct DirectorySink {
    path: PathBuf,
    job: SamplingJob,
    existing: ExistingFiles,
    missing: Vec<Range<usize>>,
}

/// Files of earlier runs.
#[derive(Default)]
struct ExistingFiles {
    manifests: Vec<PathBuf>,
    pictures: Vec<PathBuf>,
}

impl DirectorySink {
    /// Looks for the images that are there.
    pub fn plan(path: &Path, job: SamplingJob) -> Result<Self> {
        let path: PathBuf = path.components().collect(); // drops a trailing slash, so that an existing file is found
        ensure!(
            !path.exists() || path.is_dir(),
            "{} is a file, expected a directory",
            path.display()
        );
        let parent = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        check_writable(parent)?;
        let channels = job.image.shape[2];
        ensure!(
            matches!(channels, 1 | 3),
            "images of {channels} channels in PNG files, which have 1 or 3: write x.npz"
        );
        let existing = ExistingFiles::list(&path)?;
        existing.check(&path, &job)?;
        let mut target = Self { path, job, existing, missing: Vec::new() };
        target.missing = target.find_missing();
        Ok(target)
    }

    fn find_missing(&self) -> Vec<Range<usize>> {
        let [height, width, _] = self.job.image.shape;
        let present = |number| is_whole_png(self.picture(number), width, height);
        let images = self.job.images();
        let batches = self.job.batches();
        let missing =
            merge_ranges(batches.filter(|batch| self.job.restart || !batch.clone().all(present)));
        // With one generator for the run, an image needs all images before it.
        if self.job.resumable || missing.is_empty() { missing } else { vec![images] }
    }

    fn picture(&self, number: usize) -> PathBuf {
        self.path.join(name(number))
    }

    fn manifest(&self) -> PathBuf {
        let path = self.path.join("samples.json");
        self.job.shard.map_or(path.clone(), |shard| shard.name(&path))
    }

    /// Removes the files of earlier runs for `--restart`: all of them, or the images of this shard.
    fn clear(&self) -> Result<()> {
        let in_shard = |path: &&PathBuf| {
            self.job.shard.is_none()
                || number(path).is_some_and(|number| self.job.images().contains(&number))
        };
        let manifests = self.existing.manifests.iter().filter(|_| self.job.shard.is_none());
        // Images are removed before the manifest, so none is ever taken for one of another request.
        for path in self.existing.pictures.iter().filter(in_shard).chain(manifests) {
            fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

impl super::ImageSink for DirectorySink {
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
            .with_context(|| format!("cannot create {}", self.path.display()))?;
        if self.job.restart {
            self.clear()?;
        }
        Manifest::of(&self.job).write(&self.manifest())
    }

    /// Writes in the order of the indices: if the last image of a batch is there, the batch is.
    fn push(&mut self, numbers: Range<usize>, images: Images) -> Result<()> {
        for (index, number) in numbers.clone().enumerate() {
            write_image(self.picture(number), &images, index)?;
        }
        // These images are no longer missing.
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
            all - count_images(&self.missing),
            self.path.display(),
            self.job.after_stop()
        )
    }
}

impl ExistingFiles {
    fn list(folder: &Path) -> Result<Self> {
        let mut files = Self::default();
        if !folder.exists() {
            return Ok(files);
        }
        let unread = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(folder).with_context(unread)? {
            let path = entry.with_context(unread)?.path();
            let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
            if file.starts_with("samples.") && file.ends_with(".json") {
                files.manifests.push(path);
            } else if number(&path).is_some() {
                files.pictures.push(path);
            }
        }
        files.manifests.sort();
        Ok(files)
    }

    /// Checks that the files belong to the job, or may be removed.
    fn check(&self, folder: &Path, job: &SamplingJob) -> Result<()> {
        if job.restart && job.shard.is_none() {
            return Ok(());
        }
        let checked = self.check_manifests(folder, job);
        if job.restart {
            return checked.context("--restart with --shard restarts this shard only and cannot remove the others: use --restart without --shard, or another --out");
        }
        checked
    }

    /// Checks that all shards in the directory belong to one job.
    fn check_manifests(&self, folder: &Path, job: &SamplingJob) -> Result<()> {
        ensure!(
            !self.manifests.is_empty() || self.pictures.is_empty(),
            "{} holds {} already, but no manifest samples.json; give another --out, or --restart to remove the numbered PNG files",
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

/// File name of an image.
fn name(number: usize) -> String {
    format!("{number:05}.png")
}

/// Index of the image in a file, by its name.
fn number(path: &Path) -> Option<usize> {
    let file = path.file_name()?.to_str()?;
    let number = file.strip_suffix(".png")?.parse().ok()?;
    (file == name(number)).then_some(number)
}
