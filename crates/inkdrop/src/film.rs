//! The denoising as an animation.

use std::path::Path;

use anyhow::Result;
use inkdrop_data::picture::{Picture, write_gif};
use inkdrop_sampler::Step;
use inkdrop_torch::tch::Tensor;

use crate::draw;

/// Frames of the denoising of the first batch.
pub struct Film {
    wanted: bool,
    images: usize,
    labels: Vec<String>,
    frames: Vec<Picture>,
    error: Option<anyhow::Error>,
}

impl Film {
    /// About as many frames as an animation needs.
    const FRAMES: usize = 40;

    /// A film of the first `images` images, with row labels if there are any.
    pub fn new(wanted: bool, images: usize, labels: Vec<String>) -> Self {
        Self { wanted, images, labels, frames: Vec::new(), error: None }
    }

    /// Looks at a step; keeps its frame where the film wants one.
    pub fn take(&mut self, step: &Step) {
        let first_batch = step.x.size()[0] as usize == self.images && !self.complete(step.total);
        let every = step.total.div_ceil(Self::FRAMES);
        let shown = step.number.is_multiple_of(every) || step.number + 1 == step.total;
        if self.wanted && first_batch && shown {
            match self.frame(step.x) {
                Ok(frame) => self.frames.push(frame),
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Whether the first batch has been filmed to its end.
    fn complete(&self, total: usize) -> bool {
        let every = total.div_ceil(Self::FRAMES);
        let frames = (0..total).filter(|n| n.is_multiple_of(every) || n + 1 == total).count();
        self.frames.len() == frames
    }

    fn frame(&self, x: &Tensor) -> Result<Picture> {
        let images = draw::images(x)?;
        match self.labels.len() {
            0 => draw::square(&images),
            rows => draw::rows(&images, images.len() / rows, &self.labels),
        }
    }

    /// Writes the animation: 0.08 s a frame, 3 s for the last.
    pub fn write(self, path: &Path) -> Result<()> {
        if let Some(error) = self.error {
            return Err(error);
        }
        Ok(write_gif(path, &self.frames, 8, 300)?)
    }
}
