//! UniPC: unified predictor-corrector sampler (Zhao et al. 2023).

use inkdrop_process::Denoiser;
use inkdrop_schedule::solver_coefficients::{BKind, unipc_weights};
use inkdrop_schedule::{NoiseLevel, SamplingSchedule};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{History, NoNoise, combine};
use crate::{
    SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput, SolverVariable,
};

/// Config of UniPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniPc {
    /// Order of the predictor, 1 to 3.
    pub order: usize,
    /// The function B(h).
    pub b: BKind,
    /// The variable that is extrapolated.
    pub variable: SolverVariable,
    /// Lowers the order of the last steps.
    pub lower_order_final: bool,
    /// Number of first steps without the corrector, which can be unstable with strong guidance.
    pub disable_corrector: usize,
}

impl Default for UniPc {
    /// UniPC-2 with B₂ on predicted x0, as in diffusers.
    fn default() -> Self {
        let (variable, b) = (SolverVariable::DataPrediction, BKind::Bh2);
        Self { order: 2, b, variable, lower_order_final: true, disable_corrector: 0 }
    }
}

impl UniPc {
    /// Order of a step: limited by the predictions so far and by the steps left.
    fn order_at(&self, step: ScheduledStep<'_>) -> usize {
        let max = match self.lower_order_final {
            true => self.order.min(step.remaining()),
            false => self.order,
        };
        if step.to.is_noiseless() { 1 } else { max.min(step.index() + 1) }
    }
}

/// The UniPC solver: a predictor of the given order, and a corrector of one order more that reuses the
/// network call of the next step (Zhao et al. 2023, algorithms 5 to 8).
pub struct UniPcSolver {
    config: UniPc,
    history: History,
    /// x before the last step, and the order of that step.
    last: Option<(Tensor, usize)>,
}

impl UniPcSolver {
    /// # Errors
    /// An order outside 1 to 3.
    pub fn new(config: UniPc) -> Result<Self, SamplerError> {
        SamplerError::check_order("unipc", config.order, 3)?;
        Ok(Self { config, history: History::new(config.order + 1), last: None })
    }

    fn update(&self, end: NoiseLevel, order: usize) -> Update<'_> {
        Update { config: self.config, history: &self.history, end, order }
    }
}

impl Solver for UniPcSolver {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        let value = self.config.variable.of(&prediction);
        let unchanged = || Ok(x.shallow_clone());
        let last = self.last.take().filter(|_| step.index() > self.config.disable_corrector);
        let corrected = last.map_or_else(unchanged, |(start, order)| {
            self.update(step.from, order).apply(&start, Some(&value))
        })?;
        self.history.push(step.from, value);
        let order = self.config.order_at(step).min(self.history.len());
        let next = self.update(step.to, order).apply(&corrected, None)?;
        self.last = Some((corrected, order));
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// Samples with [`UniPcSolver`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn unipc(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    config: UniPc,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, UniPcSolver::new(config)?, schedule, x, NoNoise).finish()
}

/// The update of x from the newest prediction in the history to the level `end`.
struct Update<'a> {
    config: UniPc,
    history: &'a History,
    end: NoiseLevel,
    order: usize,
}

impl Update<'_> {
    /// The predictor; with the prediction at `end` it is the corrector.
    fn apply(&self, x: &Tensor, at_end: Option<&Tensor>) -> Result<Tensor, SamplerError> {
        let (start, newest) = (self.history.level(0), self.history.value(0));
        let h = self.end.lambda() - start.lambda();
        if h == 0.0 {
            return Ok(x.shallow_clone());
        }
        let (coef_x, scale, length) = match self.config.variable {
            SolverVariable::DataPrediction => {
                (self.end.noise() / start.noise(), self.end.signal(), -h)
            }
            SolverVariable::NoisePrediction if self.end.is_noiseless() => {
                return combine(&[(1.0 / start.signal(), x), (-start.sigma(), newest)]);
            }
            SolverVariable::NoisePrediction => {
                (self.end.signal() / start.signal(), self.end.noise(), h)
            }
        };
        let mut terms = vec![(coef_x, x), (-scale * length.exp_m1(), newest)];
        let differences = self.differences(h, newest, at_end)?;
        let ratios: Vec<f64> = differences.iter().map(|(ratio, _)| *ratio).collect();
        let weights = self.weights(&ratios, length);
        let scale = -scale * self.config.b.of(length);
        let scaled = weights.iter().zip(&differences).map(|(w, (_, d))| (scale * w, d));
        terms.extend(scaled);
        combine(&terms)
    }

    /// r_m and D_m = (prediction − newest)/r_m of the predictions that the order uses.
    fn differences(
        &self,
        h: f64,
        newest: &Tensor,
        at_end: Option<&Tensor>,
    ) -> Result<Vec<(f64, Tensor)>, SamplerError> {
        let start = self.history.level(0).lambda();
        let mut differences = Vec::with_capacity(self.order);
        for (level, value) in self.history.iter().take(self.order).skip(1) {
            let ratio = (level.lambda() - start) / h;
            differences.push((ratio, combine(&[(1.0 / ratio, value), (-1.0 / ratio, newest)])?));
        }
        if let Some(value) = at_end {
            differences.push((1.0, combine(&[(1.0, value), (-1.0, newest)])?));
        }
        Ok(differences)
    }

    /// The coefficients of the differences; a single one is ½, as in the authors' code.
    fn weights(&self, ratios: &[f64], length: f64) -> Vec<f64> {
        match ratios.len() {
            0 => Vec::new(),
            1 => vec![0.5],
            _ => unipc_weights(ratios, length, self.config.b),
        }
    }
}
