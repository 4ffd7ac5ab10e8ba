//! The denoising as an animation.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use inkdrop_data::picture::{Picture, write_apng, write_gif};
use inkdrop_sampler::Step;
use inkdrop_torch::tch::Tensor;

use crate::making::draw;
use crate::making::output::{check_place, same_place};

/// What a film shows of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Of {
    /// The images as they are after the step
    #[default]
    X,
    /// What the model takes them to become
    X0,
}

/// Frames of the denoising of the first batch that it sees, of 64 images at most.
pub struct Film {
    path: Option<PathBuf>,
    of: Of,
    labels: Vec<String>,
    frames: Vec<Picture>,
    ended: bool,
    error: Option<anyhow::Error>,
}

impl Film {
    /// About as many frames as an animation needs.
    const FRAMES: usize = 40;

    /// The most images that a frame shows.
    const IMAGES: i64 = 64;

    /// No film.
    pub fn none() -> Self {
        let (path, of, labels, frames) = (None, Of::X, Vec::new(), Vec::new());
        Self { path, of, labels, frames, ended: true, error: None }
    }

    /// A film of the first batch, with row labels if there are any.
    pub fn new(path: PathBuf, of: Of, labels: Vec<String>) -> Self {
        Self { path: Some(path), of, labels, ended: false, ..Self::none() }
    }

    /// Makes sure that an animation can be written, beside what is written to `out`.
    pub fn check(path: &Path, out: &Path) -> Result<()> {
        ensure!(
            form(path).is_some(),
            "--film {}: expected a name that ends in .gif, .apng or .png",
            path.display()
        );
        check_place(path)?;
        let numbered = path.file_stem().is_some_and(|stem| {
            stem.to_string_lossy().starts_with(|letter: char| letter.is_ascii_digit())
        });
        let inside = path.parent().is_some_and(|folder| same_place(folder, out));
        ensure!(
            !(same_place(path, out) || inside && numbered),
            "--film {}: the samples are written there; choose another name",
            path.display()
        );
        Ok(())
    }

    /// Whether there is to be a film.
    pub fn wanted(&self) -> bool {
        self.path.is_some()
    }

    /// Looks at a step; keeps its frame where the film wants one.
    pub fn take(&mut self, step: &Step) {
        if self.ended {
            return;
        }
        let last = step.number + 1 == step.total;
        if last || step.number.is_multiple_of(step.total.div_ceil(Self::FRAMES)) {
            match self.frame(step) {
                Ok(frame) => self.frames.push(frame),
                Err(error) => self.error = Some(error),
            }
        }
        self.ended = last;
    }

    fn frame(&self, step: &Step) -> Result<Picture> {
        let x: &Tensor = match self.of {
            Of::X => step.x,
            Of::X0 => step.x0,
        };
        let images = draw::images(&x.f_narrow(0, 0, x.size()[0].min(Self::IMAGES))?)?;
        match self.labels.len() {
            0 => draw::square(&images),
            rows => draw::rows(&images, images.len() / rows, &self.labels),
        }
    }

    /// Writes the animation, 0.08 s a frame, 3 s for the last; where it is, if there is one.
    pub fn write(self) -> Result<Option<PathBuf>> {
        let Some(path) = self.path else { return Ok(None) };
        if let Some(error) = self.error {
            return Err(error);
        }
        match form(&path) {
            Some(Form::Gif) => write_gif(&path, &self.frames, 8, 300)?,
            Some(Form::Apng) => write_apng(&path, &self.frames, 8, 300)?,
            None => bail!("{} is no name of an animation", path.display()),
        }
        Ok(Some(path))
    }
}

/// The form of an animation.
enum Form {
    Gif,
    Apng,
}

/// The form that a name asks for.
fn form(path: &Path) -> Option<Form> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "gif" => Some(Form::Gif),
        "apng" | "png" => Some(Form::Apng),
        _ => None,
    }
}
