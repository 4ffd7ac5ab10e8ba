//! Sampling schedules that are fitted to a model (GITS; Chen et al. 2024, "On the Trajectory Regularity of ODE-based
//! Diffusion Sampling").

use inkdrop_process::{Denoiser, Prediction, ProcessError};
use inkdrop_schedule::{NoiseLevel, SamplingSchedule};
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::SamplerError;
use crate::solver::combine;

/// The errors of single DDIM steps between any two noise levels of a fine schedule, and the few of these
/// levels whose steps have the smallest errors in total.
///
/// ```
/// use inkdrop_process::FnDenoiser;
/// use inkdrop_sampler::ScheduleFit;
/// use inkdrop_schedule::{LevelSpacing, ScheduleConfig};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let process = ScheduleConfig::linear(1000).build()?;
/// let fine = LevelSpacing::Karras { steps: 40, rho: 7.0 }.sampling_schedule(&process)?;
/// let gaussian = FnDenoiser::new(|x, sigma| Ok(x * (0.25 / (0.25 + sigma * sigma))));
/// let mut fit = ScheduleFit::new(&fine);
/// fit.add(&gaussian, Tensor::randn([16, 1, 4, 4], (Kind::Double, Device::Cpu)))?;
/// let sigmas: Vec<f64> = fit.levels(5)?.iter().map(|level| level.sigma()).collect();
/// assert_eq!(sigmas.len(), 5); // the noise levels at which the network is called
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScheduleFit<'a> {
    fine: &'a SamplingSchedule,
    /// Sum over all images of the error of a step from level i to a later level j, at [i][j - i - 1].
    errors: Vec<Vec<f64>>,
}

impl<'a> ScheduleFit<'a> {
    /// No errors yet.
    ///
    /// - fine: the schedule whose levels may be chosen; it ends without noise
    pub fn new(fine: &'a SamplingSchedule) -> Self {
        let steps = fine.len();
        Self { fine, errors: (0..steps).map(|i| vec![0.0; steps - i]).collect() }
    }

    /// Follows the probability flow from x by a DDIM step to each level, and adds the errors of all longer
    /// steps: the distance from where the flow is, in the scale of unit variance. For Gaussian data of unit
    /// variance, an error in this scale is as large at the end of the flow, whatever its noise level; in the
    /// scale x0 + σ·ε of the paper, errors at high noise would count most.
    ///
    /// - x: [B, C, H, W] at the first level, of unit variance
    ///
    /// # Errors
    /// The denoiser does not accept x.
    pub fn add(&mut self, denoiser: &dyn Denoiser, x: Tensor) -> Result<(), SamplerError> {
        let _guard = no_grad_guard();
        let (mut x, mut predictions, mut flow) = (x, Vec::new(), Vec::new());
        for step in self.fine.steps() {
            let prediction = denoiser.denoise(&x, step)?;
            x = ddim_step(&prediction, step.to)?;
            flow.push(x.shallow_clone());
            predictions.push(prediction);
        }
        for (from, prediction) in predictions.iter().enumerate() {
            for (to, exact) in flow.iter().enumerate().skip(from) {
                let reached = ddim_step(prediction, self.fine.steps()[to].to)?;
                self.errors[from][to - from] += total_distance(&reached, exact)?;
            }
        }
        Ok(())
    }

    /// The levels at which a schedule of few steps calls the network, the first level first: those whose
    /// steps have the smallest sum of errors, found by dynamic programming.
    ///
    /// - steps: 1 to the number of steps of the fine schedule
    ///
    /// # Errors
    /// Another number of steps.
    pub fn levels(&self, steps: usize) -> Result<Vec<NoiseLevel>, SamplerError> {
        Ok(self.levels_at(&self.path(steps)?))
    }

    /// The same levels, moved one after the other as long as that makes a whole run better: for samplers
    /// with other steps than DDIM's.
    ///
    /// - error: of a run with a schedule, such as the distance of its images from those of the fine one
    ///
    /// # Errors
    /// Another number of steps, or those of `error`.
    pub fn levels_for(
        &self,
        steps: usize,
        mut error: impl FnMut(&SamplingSchedule) -> Result<f64, SamplerError>,
    ) -> Result<Vec<NoiseLevel>, SamplerError> {
        let mut path = self.path(steps)?;
        let mut least = error(&self.schedule(&path)?)?;
        for stride in [3, 1] {
            for _sweep in 0..2 {
                for place in 1..steps {
                    let next = path.get(place + 1).copied().unwrap_or(self.fine.len());
                    for to in [path[place].saturating_sub(stride), path[place] + stride] {
                        if to <= path[place - 1] || to >= next {
                            continue;
                        }
                        let mut moved = path.clone();
                        moved[place] = to;
                        let found = error(&self.schedule(&moved)?)?;
                        if found < least {
                            (path, least) = (moved, found);
                        }
                    }
                }
            }
        }
        Ok(self.levels_at(&path))
    }

    fn levels_at(&self, path: &[usize]) -> Vec<NoiseLevel> {
        path.iter().map(|&level| self.fine.steps()[level].from).collect()
    }

    /// The schedule through some levels to its end without noise.
    fn schedule(&self, path: &[usize]) -> Result<SamplingSchedule, SamplerError> {
        let levels = self.levels_at(path).into_iter().chain([NoiseLevel::NOISELESS]);
        Ok(SamplingSchedule::from_levels(&levels.collect::<Vec<_>>())
            .map_err(ProcessError::from)?)
    }

    /// Indices of the levels with the smallest sum of errors.
    fn path(&self, steps: usize) -> Result<Vec<usize>, SamplerError> {
        let all = self.fine.len();
        if !(1..=all).contains(&steps) {
            let (field, given) = ("steps", steps.to_string());
            return Err(SamplerError::Request { field, given, expected: format!("1 to {all}") });
        }
        // least[j]: of paths with k steps to level j; came[k][j]: the level before.
        let mut least = vec![f64::INFINITY; all + 1];
        least[0] = 0.0;
        let mut came = Vec::new();
        for _ in 0..steps {
            let (mut next, mut before) = (vec![f64::INFINITY; all + 1], vec![0; all + 1]);
            for (from, errors) in self.errors.iter().enumerate() {
                for (length, error) in errors.iter().enumerate() {
                    let to = from + length + 1;
                    if least[from] + error < next[to] {
                        (next[to], before[to]) = (least[from] + error, from);
                    }
                }
            }
            least = next;
            came.push(before);
        }
        let mut path = vec![all];
        for before in came.iter().rev() {
            path.push(before[path[path.len() - 1]]);
        }
        Ok(path.into_iter().skip(1).rev().collect())
    }
}

/// √ᾱ·x0 + √(1−ᾱ)·ε.
fn ddim_step(prediction: &Prediction, to: NoiseLevel) -> Result<Tensor, SamplerError> {
    combine(&[(to.signal(), &prediction.x0), (to.noise(), &prediction.eps)])
}

/// Sum over the images of the Euclidean distance.
///
/// # Shapes
/// - a, b: [B, ...]
///
/// # Errors
/// The shapes differ.
pub fn total_distance(a: &Tensor, b: &Tensor) -> Result<f64, TorchError> {
    let squares = a.f_sub(b)?.f_to_kind(Kind::Double)?.f_square()?.f_flatten(1, -1)?;
    let distances = squares.f_sum_dim_intlist(1, false, Kind::Double)?.f_sqrt()?;
    Ok(distances.f_sum(Kind::Double)?.f_double_value(&[])?)
}
