//! All images in one npz archive, or in one npy file with their labels in another. Until all are there, they are in
//! an npy file beside it, which is a valid NumPy array at every moment: its header counts only the images on disk.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use inkdrop::data::Images;
use inkdrop::data::stream::{self, SampleStream};
use inkdrop::samples::labels;
use ndarray::{Array2, ArrayView1};

use super::{check_place, counted};
use crate::output::job::SamplingJob;
use crate::output::manifest::Manifest;

/// `x.npz` or `x.npy`, with `x.npz.partial.npy` and `x.npz.partial.json` until it is complete.
pub struct NpzSink {
    npz: PathBuf,
    partial: PathBuf,
    manifest: PathBuf,
    job: SamplingJob,
    missing: Vec<Range<usize>>,
    stream: Option<SampleStream>,
}

impl NpzSink {
    /// Counts the images that are there.
    pub fn plan(path: &Path, job: SamplingJob) -> Result<Self> {
        let npz = job.shard.map_or(path.to_path_buf(), |shard| shard.name(path));
        check_place(&npz)?;
        let beside = |ending| {
            let mut name = npz.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        let (partial, manifest) = (beside(".partial.npy"), beside(".partial.json"));
        for path in [&partial, &manifest] {
            ensure!(!path.is_dir(), "{} is a directory, expected a file", path.display());
        }
        let mut target = Self { npz, partial, manifest, job, missing: Vec::new(), stream: None };
        let (images, present) = (target.job.images(), target.present()?);
        target.missing.extend((present < images.len()).then(|| images.start + present..images.end));
        Ok(target)
    }

    /// Number of images on disk, in whole batches.
    fn present(&self) -> Result<usize> {
        let job = &self.job;
        let manifest = if job.restart { None } else { Manifest::read(&self.manifest)? };
        let Some(manifest) = manifest else {
            ensure!(
                job.restart || !self.partial.exists(),
                "{} holds samples, but its manifest {} is missing; give another --out, or --restart to remove them",
                self.partial.display(),
                self.manifest.display()
            );
            return Ok(0);
        };
        manifest.check(job, &self.partial)?;
        if job.shard.is_some() && manifest.count() != job.count {
            bail!(
                "{} is of another request: count is {} there, {} now, and a shard of another count has other images; give another --out, or --restart to remove them",
                self.partial.display(),
                manifest.count(),
                job.count
            );
        }
        if !self.partial.exists() {
            return Ok(0);
        }
        let (present, all) = (stream::count(&self.partial, job.image)?, job.images().len());
        Ok(match present {
            _ if present >= all => all,
            _ if job.resumable => present / job.batch * job.batch,
            _ => 0,
        })
    }

    fn stream(&mut self) -> Result<&mut SampleStream> {
        self.stream.as_mut().context("the output was not prepared")
    }

    /// Number of images in the stream.
    fn written(&self) -> usize {
        self.stream.as_ref().map_or(0, SampleStream::len)
    }
}

impl super::ImageSink for NpzSink {
    fn missing(&self) -> &[Range<usize>] {
        &self.missing
    }

    fn done(&self) -> Option<String> {
        None
    }

    fn begin(&mut self) -> Result<()> {
        // Images are removed before the manifest, so none is ever taken for one of another request.
        if self.job.restart && self.partial.exists() {
            fs::remove_file(&self.partial)
                .with_context(|| format!("cannot remove {}", self.partial.display()))?;
        }
        Manifest::of(&self.job).write(&self.manifest)?;
        let stream = if self.partial.exists() {
            let missing = self.missing.iter().map(Range::len).sum::<usize>();
            let mut stream = SampleStream::open(&self.partial, self.job.image)?;
            stream.truncate(self.job.images().len() - missing)?;
            stream
        } else {
            SampleStream::create(&self.partial, self.job.image)?
        };
        self.stream = Some(stream);
        Ok(())
    }

    fn push(&mut self, numbers: Range<usize>, images: Images) -> Result<()> {
        let next = self.job.images().start + self.written();
        match numbers.start {
            start if start < next => Ok(()),
            start if start == next => Ok(self.stream()?.push(&images)?),
            start => bail!("image {start} after {next} images"),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<String> {
        let stream = self.stream.take().context("the output was not prepared")?;
        let (first, count) = (self.job.images().start, stream.len());
        let conditions = (first..first + count).map(|image| self.job.conditions.get(image).clone());
        let (labels, contexts) = labels(&conditions.collect::<Vec<_>>());
        let labels = labels.as_deref().map(ArrayView1::from);
        stream.finish(&self.npz, labels, contexts.as_ref().map(Array2::view))?;
        fs::remove_file(&self.manifest)
            .with_context(|| format!("cannot remove {}", self.manifest.display()))?;
        Ok(format!("{} in {}", counted(count, "image"), self.npz.display()))
    }

    fn stopped(&self) -> String {
        format!(
            "{} of {} images are in {}; the same command {} and writes {}",
            self.written(),
            self.job.images().len(),
            self.partial.display(),
            self.job.after_stop(),
            self.npz.display()
        )
    }
}
