//! How fast each solver's error falls with its steps.

use inkdrop_process::{Prediction, ProcessError};
use inkdrop_sampler::{
    Churn, Deis, Denoiser, DpmSolver, SaSolver, Sampler, SecondOrder, SolverVariable, Tau,
    TauRange, UniPc,
};
use inkdrop_schedule::solver_coefficients::BKind;
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, SolverStep, sigmas};
use inkdrop_torch::NoiseTape;
use inkdrop_torch::tch::Tensor;

use crate::support::{F64, Mixture, largest, levels, schedule, silence, slope};

const STEPS: [usize; 4] = [24, 48, 96, 192];

fn path(steps: usize) -> SamplingSchedule {
    levels(sigmas::exponential(steps + 1, 0.05, 40.0).unwrap())
}

/// The largest error along the probability flow of the mixture, whose solution is exact.
fn error(sampler: Sampler, steps: usize) -> f64 {
    let (model, path) = (Mixture::two(), path(steps));
    let starts: Vec<f64> = (-4..=4).map(|i| f64::from(i) * 0.5).collect();
    let (from, to) = (path.start(), path.steps()[steps - 1].to);
    let exact: Vec<f64> = starts.iter().map(|&x| model.flow(x, from, to)).collect();
    let x = Tensor::from_slice(&starts).view([-1, 1, 1, 1]);
    let ours = sampler.sample(&model, &schedule(), &path, x, &mut silence()).unwrap();
    largest(&(ours.view(-1) - Tensor::from_slice(&exact)))
}

fn check(name: &str, sampler: Sampler, order: f64) {
    let points = STEPS.map(|steps| (steps, error(sampler, steps)));
    let order_seen = -slope(&points);
    assert!((order_seen - order).abs() < 0.35, "{name}: order {order_seen}, {points:?}");
}

fn deis(order: usize) -> Sampler {
    Sampler::Deis(Deis { order, lower_order_final: false })
}

/// SA-Solver on predicted x0.
fn sa_solver(predictor: usize, corrector: usize, tau: Tau) -> Sampler {
    let lower_order_final = false;
    Sampler::SaSolver(SaSolver { predictor, corrector, tau, lower_order_final, ..SaSolver::IMAGES })
}

/// SA-Solver on predicted ε.
fn sa_solver_of_noise(predictor: usize, corrector: usize, tau: Tau) -> Sampler {
    let variable = SolverVariable::NoisePrediction;
    let lower_order_final = false;
    Sampler::SaSolver(SaSolver { predictor, corrector, variable, tau, lower_order_final })
}

#[test]
fn first_order_solvers_halve_their_error() {
    check("ddim", Sampler::DDIM, 1.0);
    check("euler", Sampler::Euler, 1.0);
    check("lms of order 1", Sampler::Lms { order: 1 }, 1.0);
    check("deis of order 1", deis(1), 1.0);
    check("sa-solver of order 1", sa_solver(1, 0, Tau::ZERO), 1.0);
    check("dpm++ of order 1", Sampler::Dpm(DpmSolver { order: 1, ..DpmSolver::PP_2M }), 1.0);
}

#[test]
fn second_order_solvers_quarter_their_error() {
    check("heun", Sampler::Heun, 2.0);
    check("dpm-solver-2", Sampler::Dpm2, 2.0);
    check("lms of order 2", Sampler::Lms { order: 2 }, 2.0);
    check("plms", Sampler::Plms, 2.0);
    check("pndm", Sampler::Pndm, 2.0);
    check("ipndm", Sampler::Ipndm, 2.0);
    check("flow-heun", Sampler::FlowHeun, 2.0);
    check("dpm2-ancestral without noise", Sampler::Dpm2Ancestral { eta: 0.0 }, 2.0);
    check("deis-2", deis(2), 2.0);
    check("sa-predictor of order 2", sa_solver(2, 0, Tau::ZERO), 2.0);
    check("sa-predictor of order 2 on noise", sa_solver_of_noise(2, 0, Tau::ZERO), 2.0);
    check("sa-corrector of order 2", sa_solver(1, 2, Tau::ZERO), 2.0);
    for of in [SolverVariable::DataPrediction, SolverVariable::NoisePrediction] {
        for second in [SecondOrder::Midpoint, SecondOrder::Heun] {
            let dpm = DpmSolver { variable: of, second, ..DpmSolver::PP_2M };
            check(&format!("{dpm:?}"), Sampler::Dpm(dpm), 2.0);
            check(&format!("singlestep {dpm:?}"), Sampler::DpmSinglestep(dpm), 2.0);
        }
    }
}

