//! Sampling schedules that are fitted to a model.

use inkdrop_sampler::ScheduleFit;
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::NoiseSource;

use super::Pipeline;
use super::plan::{SamplingPlan, continuous_spacing};
use crate::Result;
use crate::error::ensure;

/// Number of steps of the schedule whose levels may be chosen.
const FINE: usize = 80;

/// Default batch size.
const BATCH: usize = 32;

impl Pipeline {
    /// The spacing of few steps that follows the probability flow of this model best: a subset of 80 noise
    /// levels, found from the errors of single DDIM steps (Chen et al. 2024, GITS). It suits deterministic
    /// samplers with one network call per step.
    ///
    /// The images have the classes, the guidance, the seed and the batch size of the pipeline; the network
    /// is called 80 times for each.
    ///
    /// - steps: 1 to 80
    /// - images: number of images that the fit follows; ≥ 1
    ///
    /// ```no_run
    /// use inkdrop::Pipeline;
    ///
    /// let pipeline = Pipeline::open("sprites")?.class("each");
    /// let spacing = pipeline.fit_schedule(5, 64)?;
    /// pipeline.sampler("dpm++2m".parse()?).spacing(&spacing.to_string()).sample(16)?.save("x.png")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A number out of range, or a setting that does not fit the model.
    pub fn fit_schedule(&self, steps: usize, images: usize) -> Result<LevelSpacing> {
        let batch = self.settings.batch.unwrap_or(BATCH);
        ensure!(
            images > 0 && batch > 0,
            "{images} images in batches of {batch}: expected 1 or more"
        );
        ensure!((1..=FINE).contains(&steps), "--steps {steps}: expected 1 to {FINE}");
        let plan = SamplingPlan::new(self, continuous_spacing(self.process(), FINE))?;
        let session = plan.start()?;
        let [channels, height, width] = session.image_shape();
        let mut fit = ScheduleFit::new(&plan.schedule);
        for start in (0..images).step_by(batch) {
            let range = start..(start + batch).min(images);
            let shape = [range.len() as i64, channels, height, width];
            let x = session.noise(&range).normal(&shape, session.device())?;
            fit.add(&session.denoiser(range, None)?, x)?;
        }
        let levels = fit.levels(steps)?;
        Ok(LevelSpacing::Sigmas(levels.iter().map(|level| rounded(level.sigma())).collect()))
    }
}

/// A number with six significant digits.
fn rounded(sigma: f64) -> f64 {
    format!("{sigma:.5e}").parse().unwrap_or(sigma)
}
