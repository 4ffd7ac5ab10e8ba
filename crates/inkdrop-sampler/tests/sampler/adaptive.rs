//! The adaptive DPM-Solver.

use std::cell::Cell;

use inkdrop_process::{Prediction, ProcessError};
use inkdrop_sampler::{Denoiser, DpmAdaptive, Sampler, SamplerError};
use inkdrop_schedule::SolverStep;
use inkdrop_torch::tch::Tensor;

use crate::support::{Mixture, largest, levels, schedule, silence, slope};

const ENDS: [f64; 2] = [40.0, 0.05];

/// Counts the calls of the mixture.
struct Counting(Mixture, Cell<usize>);

impl Denoiser for Counting {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        self.1.set(self.1.get() + 1);
        self.0.denoise(x, step)
    }
}

/// The error along the exact probability flow of the mixture, and the number of network calls.
fn error_and_calls(config: DpmAdaptive, sigmas: &[f64]) -> (f64, usize) {
    let (model, path) = (Counting(Mixture::two(), Cell::default()), levels(sigmas.iter().copied()));
    let starts: Vec<f64> = (-4..=4).map(|i| f64::from(i) * 0.5).collect();
    let (from, to) = (path.start(), path.steps()[path.len() - 1].to);
    let exact: Vec<f64> = starts.iter().map(|&x| model.0.flow(x, from, to)).collect();
    let x = Tensor::from_slice(&starts).view([-1, 1, 1, 1]);
    let sampler = Sampler::DpmAdaptive(config);
    let ours = sampler.sample(&model, &schedule(), &path, x, &mut silence()).unwrap();
    (largest(&(ours.view(-1) - Tensor::from_slice(&exact))), model.1.get())
}

fn with_tolerance(order: usize, tolerance: f64) -> DpmAdaptive {
    DpmAdaptive { order, rtol: tolerance, atol: tolerance, ..DpmAdaptive::default() }
}

/// The error falls with the tolerance, and with the number of calls by the order of the solver.
#[test]
fn smaller_tolerances_give_smaller_errors() {
    for (order, tolerances) in [(2, [1e-2, 1e-3, 1e-4, 1e-5]), (3, [1e-2, 1e-3, 1e-4, 1e-5])] {
        let results =
            tolerances.map(|tolerance| error_and_calls(with_tolerance(order, tolerance), &ENDS));
        assert!(results.windows(2).all(|pair| pair[1].0 < pair[0].0), "{order}: {results:?}");
        let points = results.map(|(error, calls)| (calls, error));
        let seen = -slope(&points);
        assert!(seen > order as f64 - 0.3, "order {order}: {seen}, {results:?}");
    }
}

/// k-diffusion's defaults reach the precision of a few dozen calls.
#[test]
fn the_default_tolerance_takes_few_calls() {
    let (error, calls) = error_and_calls(DpmAdaptive::default(), &ENDS);
    assert!(error < 0.02 && calls < 150, "{error}, {calls}");
}

/// The levels of the schedule are met, whatever the step size.
#[test]
fn levels_between_are_met() {
    let config = with_tolerance(3, 1e-5);
    let (error, _) = error_and_calls(config, &[40.0, 6.0, 5.9, 0.7, 0.05]);
    let (direct, _) = error_and_calls(config, &ENDS);
    assert!(error < 1e-4 && direct < 1e-4, "{error} {direct}");
}

#[test]
fn a_network_of_nan_ends_the_run() {
    struct Broken;
    impl Denoiser for Broken {
        fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
            Prediction::from_x0(x * f64::NAN, x, step)
        }
    }
    let (path, x) = (levels(ENDS), Tensor::zeros([1, 1, 2, 2], crate::support::F64));
    let sampler = Sampler::DpmAdaptive(DpmAdaptive::default());
    let result = sampler.sample(&Broken, &schedule(), &path, x, &mut silence());
    assert!(matches!(result, Err(SamplerError::NotFinite { number: 1, total: 1 })));
}