#[test]
fn third_order_solvers_divide_their_error_by_eight() {
    check("lms of order 3", Sampler::Lms { order: 3 }, 3.0);
    check("deis-3", deis(3), 3.0);
    check("sa-predictor of order 3", sa_solver(3, 0, Tau::ZERO), 3.0);
    check("sa-predictor of order 3 on noise", sa_solver_of_noise(3, 0, Tau::ZERO), 3.0);
    check("sa-corrector of order 3", sa_solver(2, 3, Tau::ZERO), 3.0);
    check("sa-corrector of order 3 on noise", sa_solver_of_noise(2, 3, Tau::ZERO), 3.0);
    for of in [SolverVariable::DataPrediction, SolverVariable::NoisePrediction] {
        let dpm = DpmSolver { variable: of, ..DpmSolver::PP_3M };
        check(&format!("{dpm:?}"), Sampler::Dpm(dpm), 3.0);
        // All these numbers of steps are multiples of 3, where a lower last order would be seen.
        let exact = DpmSolver { variable: of, lower_order_final: false, ..DpmSolver::PP_3S };
        check(&format!("singlestep {exact:?}"), Sampler::DpmSinglestep(exact), 3.0);
        // The other form is of third order where a group's last node is at ⅔, as on these even levels.
        let midpoint = DpmSolver { second: SecondOrder::Midpoint, ..exact };
        check(&format!("singlestep {midpoint:?}"), Sampler::DpmSinglestep(midpoint), 3.0);
    }
}

/// The corrector adds one order to that of the predictor.
#[test]
fn unipc_is_one_order_better_than_its_predictor() {
    for of in [SolverVariable::DataPrediction, SolverVariable::NoisePrediction] {
        for b in [BKind::Bh1, BKind::Bh2] {
            for order in [1, 2, 3] {
                let config = UniPc {
                    order,
                    b,
                    variable: of,
                    lower_order_final: false,
                    disable_corrector: 0,
                };
                // The first steps of order 3 are of lower orders, and leave it at 3.
                let corrected = (order as f64 + 1.0).min(3.0);
                check(&format!("{config:?}"), Sampler::UniPc(config), corrected);
                let alone = UniPc { disable_corrector: usize::MAX, ..config };
                check(&format!("{alone:?}"), Sampler::UniPc(alone), order as f64);
            }
        }
    }
}

/// For Gaussian data every step is linear in x and in its noise, so that the mean and the variance
/// of what comes out follow from the response to each of them, without sampling.
fn spread(sampler: Sampler, steps: usize) -> (f64, f64) {
    let (model, path) = (Mixture::gaussian(0.3, 0.5), path(steps));
    let rows = steps as i64 + 2; // nothing, x alone, and each draw alone
    let mut start = Tensor::zeros([rows, 1, 1, 1], F64);
    let from = path.start();
    let _ = start.get(1).fill_(1.0);
    let draws =
        Tensor::cat(&[Tensor::zeros([steps as i64, 2], F64), Tensor::eye(steps as i64, F64)], 1);
    let mut noise = NoiseTape::new(draws.view([steps as i64, rows, 1, 1, 1]));
    start += from.signal() * 0.3; // the mean of x at the start
    let spread = (from.alpha_cumprod * 0.25 + 1.0 - from.alpha_cumprod).sqrt();
    let out = sampler.sample(&model, &schedule(), &path, start, &mut noise).unwrap();
    let out: Vec<f64> = out.view(-1).try_into().unwrap();
    let mean = out[0];
    let responses = out[1..].iter().enumerate();
    let variance: f64 = responses
        .map(|(i, x)| (x - mean).powi(2) * if i == 0 { spread * spread } else { 1.0 })
        .sum();
    (mean, variance.sqrt())
}

