//! Consistency mid-training (Hu et al. 2025, "CMT: Mid-Training for Efficient Learning of Consistency, Mean
//! Flow, and Flow Map Models").

use inkdrop_torch::tch::Tensor;
use serde::{Deserialize, Serialize};

use super::grid::MOST_LEVELS;
use super::{Denoise, neighbours};
use crate::ProcessError;

/// Distance of a predicted image and the end of a trajectory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrajectoryMetric {
    /// √Σd², the Euclidean distance.
    #[default]
    Norm,
    /// Σd².
    SquaredNorm,
}

/// The points of a trajectory on which an image trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrajectoryPoints {
    /// All points.
    #[default]
    All,
    /// One point, by the image's quantile of the noise: a batch takes the memory of any other loss.
    One,
}

/// Consistency mid-training: at every point of a trajectory of the teacher, the student predicts its end.
/// It prepares a diffusion model for [`ConsistencyTuning`](super::ConsistencyTuning).
///
/// In a config: `loss = { consistency-mid-training = { steps = 16 } }`. A step trains on `steps` points for
/// each image of the batch, or on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsistencyMidTraining {
    /// Steps of the teacher's solver, one network call each; 1 to 65535, 16 in the paper.
    pub steps: usize,
    /// The distance.
    pub metric: TrajectoryMetric,
    /// The points of a trajectory on which an image trains.
    pub points: TrajectoryPoints,
}

impl Default for ConsistencyMidTraining {
    /// 16 steps, Euclidean distance, all points.
    fn default() -> Self {
        let (metric, points) = (TrajectoryMetric::default(), TrajectoryPoints::default());
        Self { steps: 16, metric, points }
    }
}

impl ConsistencyMidTraining {
    /// Validates the numbers.
    pub(super) fn check(&self) -> Result<(), ProcessError> {
        if !(1..MOST_LEVELS).contains(&self.steps) {
            let (given, expected) = (self.steps as f64, "1 to 65535");
            return Err(ProcessError::Field { field: "steps", given, expected });
        }
        Ok(())
    }

    /// The `steps + 1` noise levels of a trajectory, from σ_max to σ_min in equal steps of ln σ.
    ///
    /// - range: σ_min and σ_max
    pub fn sigmas(&self, (min, max): (f64, f64)) -> Vec<f64> {
        let step = (min / max).ln() / self.steps as f64;
        let inner = (1..self.steps).map(|n| max * (n as f64 * step).exp());
        std::iter::once(max).chain(inner).chain([min]).collect()
    }

    /// Number of points on which an image trains.
    pub(super) fn points_of_image(&self) -> usize {
        match self.points {
            TrajectoryPoints::All => self.steps,
            TrajectoryPoints::One => 1,
        }
    }

    /// The noise level that stands for a quantile: that of the image's one point, or the start of its
    /// trajectory.
    pub(super) fn level(&self, u: f64, range: (f64, f64)) -> f64 {
        match self.points {
            TrajectoryPoints::All => range.1,
            TrajectoryPoints::One => neighbours(&self.sigmas(range), u).0,
        }
    }

    /// The probability flow of the teacher by DPM-Solver++ (Lu et al. 2022b): the states at all noise
    /// levels but the last, and the end of the trajectory.
    ///
    /// The order is 3, or less where fewer predictions or fewer steps are left.
    ///
    /// - x: at σ_max, x0 + σ_max·ε, [B, C, H, W]
    /// - range: σ_min and σ_max
    ///
    /// # Errors
    /// `steps` is 0, or those of the teacher.
    pub fn trajectory(
        &self,
        teacher: Denoise<'_>,
        x: Tensor,
        range: (f64, f64),
    ) -> Result<(Vec<Tensor>, Tensor), ProcessError> {
        self.check()?;
        let (mut x, mut states, mut predictions) = (x, Vec::new(), Vec::new());
        let images = x.size().first().map_or(0, |&images| images as usize);
        for (index, pair) in self.sigmas(range).windows(2).enumerate() {
            predictions.push(teacher(&x, &vec![pair[0]; images])?);
            let order = 3.min(index + 1).min(self.steps - index);
            let next = multistep(&x, (pair[0], pair[1]), &predictions[index + 1 - order..])?;
            states.push(std::mem::replace(&mut x, next));
        }
        Ok((states, x))
    }

    /// The loss of each row, `[R]`.
    ///
    /// # Shapes
    /// - predicted, end: [R, C, H, W]
    ///
    /// # Errors
    /// The shapes differ.
    pub fn loss(&self, predicted: &Tensor, end: &Tensor) -> Result<Tensor, ProcessError> {
        let squares = predicted.f_sub(end)?.f_square()?.f_flatten(1, -1)?;
        let sums = squares.f_sum_dim_intlist(1, false, squares.kind())?;
        match self.metric {
            TrajectoryMetric::SquaredNorm => Ok(sums),
            // At 0 the root has no gradient.
            TrajectoryMetric::Norm => Ok(sums.f_clamp_min(1e-30)?.f_sqrt()?),
        }
    }
}

/// A step of DPM-Solver++ whose previous steps had the same length in ln σ (Lu et al. 2022a, appendix B, for
/// predicted x0).
///
/// - predictions: of x0, the newest last; as many as the order, 1 to 3
fn multistep(
    x: &Tensor,
    (from, to): (f64, f64),
    predictions: &[Tensor],
) -> Result<Tensor, ProcessError> {
    let h = (from / to).ln();
    let phi_1 = (-h).exp_m1();
    let phi_2 = phi_1 / h + 1.0;
    let phi_3 = phi_2 / h - 0.5;
    // The coefficients of the newest prediction, the one before, and the one before that.
    let coefs: &[f64] = match predictions.len() {
        1 => &[-phi_1],
        2 => &[-1.5 * phi_1, 0.5 * phi_1],
        _ => &[-phi_1 + 1.5 * phi_2 - 0.5 * phi_3, -2.0 * phi_2 + phi_3, 0.5 * phi_2 - 0.5 * phi_3],
    };
    let mut next = x.f_mul_scalar(to / from)?;
    for (prediction, coef) in predictions.iter().rev().zip(coefs) {
        next = next.f_add(&prediction.f_mul_scalar(*coef)?)?;
    }
    Ok(next)
}
