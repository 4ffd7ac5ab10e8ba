//! Animations of the denoising: GIF or APNG.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use inkdrop::data::picture::{Picture, write_apng, write_gif};
use inkdrop::sampler::StepState;
use inkdrop::torch::tch::Tensor;

use crate::output::sink::{check_place, same_place};
use inkdrop::samples::{self, Rounding};

/// The image that an animation shows of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Of {
    /// The noisy images after the step
    #[default]
    X,
    /// The predicted clean images
    X0,
}

/// Frames of the denoising of the first batch, of 64 images at most.
pub struct Animation {
    path: Option<PathBuf>,
    of: Of,
    labels: Vec<String>,
    rounding: Rounding,
    frames: Vec<Picture>,
    ended: bool,
    error: Option<anyhow::Error>,
}

impl Animation {
    /// Maximum number of frames.
    const FRAMES: usize = 40;

    /// Maximum number of images in a frame.
    const IMAGES: i64 = 64;

    /// No animation.
    pub fn none() -> Self {
        let (path, of, labels, frames) = (None, Of::X, Vec::new(), Vec::new());
        let rounding = Rounding::default();
        Self { path, of, labels, rounding, frames, ended: true, error: None }
    }

    /// An animation of the first batch, with row labels if there are any.
    ///
    /// - rounding: of the model
    pub fn new(path: PathBuf, of: Of, labels: Vec<String>, rounding: Rounding) -> Self {
        Self { path: Some(path), of, labels, rounding, ended: false, ..Self::none() }
    }

    /// Checks that an animation can be written, and that it does not collide with `out`.
    pub fn check(path: &Path, out: &Path) -> Result<()> {
        ensure!(
            file_format(path).is_some(),
            "--animation {}: expected a name that ends in .gif, .apng or .png",
            path.display()
        );
        check_place(path)?;
        let numbered = path.file_stem().is_some_and(|stem| {
            stem.to_string_lossy().starts_with(|letter: char| letter.is_ascii_digit())
        });
        let inside = path.parent().is_some_and(|folder| same_place(folder, out));
        ensure!(
            !(same_place(path, out) || inside && numbered),
            "--animation {}: the samples are written there; choose another name",
            path.display()
        );
        Ok(())
    }

    /// True if an animation was requested.
    pub fn wanted(&self) -> bool {
        self.path.is_some()
    }

    /// Records step `number` of `total` as a frame, if the animation needs one.
    pub fn record(&mut self, state: &StepState, number: usize, total: usize) {
        if self.ended {
            return;
        }
        let last = number + 1 == total;
        if last || number.is_multiple_of(total.div_ceil(Self::FRAMES)) {
            match self.frame(state) {
                Ok(frame) => self.frames.push(frame),
                Err(error) => self.error = Some(error),
            }
        }
        self.ended = last;
    }

    fn frame(&self, state: &StepState) -> Result<Picture> {
        let x: &Tensor = match self.of {
            Of::X => &state.x,
            Of::X0 => &state.x0,
        };
        let images = self.rounding.images(&x.f_narrow(0, 0, x.size()[0].min(Self::IMAGES))?)?;
        match self.labels.len() {
            0 => Ok(samples::square(&images)?),
            rows => Ok(samples::rows(&images, images.len() / rows, &self.labels)?),
        }
    }

    /// Writes the animation with 0.08 s per frame and 3 s for the last one; returns its path.
    pub fn write(self) -> Result<Option<PathBuf>> {
        let Some(path) = self.path else { return Ok(None) };
        if let Some(error) = self.error {
            return Err(error);
        }
        match file_format(&path) {
            Some(Format::Gif) => write_gif(&path, &self.frames, 8, 300)?,
            Some(Format::Apng) => write_apng(&path, &self.frames, 8, 300)?,
            None => bail!("{}: expected a name that ends in .gif, .apng or .png", path.display()),
        }
        Ok(Some(path))
    }
}

/// File format of an animation.
enum Format {
    Gif,
    Apng,
}

/// The format for a file name.
fn file_format(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "gif" => Some(Format::Gif),
        "apng" | "png" => Some(Format::Apng),
        _ => None,
    }
}
