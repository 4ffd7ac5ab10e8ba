//! Consistency tuning (Geng et al. 2024, "Consistency Models Made Easy").

use inkdrop_torch::tch::Tensor;
use inkdrop_torch::to_device_async;
use serde::{Deserialize, Serialize};

use super::{ConsistencyBatch, Denoise, numbers};
use crate::ProcessError;

/// Consistency tuning: a diffusion model becomes a consistency model. The target r of noise level t is
/// t·(1 − n(t)/q^(stage + 1)), n(t) = 1 + k·sigmoid(−b·t), and at least 0 (Geng et al. 2024).
///
/// In a config: `loss = { consistency-tuning = { q = 256.0 } }`.
///
/// ```
/// use inkdrop_process::ConsistencyTuning;
///
/// let tuning = ConsistencyTuning { q: 2.0, k: 0.0, ..ConsistencyTuning::default() };
/// assert_eq!(tuning.target(8.0), 4.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsistencyTuning {
    /// q, by which a stage divides the relative distance of t and r; > 1. The paper has 2 with stages, and
    /// 256 without.
    pub q: f64,
    /// The first stage; 0 by default.
    pub stage: u32,
    /// Steps after which the next stage begins; `None`, the default, for one stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_steps: Option<usize>,
    /// k; ≥ 0, 8 in the paper. 0 makes the relative distance the same at all levels.
    pub k: f64,
    /// b; 1 in the paper.
    pub b: f64,
    /// c of the metric √(d² + c²) − c; ≥ 0, 0 in the paper.
    pub c: f64,
}

impl Default for ConsistencyTuning {
    /// One stage with q = 256.
    fn default() -> Self {
        Self { q: 256.0, stage: 0, stage_steps: None, k: 8.0, b: 1.0, c: 0.0 }
    }
}

impl ConsistencyTuning {
    /// Validates the numbers.
    pub(super) fn check(&self) -> Result<(), ProcessError> {
        let refuse = |field, given, expected| Err(ProcessError::Field { field, given, expected });
        let Self { q, k, b, c, .. } = *self;
        if !(q > 1.0 && q.is_finite()) {
            return refuse("q", q, "a finite number above 1");
        }
        for (field, given) in [("k", k), ("b", b), ("c", c)] {
            if !(given >= 0.0 && given.is_finite()) {
                return refuse(field, given, "a finite number, 0 or above");
            }
        }
        match self.stage_steps {
            Some(0) => refuse("stage_steps", 0.0, "1 or more"),
            _ => Ok(()),
        }
    }

    /// The tuning in the stage of a step.
    pub(super) fn at_step(self, step: usize) -> Self {
        let later = self.stage_steps.map_or(0, |steps| step / steps);
        let stage = self.stage.saturating_add(u32::try_from(later).unwrap_or(u32::MAX));
        Self { stage, ..self }
    }

    /// The noise level r of the target; at most (1 − 10⁻⁶)·t, since in later stages f32 knows no difference
    /// of the images, and at last f64 none of t and r.
    ///
    /// - sigma: noise level t; > 0
    pub fn target(&self, sigma: f64) -> f64 {
        let power = f64::from(self.stage) + 1.0;
        let sigmoid = 1.0 / (1.0 + (self.b * sigma).exp());
        let gap = self.q.powf(-power) * (1.0 + self.k * sigmoid);
        sigma * (1.0 - gap.clamp(1e-6, 1.0))
    }

    /// The loss of each image, `[B]`: (√(‖D(x_t; t) − D(x_r; r)‖² + c²) − c)/(t − r), where the target is
    /// x0 at r = 0 (Geng et al. 2024).
    ///
    /// - target: without gradient
    ///
    /// # Errors
    /// Those of the denoisers.
    pub fn loss(
        &self,
        batch: ConsistencyBatch<'_>,
        student: Denoise<'_>,
        target: Denoise<'_>,
    ) -> Result<Tensor, ProcessError> {
        let ConsistencyBatch { x0, sigmas, targets, .. } = batch;
        let given = student(&batch.noisy(sigmas)?, sigmas)?;
        // A denoiser has no noise level 0: such images take part with t, and are replaced.
        let pairs = sigmas.iter().zip(targets);
        let levels: Vec<f64> = pairs.map(|(&t, &r)| if r > 0.0 { r } else { t }).collect();
        let expected = target(&batch.noisy(&levels)?, &levels)?;
        let one_if = |holds: fn(f64) -> bool| {
            let flags: Vec<f64> = targets.iter().map(|&r| f64::from(holds(r))).collect();
            numbers(&flags, x0)
        };
        let noisy = expected.f_mul(&one_if(|r| r > 0.0)?)?;
        let expected = noisy.f_add(&x0.f_mul(&one_if(|r| r == 0.0)?)?)?;

        let squares = given.f_sub(&expected)?.f_square()?.f_flatten(1, -1)?;
        let squares = squares.f_sum_dim_intlist(1, false, squares.kind())?;
        // At 0 the root has no gradient.
        let distance = squares.f_add_scalar(self.c * self.c)?.f_clamp_min(1e-30)?.f_sqrt()?;
        let gaps: Vec<f64> = sigmas.iter().zip(targets).map(|(t, r)| 1.0 / (t - r)).collect();
        let gaps = Tensor::f_from_slice(&gaps)?.f_to_kind(distance.kind())?;
        Ok(distance.f_sub_scalar(self.c)?.f_mul(&to_device_async(&gaps, x0.device())?)?)
    }
}
