//! Sampling schedules that are fitted to a model (Chen et al. 2024, "On the Trajectory Regularity of ODE-based
//! Diffusion Sampling").

use inkdrop_process::Denoiser;
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
    /// steps: the distance from where the flow is, in the scale of x0 + σ·ε.
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
            x = combine(&[(step.to.signal(), &prediction.x0), (step.to.noise(), &prediction.eps)])?;
            flow.push(x.f_div_scalar(step.to.signal()).map_err(TorchError::from)?);
            predictions.push(prediction);
        }
        for (from, prediction) in predictions.iter().enumerate() {
            for (to, exact) in flow.iter().enumerate().skip(from) {
                let sigma = self.fine.steps()[to].to.sigma();
                let reached = combine(&[(1.0, &prediction.x0), (sigma, &prediction.eps)])?;
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
        Ok(path.iter().skip(1).rev().map(|&level| self.fine.steps()[level].from).collect())
    }
}

/// Sum over the images of the Euclidean distance.
fn total_distance(a: &Tensor, b: &Tensor) -> Result<f64, TorchError> {
    let squares = a.f_sub(b)?.f_to_kind(Kind::Double)?.f_square()?.f_flatten(1, -1)?;
    let distances = squares.f_sum_dim_intlist(1, false, Kind::Double)?.f_sqrt()?;
    Ok(distances.f_sum(Kind::Double)?.f_double_value(&[])?)
}
