//! All images in one picture.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{check_place, counted};
use crate::making::draw;
use crate::making::job::Job;
use crate::making::sheet::{Sheet, joined};
use anyhow::{Context, Result, ensure};
use inkdrop_data::Images;
use inkdrop_data::picture::write_png;

/// The most images that one picture shows; they are in memory until it is drawn.
const MOST: usize = 10_000;

/// A grid, drawn when all images are there.
pub struct Target {
    path: PathBuf,
    missing: Range<usize>,
    batches: Vec<Images>,
    beside: Vec<Images>,
    sheet: Option<Sheet>,
}

impl Target {
    /// Makes sure that the picture can be drawn and written.
    pub fn plan(path: &Path, job: &Job, sheet: Option<Sheet>) -> Result<Self> {
        ensure!(
            job.shard.is_none(),
            "--shard with --out {}: one picture is made of all images; write x.npz or into a folder/",
            path.display()
        );
        ensure!(
            job.count <= MOST,
            "{} images in one picture: expected at most {MOST}; write more as x.npz or into a folder/",
            job.count
        );
        check_place(path)?;
        let (batches, beside) = (Vec::new(), Vec::new());
        Ok(Self { path: path.to_path_buf(), missing: 0..job.count, batches, beside, sheet })
    }
}

impl super::Target for Target {
    fn missing(&self) -> &[Range<usize>] {
        std::slice::from_ref(&self.missing)
    }

    fn done(&self) -> Option<String> {
        None
    }

    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn push(&mut self, _: Range<usize>, images: Images) -> Result<()> {
        self.batches.push(images);
        Ok(())
    }

    fn beside(&mut self, images: Images) {
        self.beside.push(images);
    }

    fn finish(self: Box<Self>) -> Result<String> {
        let images = joined(&self.batches)?.context("no images were made")?;
        let picture = match &self.sheet {
            Some(sheet) => sheet.draw(&images, joined(&self.beside)?.as_ref())?,
            None => draw::square(&images)?,
        };
        write_png(&self.path, &picture)?;
        Ok(format!("{} in {}", counted(images.len(), "image"), self.path.display()))
    }

    fn stopped(&self) -> String {
        format!(
            "{} was not written: it is drawn when all images are there; x.npz or a folder/ keeps those that are done",
            self.path.display()
        )
    }
}
