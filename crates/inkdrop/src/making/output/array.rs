//! All images in one npz archive; until they are all there, in a numpy file beside it.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use inkdrop_data::Images;
use inkdrop_data::stream::{self, SampleStream};
use ndarray::{Array1, ArrayView1};

use super::{check_place, counted};
use crate::making::job::Job;
use crate::making::manifest::Manifest;

/// `x.npz`, with `x.npz.partial.npy` and `x.npz.partial.json` until it is whole.
pub struct Target {
    npz: PathBuf,
    partial: PathBuf,
    manifest: PathBuf,
    job: Job,
    missing: Vec<Range<usize>>,
    stream: Option<SampleStream>,
}

impl Target {
    /// Finds out how many images are there.
    pub fn plan(path: &Path, job: Job) -> Result<Self> {
        let npz = job.shard.map_or(path.to_path_buf(), |shard| shard.name(path));
        check_place(&npz)?;
        let beside = |ending| {
            let mut name = npz.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        let (partial, manifest) = (beside(".partial.npy"), beside(".partial.json"));
        for path in [&partial, &manifest] {
            ensure!(!path.is_dir(), "{} is a folder, expected a file", path.display());
        }
        let mut target = Self { npz, partial, manifest, job, missing: Vec::new(), stream: None };
        let (images, there) = (target.job.images(), target.there()?);
        target.missing.extend((there < images.len()).then(|| images.start + there..images.end));
        Ok(target)
    }

    /// How many of the images are there, in whole batches.
    fn there(&self) -> Result<usize> {
        let job = &self.job;
        let manifest = if job.restart { None } else { Manifest::read(&self.manifest)? };
        let Some(manifest) = manifest else {
            ensure!(
                job.restart || !self.partial.exists(),
                "{} holds samples, but there is no {} to say of what; give another --out, or --restart to remove them and begin anew",
                self.partial.display(),
                self.manifest.display()
            );
            return Ok(0);
        };
        manifest.check(job, &self.partial)?;
        if job.shard.is_some() && manifest.count() != job.count {
            bail!(
                "{} is of another request: count is {} there, {} now, and a part of more images begins elsewhere; give another --out, or --restart to remove them and begin anew",
                self.partial.display(),
                manifest.count(),
                job.count
            );
        }
        if !self.partial.exists() {
            return Ok(0);
        }
        let (there, all) = (stream::count(&self.partial, job.image)?, job.images().len());
        Ok(match there {
            _ if there >= all => all,
            _ if job.resumable => there / job.batch * job.batch,
            _ => 0,
        })
    }

    fn stream(&mut self) -> Result<&mut SampleStream> {
        self.stream.as_mut().context("the samples were not begun")
    }

    /// How many of the images are in the stream.
    fn written(&self) -> usize {
        self.stream.as_ref().map_or(0, SampleStream::len)
    }
}

impl super::Target for Target {
    fn missing(&self) -> &[Range<usize>] {
        &self.missing
    }

    fn done(&self) -> Option<String> {
        None
    }

    fn begin(&mut self) -> Result<()> {
        // The images go before the words about them: none is ever taken for one of another request.
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
        let stream = self.stream.take().context("the samples were not begun")?;
        let (count, row) = (stream.len(), &self.job.row);
        let label = row.one_hot().map(|label| Array1::from_elem(1, label));
        let labels = label.as_ref().and_then(|label| label.broadcast(count));
        let asked = row.contexts.iter().any(|&weight| weight != 0.0);
        let context = asked.then(|| ArrayView1::from(&row.contexts));
        let contexts = context.as_ref().and_then(|row| row.broadcast((count, row.len())));
        stream.finish(&self.npz, labels, contexts)?;
        fs::remove_file(&self.manifest)
            .with_context(|| format!("cannot remove {}", self.manifest.display()))?;
        Ok(format!("{} in {}", counted(count, "image"), self.npz.display()))
    }

    fn stopped(&self) -> String {
        format!(
            "{} of {} images are in {}; the same command {} and makes {}",
            self.written(),
            self.job.images().len(),
            self.partial.display(),
            self.job.next(),
            self.npz.display()
        )
    }
}
