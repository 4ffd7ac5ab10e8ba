//! One network call a step, used twice: to correct the last step and to predict the next.

use std::collections::VecDeque;

use inkdrop_process::{Prediction, Predictor};
use inkdrop_schedule::solver::{BKind, unipc_weights};
use inkdrop_schedule::{Level, Path};
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::dpm::Extrapolated;
use crate::step::{combine, report};
use crate::{OnStep, SamplerError};

/// Which UniPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniPc {
    /// 1 to 3.
    pub order: usize,
    /// Which B(h).
    pub b: BKind,
    /// What is extrapolated.
    pub of: Extrapolated,
    /// Whether the last steps are of lower order.
    pub lower_order_final: bool,
    /// The first steps that are not corrected; strong guidance can make them worse.
    pub uncorrected: usize,
}

impl Default for UniPc {
    /// UniPC-2 with B₂ on the predicted image, as in diffusers.
    fn default() -> Self {
        let (of, b) = (Extrapolated::Image, BKind::Bh2);
        Self { order: 2, b, of, lower_order_final: true, uncorrected: 0 }
    }
}

/// UniPC: a predictor of the order asked for, and a corrector of one order more that costs no
/// network call of its own (Zhao et al. 2023, algorithms 5 to 8).
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// An order outside 1 to 3, the network cannot take x, or x stops being finite.
pub fn unipc(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    config: UniPc,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    SamplerError::order("unipc", config.order, 3)?;
    let _guard = no_grad_guard();
    let mut past: VecDeque<(Level, Tensor)> = VecDeque::new(); // the newest first
    let mut last: Option<(Tensor, usize)> = None; // x before the last step, and its order
    for (i, leg) in path.legs().iter().enumerate() {
        let prediction = model.predict(&x, leg)?;
        let said = config.said(&prediction);
        if let Some((start, order)) = last.filter(|_| i > config.uncorrected) {
            let step = Step { config, past: &past, end: leg.from, order };
            x = step.take(&start, Some(&said))?;
        }
        // A level that is visited twice is one node, with its newest prediction.
        if past.front().is_some_and(|(level, _)| level.lambda() == leg.from.lambda()) {
            past.pop_front();
        }
        past.push_front((leg.from, said));
        past.truncate(config.order + 1);
        let order = config.order_at(i, path).min(past.len());
        let next = Step { config, past: &past, end: leg.to, order }.take(&x, None)?;
        last = Some((x, order));
        x = next;
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}

impl UniPc {
    fn said(&self, prediction: &Prediction) -> Tensor {
        match self.of {
            Extrapolated::Image => prediction.x0.shallow_clone(),
            Extrapolated::Noise => prediction.eps.shallow_clone(),
        }
    }

    /// The order of step `i`: no more than there are predictions, or steps left.
    fn order_at(&self, i: usize, path: &Path) -> usize {
        let left = path.steps() - i;
        let clean = path.legs()[i].to.is_clean();
        let most = if self.lower_order_final { self.order.min(left) } else { self.order };
        if clean { 1 } else { most.min(i + 1) }
    }
}

/// One step from the newest of the past predictions to `end`.
struct Step<'a> {
    config: UniPc,
    past: &'a VecDeque<(Level, Tensor)>,
    end: Level,
    order: usize,
}

impl Step<'_> {
    /// The step from x; with the prediction at its end it is the corrector.
    fn take(&self, x: &Tensor, at_end: Option<&Tensor>) -> Result<Tensor, SamplerError> {
        let (start, newest) = &self.past[0];
        let h = self.end.lambda() - start.lambda();
        if h == 0.0 {
            return Ok(x.shallow_clone());
        }
        let (of_x, scale, length) = match self.config.of {
            Extrapolated::Image => (self.end.noise() / start.noise(), self.end.signal(), -h),
            Extrapolated::Noise if self.end.is_clean() => {
                return combine(&[(1.0 / start.signal(), x), (-start.sigma(), newest)]);
            }
            Extrapolated::Noise => (self.end.signal() / start.signal(), self.end.noise(), h),
        };
        let mut terms = vec![(of_x, x), (-scale * length.exp_m1(), newest)];
        let differences = self.differences(h, newest, at_end)?;
        let ratios: Vec<f64> = differences.iter().map(|(ratio, _)| *ratio).collect();
        let weights = self.weights(&ratios, length);
        let scale = -scale * self.config.b.of(length);
        let scaled = weights.iter().zip(&differences).map(|(w, (_, d))| (scale * w, d));
        terms.extend(scaled);
        combine(&terms)
    }

    /// D_m = (prediction − newest)/r_m and r_m, for those that the order takes.
    fn differences(
        &self,
        h: f64,
        newest: &Tensor,
        at_end: Option<&Tensor>,
    ) -> Result<Vec<(f64, Tensor)>, SamplerError> {
        let start = self.past[0].0.lambda();
        let mut differences = Vec::with_capacity(self.order);
        for (level, said) in self.past.iter().take(self.order).skip(1) {
            let ratio = (level.lambda() - start) / h;
            differences.push((ratio, combine(&[(1.0 / ratio, said), (-1.0 / ratio, newest)])?));
        }
        if let Some(said) = at_end {
            differences.push((1.0, combine(&[(1.0, said), (-1.0, newest)])?));
        }
        Ok(differences)
    }

    /// The weights; where there is one they are taken as ½, as the authors do.
    fn weights(&self, ratios: &[f64], length: f64) -> Vec<f64> {
        match ratios.len() {
            0 => Vec::new(),
            1 => vec![0.5],
            _ => unipc_weights(ratios, length, self.config.b),
        }
    }
}
