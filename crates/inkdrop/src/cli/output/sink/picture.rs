//! All images in one PNG picture or one TIFF file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{check_place, counted};
use crate::output::contact_sheet::{ContactSheet, concat};
use crate::output::job::SamplingJob;
use anyhow::{Context, Result, ensure};
use inkdrop::data::Images;
use inkdrop::data::picture::{write_image, write_png, write_tiff};
use inkdrop::samples;

/// Maximum number of images in one picture; they stay in memory until it is drawn.
pub const MAX_IMAGES: usize = 10_000;

/// A grid or contact sheet, or the pages of a TIFF file, written when all images are there.
pub struct PictureSink {
    path: PathBuf,
    missing: Range<usize>,
    batches: Vec<Images>,
    beside: Vec<Images>,
    form: Form,
}

enum Form {
    Png(Option<ContactSheet>),
    Tiff,
}

impl PictureSink {
    /// Checks that the picture can be drawn and written.
    pub fn png(path: &Path, job: &SamplingJob, sheet: Option<ContactSheet>) -> Result<Self> {
        Self::plan(path, job, Form::Png(sheet))
    }

    /// Checks that a TIFF file can be written.
    pub fn tiff(path: &Path, job: &SamplingJob) -> Result<Self> {
        Self::plan(path, job, Form::Tiff)
    }

    fn plan(path: &Path, job: &SamplingJob, form: Form) -> Result<Self> {
        ensure!(
            job.shard.is_none(),
            "--shard with --out {}: this file needs all images; write x.npz or a directory/",
            path.display()
        );
        ensure!(
            job.count <= MAX_IMAGES,
            "{} images in one picture: expected at most {MAX_IMAGES}; write x.npz or a directory/",
            job.count
        );
        check_place(path)?;
        let (batches, beside) = (Vec::new(), Vec::new());
        Ok(Self { path: path.to_path_buf(), missing: 0..job.count, batches, beside, form })
    }
}

impl super::ImageSink for PictureSink {
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
        match &self.form {
            Form::Tiff => write_tiff(&self.path, &images)?,
            Form::Png(_) if samples::is_png_image(&images) => write_image(&self.path, &images, 0)?,
            Form::Png(Some(sheet)) => {
                write_png(&self.path, &sheet.draw(&images, concat(&self.beside)?.as_ref())?)?;
            }
            Form::Png(None) => write_png(&self.path, &samples::square(&images)?)?,
        }
        Ok(format!("{} in {}", counted(images.len(), "image"), self.path.display()))
    }

    fn stopped(&self) -> String {
        format!(
            "{} was not written: it is written when all images are there; x.npz or a directory/ keeps finished images",
            self.path.display()
        )
    }
}
