//! A run of a command that generates images: progress, animation, Ctrl-C, and the output.

use std::ops::Range;

use anyhow::Result;
use inkdrop::data::Images;
use inkdrop::sampler::SamplingRun;
use inkdrop::torch::tch::Tensor;

use crate::interrupt::{Interrupt, Interrupted};
use crate::output::animation::Animation;
use crate::output::job::count_images;
use crate::output::progress::SamplingProgress;
use crate::output::sink::ImageSink;

/// A run that fills an output with images.
///
/// The command iterates over [`Run::ranges`], drives the steps of each batch with [`Run::drive`] and
/// hands its images to [`Run::push`].
pub struct Run {
    sink: Box<dyn ImageSink>,
    animation: Animation,
    progress: SamplingProgress,
    interrupt: Interrupt,
    ranges: Vec<Range<usize>>,
    /// Steps of the current batch so far, and in all.
    steps: (usize, usize),
}

impl Run {
    /// Prepares the output and reports what is already there.
    ///
    /// - images, batch: all images of the job, and the batch size
    /// - again: generates also images that are already there
    pub fn begin(
        mut sink: Box<dyn ImageSink>,
        animation: Animation,
        (images, batch): (Range<usize>, usize),
        again: bool,
    ) -> Result<Self> {
        let interrupt = Interrupt::listen()?;
        let missing = if again { vec![images.clone()] } else { sink.missing().to_vec() };
        let present = images.len() - count_images(&missing);
        sink.begin()?;
        if present > 0 {
            eprintln!("continuing: {present} of {} images are there", images.len());
        }
        let animated = animation.wanted();
        let ranges = if animated { with_first_batch(missing, &images, batch) } else { missing };
        let progress = SamplingProgress::new(images.len(), images.len() - count_images(&ranges));
        Ok(Self { sink, animation, progress, interrupt, ranges, steps: (0, 0) })
    }

    /// The images to generate, in order.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        self.ranges.clone()
    }

    /// Starts a batch with so many steps, for progress and animation.
    pub fn start_batch(&mut self, steps: usize) {
        self.steps = (0, steps);
    }

    /// Runs all steps of a sampling run for a batch of `count` images, and returns its x.
    ///
    /// # Errors
    /// [`Interrupted`] after Ctrl-C, or the error of a step.
    pub fn drive(&mut self, count: usize, mut run: impl SamplingRun) -> Result<Tensor> {
        while !self.interrupt.raised() {
            let Some(state) = run.next() else { return Ok(run.x().shallow_clone()) };
            let state = state?;
            let (number, total) = self.steps;
            // An animation shows the images of the batch, not the inputs that they come from.
            if state.x.size()[0] as usize == count {
                self.animation.record(&state, number, total);
            }
            self.progress.step(count, number, total);
            self.steps.0 += 1;
        }
        Err(Interrupted(self.sink.stopped()).into())
    }

    /// Adds the images of a finished batch to the output.
    pub fn push(&mut self, numbers: Range<usize>, images: Images) -> Result<()> {
        let count = images.len();
        self.sink.push(numbers, images)?;
        self.progress.batch(count);
        Ok(())
    }

    /// Adds images that a contact sheet shows to the left of the next batch.
    pub fn push_beside(&mut self, images: Images) {
        self.sink.beside(images);
    }

    /// Writes the rest of the output, and reports its path.
    pub fn finish(self) -> Result<u8> {
        self.progress.finish();
        let mut report = self.sink.finish()?;
        if let Some(path) = self.animation.write()? {
            report += &format!(", the denoising in {}", path.display());
        }
        eprintln!("{report}");
        Ok(0)
    }
}

/// The missing images after the first batch, which an animation shows even if it is already there.
fn with_first_batch(
    missing: Vec<Range<usize>>,
    all: &Range<usize>,
    batch: usize,
) -> Vec<Range<usize>> {
    if missing.first().is_some_and(|range| range.start == all.start) {
        return missing;
    }
    let first = all.start..all.end.min(all.start + batch);
    std::iter::once(first).chain(missing).collect()
}
