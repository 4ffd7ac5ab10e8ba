//! All images in one PNG picture.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{check_place, counted};
use crate::output::contact_sheet::{ContactSheet, concat};
use crate::output::job::SamplingJob;
use anyhow::{Context, Result, ensure};
use inkdrop::data::Images;
use inkdrop::data::picture::write_png;
use inkdrop::samples;

/// Maximum number of images in one picture; they stay in memory until it is drawn.
const MAX_IMAGES: usize = 10_000;

/// A grid or contact sheet, drawn when all images are there.
pub struct PngSink {
    path: PathBuf,
    missing: Range<usize>,
    batches: Vec<Images>,
    beside: Vec<Images>,
    sheet: Option<ContactSheet>,
}

impl PngSink {
    /// Checks that the picture can be drawn and written.
    pub fn plan(path: &Path, job: &SamplingJob, sheet: Option<ContactSheet>) -> Result<Self> {
        ensure!(
            job.shard.is_none(),
            "--shard with --out {}: a picture needs all images; write x.npz or a directory/",
            path.display()
        );
        ensure!(
            job.count <= MAX_IMAGES,
            "{} images in one picture: expected at most {MAX_IMAGES}; write x.npz or a directory/",
            job.count
        );
        check_place(path)?;
        let (batches, beside) = (Vec::new(), Vec::new());
        Ok(Self { path: path.to_path_buf(), missing: 0..job.count, batches, beside, sheet })
    }
}

impl super::ImageSink for PngSink {
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
        let images = concat(&self.batches)?.context("no images were generated")?;
        let picture = match &self.sheet {
            Some(sheet) => sheet.draw(&images, concat(&self.beside)?.as_ref())?,
            None => samples::square(&images)?,
        };
        write_png(&self.path, &picture)?;
        Ok(format!("{} in {}", counted(images.len(), "image"), self.path.display()))
    }

    fn stopped(&self) -> String {
        format!(
            "{} was not written: a picture is drawn when all images are there; x.npz or a directory/ keeps finished images",
            self.path.display()
        )
    }
}