fn error_of_spread(sampler: Sampler, steps: usize) -> f64 {
    let to = path(steps).steps()[steps - 1].to;
    let exact = (to.alpha_cumprod * 0.25 + 1.0 - to.alpha_cumprod).sqrt();
    (spread(sampler, steps).1 - exact).abs()
}

fn check_spread(name: &str, sampler: Sampler, order: f64) {
    let points = STEPS.map(|steps| (steps, error_of_spread(sampler, steps)));
    let seen = -slope(&points);
    assert!((seen - order).abs() < 0.35, "{name}: order {seen}, {points:?}");
    let (mean, _) = spread(sampler, 48);
    let exact = path(48).steps()[47].to.signal() * 0.3;
    assert!((mean - exact).abs() < 1e-9, "{name}: mean {mean}");
}

#[test]
fn stochastic_solvers_find_the_spread_of_the_data_with_their_order() {
    check_spread("ddpm", Sampler::Ddpm, 1.0);
    check_spread("ddim, eta 1", Sampler::Ddim { eta: 1.0 }, 1.0);
    check_spread("ddim, eta 0.5", Sampler::Ddim { eta: 0.5 }, 1.0);
    check_spread("euler-ancestral", Sampler::EulerAncestral { eta: 1.0 }, 1.0);
    check_spread("dpm++2m-sde", Sampler::Dpm(DpmSolver::PP_2M_SDE), 2.0);
    // Predictions along a noisy way are not smooth; the third order's weak order is the second's.
    check_spread("dpm++3m-sde", Sampler::Dpm(DpmSolver::PP_3M_SDE), 2.0);
    let heun = DpmSolver { second: SecondOrder::Heun, ..DpmSolver::PP_2M_SDE };
    check_spread("dpm++2m-sde, heun", Sampler::Dpm(heun), 2.0);
    let noise = DpmSolver { variable: SolverVariable::NoisePrediction, ..DpmSolver::PP_2M_SDE };
    check_spread("dpm2m-sde", Sampler::Dpm(noise), 2.0);
    let churn = Churn { churn: 2.0, min: 0.0, max: 50.0, noise: 1.0 };
    check_spread("edm", Sampler::Edm(churn), 2.0);
    check_spread("edm-euler", Sampler::EdmEuler(churn), 1.0);
    check_spread("dpm2-ancestral", Sampler::Dpm2Ancestral { eta: 1.0 }, 2.0);
    let tau = Tau { value: 1.0, range: TauRange::Sigmas(0.0, 100.0) };
    check_spread("sa-solver of order 1", sa_solver(1, 0, tau), 1.0);
    check_spread("sa-solver of order 2", sa_solver(2, 0, tau), 2.0);
    check_spread("sa-solver of order 2 on noise", sa_solver_of_noise(2, 0, tau), 2.0);
    check_spread("sa-solver with its corrector", sa_solver(2, 2, tau), 2.0);
}

/// The third order as it is released is of second order.
#[test]
fn the_published_third_order_is_of_second_order() {
    let published = |dpm| DpmSolver { published_third: true, ..dpm };
    check("published 3m", Sampler::Dpm(published(DpmSolver::PP_3M)), 2.0);
    let error = |dpm| error_of_spread(Sampler::Dpm(dpm), 96);
    assert!(error(published(DpmSolver::PP_3M_SDE)) > 20.0 * error(DpmSolver::PP_3M_SDE));
}

/// Data that depends on the noise level alone, so that a step follows from x and the last levels.
struct Wave;

impl Wave {
    fn x0(level: NoiseLevel) -> f64 {
        (1.3 * level.lambda()).cos()
    }
}

impl Denoiser for Wave {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        Prediction::from_x0(x.full_like(Self::x0(step.from)), x, step)
    }
}

