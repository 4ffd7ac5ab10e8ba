//! Sampling schedules that are fitted to a model.

use std::ops::Range;

use inkdrop_sampler::{SamplerError, SamplingRun, ScheduleFit, total_distance};
use inkdrop_schedule::{LevelSpacing, SamplingSchedule};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{NoiseSource, NoiseTape, TorchError};

use super::plan::{SamplingPlan, Settings, check_unused, continuous_spacing};
use super::{Pipeline, SamplingSession};
use crate::Result;
use crate::error::{Context, bail, ensure};

/// Number of steps of the schedule whose levels may be chosen.
const FINE: usize = 80;

/// Default batch size.
const BATCH: usize = 32;

impl Pipeline {
    /// The spacing of few steps that follows the probability flow of this model best: a subset of 80 noise
    /// levels, found from the errors of single DDIM steps (Chen et al. 2024, GITS), then moved so that the
    /// images of the pipeline's sampler are nearest to those of 80 steps.
    ///
    /// The images have the classes, the guidance, the seed and the batch size of the pipeline. The network
    /// is called 160 times for each, and in up to 8·(steps − 1) runs of the few steps.
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
    /// A number out of range, a sampler that draws noise, a distilled model, or a
    /// setting that does not fit the model.
    pub fn fit_schedule(&self, steps: usize, images: usize) -> Result<LevelSpacing> {
        let batch = self.settings.batch.unwrap_or(BATCH);
        ensure!(
            images > 0 && batch > 0,
            "{images} images in batches of {batch}: expected 1 or more"
        );
        ensure!((1..=FINE).contains(&steps), "--steps {steps}: expected 1 to {FINE}");
        let Settings { steps: given, spacing, .. } = &self.settings;
        check_unused(
            "a schedule is fitted to the number of steps in the call",
            [("a number of steps", given.is_some()), ("a spacing", spacing.is_some())],
        )?;
        if let Some(kind) = self.distilled_kind() {
            bail!(
                "a schedule is fitted to the probability flow of a diffusion model: this is {kind}"
            );
        }
        let plan = SamplingPlan::new(self, continuous_spacing(self.process(), FINE))?;
        let session = plan.start()?;
        let [channels, height, width] = session.image_shape();
        let mut fit = ScheduleFit::new(&plan.schedule);
        let mut batches = Vec::new();
        for start in (0..images).step_by(batch) {
            let range = start..(start + batch).min(images);
            let shape = [range.len() as i64, channels, height, width];
            let x = session.noise(&range).normal(&shape, session.device())?;
            fit.add(&session.denoiser(range.clone(), None)?, x.shallow_clone())?;
            let end = self.end(&session, &range, &plan.schedule, &x).context(
                "a schedule is fitted to the probability flow: expected a sampler that draws no noise, such as ddim or dpm++2m",
            )?;
            batches.push((range, x, end));
        }
        let levels = fit.levels_for(steps, |schedule| {
            let mut sum = 0.0;
            for (range, x, end) in &batches {
                sum += total_distance(&self.end(&session, range, schedule, x)?, end)?;
            }
            Ok(sum)
        })?;
        Ok(LevelSpacing::Sigmas(levels.iter().map(|level| rounded(level.sigma())).collect()))
    }
}

impl Pipeline {
    /// The images of a run of the session's sampler with another schedule and without noise.
    fn end(
        &self,
        session: &SamplingSession<'_>,
        images: &Range<usize>,
        schedule: &SamplingSchedule,
        x: &Tensor,
    ) -> std::result::Result<Tensor, SamplerError> {
        let none = NoiseTape::new(
            Tensor::f_zeros([0], (Kind::Float, Device::Cpu)).map_err(TorchError::from)?,
        );
        let (denoiser, levels) =
            (session.denoiser(images.clone(), None)?, self.process().noise_levels());
        session.plan.sampler.steps(denoiser, levels, schedule, x.shallow_clone(), none)?.finish()
    }
}

/// A number with six significant digits.
fn rounded(sigma: f64) -> f64 {
    format!("{sigma:.5e}").parse().unwrap_or(sigma)
}