/// x after a step of order 1 (Lu et al. 2022b, eq. 9), or 2 with the level before (algorithm 2).
fn stepped(x: f64, step: &SolverStep, before: Option<NoiseLevel>) -> f64 {
    let (from, to) = (step.from, step.to);
    let slope = before.map_or(0.0, |before| {
        let change = Wave::x0(from) - Wave::x0(before);
        change / (from.lambda() - before.lambda())
    });
    let h = to.lambda() - from.lambda();
    let x0 = Wave::x0(from) + if slope == 0.0 { 0.0 } else { slope * h / 2.0 };
    to.noise() / from.noise() * x - to.signal() * (-h).exp_m1() * x0
}

/// The order of each step: 1, 2, or 3 where it is neither.
fn orders(sampler: Sampler, path: &SamplingSchedule) -> Vec<usize> {
    let schedule = schedule();
    let mut x = 0.7;
    let start = Tensor::from_slice(&[x]).view([1, 1, 1, 1]);
    let run = sampler.steps(Wave, &schedule, path, start, silence()).unwrap();
    let order = |state: inkdrop_sampler::StepState| {
        let step = path.steps()[state.index];
        let before = state.index.checked_sub(1).map(|before| path.steps()[before].from);
        let ours = state.x.double_value(&[0, 0, 0, 0]);
        let is = |expected: f64| (ours - expected).abs() < 1e-9;
        let (first, second) = (stepped(x, &step, None), stepped(x, &step, before));
        x = ours;
        match (is(first), is(second)) {
            (true, _) => 1,
            (_, true) => 2,
            _ => 3,
        }
    };
    run.map(Result::unwrap).map(order).collect()
}

/// A path whose last step is not to clean data, and one whose last step is.
fn ends(steps: usize) -> [SamplingSchedule; 2] {
    // Uneven in λ.
    let open = levels(sigmas::karras(steps + 1, 0.05, 40.0, 5.0).unwrap());
    let mut levels: Vec<NoiseLevel> = open.steps().iter().map(|step| step.from).collect();
    levels.push(NoiseLevel::NOISELESS);
    [open, SamplingSchedule::from_levels(&levels).unwrap()]
}

/// The orders of the first and the last two steps; all between have the order of the solver.
fn check_orders(sampler: Sampler, order: usize, path: &SamplingSchedule, last: [usize; 2]) {
    let ours = orders(sampler, path);
    let mut expected: Vec<usize> = (1..=path.len()).map(|step| step.min(order)).collect();
    expected[path.len() - 2..].copy_from_slice(&last);
    assert_eq!(ours, expected, "{sampler:?} in {} steps", path.len());
}

/// Few steps end with lower orders, for stability; many do not. A step to clean data has order 1.
#[test]
fn orders_rise_at_the_start_and_fall_at_the_end() {
    for (dpm, order) in [(DpmSolver::PP_2M, 2), (DpmSolver::PP_3M, 3)] {
        let constant = DpmSolver { lower_order_final: false, ..dpm };
        let euler = DpmSolver { euler_at_final: true, ..constant };
        for steps in [8, 14, 15, 20] {
            let [open, closed] = ends(steps);
            let few = if steps < 15 { [2, 1] } else { [order, order] };
            check_orders(Sampler::Dpm(dpm), order, &open, few);
            check_orders(Sampler::Dpm(dpm), order, &closed, [few[0], 1]);
            check_orders(Sampler::Dpm(constant), order, &open, [order, order]);
            check_orders(Sampler::Dpm(constant), order, &closed, [order, 1]);
            check_orders(Sampler::Dpm(euler), order, &open, [order, 1]);
        }
    }
    for order in [2, 3] {
        let variable = SolverVariable::DataPrediction;
        let unipc = UniPc { order, variable, disable_corrector: usize::MAX, ..UniPc::default() };
        let constant = UniPc { lower_order_final: false, ..unipc };
        for steps in [8, 20] {
            let [open, closed] = ends(steps);
            check_orders(Sampler::UniPc(unipc), order, &open, [2, 1]);
            check_orders(Sampler::UniPc(unipc), order, &closed, [2, 1]);
            check_orders(Sampler::UniPc(constant), order, &open, [order, order]);
            check_orders(Sampler::UniPc(constant), order, &closed, [order, 1]);
        }
    }
}
