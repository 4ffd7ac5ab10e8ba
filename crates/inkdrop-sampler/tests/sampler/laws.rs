//! Solvers that are each other.

use std::cell::RefCell;

use inkdrop_process::{Prediction, ProcessError};
use inkdrop_sampler::{
    Churn, Consistency, Deis, Denoiser, DpmAdaptive, DpmSolver, Inversion, SaSolver, Sampler,
    SamplerError, SamplingRun, SolverVariable, Tau, TauRange, UniPc, consistency, ddim,
    ddim_inversion, ddpm, deis, dpm_adaptive, dpm_solver, dpm_solver_2, dpm_solver_2_ancestral,
    dpm_solver_singlestep, edm, edm_euler, euler, euler_ancestral, flow_heun, heun, ipndm, lms,
    plms, pndm, sa_solver, tcd, unipc,
};
use inkdrop_schedule::{LevelSpacing, NoiseLevel, SamplingSchedule, ScheduleConfig, SolverStep};
use inkdrop_torch::tch::Tensor;

use crate::support::{F64, Mixture, largest, normal, schedule, tape};

const SHAPE: [i64; 4] = [2, 1, 4, 4];

fn path(text: &str) -> SamplingSchedule {
    text.parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule()).unwrap()
}

fn start() -> Tensor {
    normal(3, &SHAPE)
}

fn run(sampler: Sampler, path: &SamplingSchedule) -> Tensor {
    let mut noise = tape(path.len() as i64 + 2, &SHAPE);
    let model = Mixture::two();
    sampler.sample(&model, &schedule(), path, start(), &mut noise).unwrap()
}

fn same(name: &str, a: Sampler, b: Sampler) {
    for text in ["karras12", "trailing10", "linspace25", "exponential7"] {
        let path = path(text);
        let difference = largest(&(run(a, &path) - run(b, &path)));
        assert!(difference < 1e-9, "{name} on {text}: {difference}");
    }
}

#[test]
fn first_order_solvers_are_ddim() {
    same("euler", Sampler::Euler, Sampler::DDIM);
    same("lms-1", Sampler::Lms { order: 1 }, Sampler::DDIM);
    let one = DpmSolver { order: 1, ..DpmSolver::PP_2M };
    same("dpm-solver++-1", Sampler::Dpm(one), Sampler::DDIM);
    let noise = DpmSolver { variable: SolverVariable::NoisePrediction, ..one };
    same("dpm-solver-1", Sampler::Dpm(noise), Sampler::DDIM);
    same("singlestep dpm-solver++-1", Sampler::DpmSinglestep(one), Sampler::DDIM);
    same("singlestep dpm-solver-1", Sampler::DpmSinglestep(noise), Sampler::DDIM);
    same("deis-1", Sampler::Deis(Deis { order: 1, ..Deis::default() }), Sampler::DDIM);
    for variable in [SolverVariable::DataPrediction, SolverVariable::NoisePrediction] {
        let (predictor, corrector, tau) = (1, 0, Tau::ZERO);
        let sa = SaSolver { predictor, corrector, variable, tau, lower_order_final: true };
        same("sa-predictor of order 1", Sampler::SaSolver(sa), Sampler::DDIM);
    }
    let unip = UniPc { order: 1, disable_corrector: usize::MAX, ..UniPc::default() };
    same("unip-1", Sampler::UniPc(unip), Sampler::DDIM);
}

#[test]
fn with_all_its_noise_ddim_is_the_posterior_of_ddpm() {
    let all = Sampler::Ddim { eta: 1.0 };
    same("ddpm", Sampler::Ddpm, all);
    same("euler-ancestral", Sampler::EulerAncestral { eta: 1.0 }, all);
    let sde = DpmSolver { order: 1, ..DpmSolver::PP_2M_SDE };
    same("sde-dpm-solver++-1", Sampler::Dpm(sde), all);
    same("singlestep sde-dpm-solver++-1", Sampler::DpmSinglestep(sde), all);
    // τ = 1 solves the reverse SDE.
    let tau = Tau { value: 1.0, range: TauRange::Sigmas(0.0, f64::INFINITY) };
    let sa = SaSolver { predictor: 1, corrector: 0, tau, ..SaSolver::IMAGES };
    same("sa-solver-1", Sampler::SaSolver(sa), all);
    let full = path("");
    assert_eq!(full.len(), 1000);
    assert!(largest(&(run(Sampler::Ddpm, &full) - run(all, &full))) < 1e-9);
}

#[test]
fn without_noise_the_stochastic_solvers_are_their_own_skeletons() {
    same("euler-ancestral", Sampler::EulerAncestral { eta: 0.0 }, Sampler::Euler);
    let still = Churn { churn: 0.0, ..Churn::default() };
    same("edm", Sampler::Edm(still), Sampler::Heun);
    same("edm-euler", Sampler::EdmEuler(still), Sampler::Euler);
    same("dpm2-ancestral", Sampler::Dpm2Ancestral { eta: 0.0 }, Sampler::Dpm2);
    same("tcd", Sampler::Tcd { gamma: 0.0 }, Sampler::DDIM);
    // Two steps of τ outside its range draw noise and use none.
    let outside = Tau { value: 1.0, range: TauRange::Sigmas(1e6, 1e7) };
    let with = |tau| Sampler::SaSolver(SaSolver { tau, ..SaSolver::IMAGES });
    same("sa-solver outside its range", with(outside), with(Tau::ZERO));
}

/// Without stochasticity nothing is drawn.
#[test]
fn deterministic_solvers_draw_no_noise() {
    let still = Churn { churn: 0.0, ..Churn::default() };
    for (name, sampler) in [
        ("sa-solver", Sampler::SaSolver(SaSolver { tau: Tau::ZERO, ..SaSolver::IMAGES })),
        ("edm-euler", Sampler::EdmEuler(still)),
        ("dpm2-ancestral", Sampler::Dpm2Ancestral { eta: 0.0 }),
        ("tcd", Sampler::Tcd { gamma: 0.0 }),
        ("deis", Sampler::Deis(Deis::default())),
        ("dpm++3s", Sampler::DpmSinglestep(DpmSolver::PP_3S)),
        ("ipndm", Sampler::Ipndm),
        ("flow-heun", Sampler::FlowHeun),
        ("dpm-adaptive", Sampler::DpmAdaptive(DpmAdaptive::default())),
    ] {
        let out = |_: i32| {
            let mut noise = tape(0, &SHAPE);
            let path = path("karras9");
            sampler.sample(&Mixture::two(), &schedule(), &path, start(), &mut noise).unwrap()
        };
        assert_eq!(out(0), out(1), "{name}");
    }
}

/// DDIM, Euler on the path of flow matching and Euler in x0 + σ·ε are one trajectory.
#[test]
fn euler_is_one_trajectory_on_every_path() {
    let model = Mixture::gaussian(0.3, 0.5);
    let path = crate::support::levels([40.0, 8.0, 2.5, 0.9, 0.4, 0.05]);
    let mut noise = tape(0, &SHAPE);
    let ddim = Sampler::DDIM.sample(&model, &schedule(), &path, start(), &mut noise).unwrap();
    let (mut sigma_x, mut flow_x) = (start(), start());
    // The scale of each convention, and its time: σ, and t of (1 − t)·x0 + t·ε.
    let sigma_path = |level: NoiseLevel| (1.0 / level.signal(), level.sigma());
    let flow_path = |level: NoiseLevel| {
        let scale = 1.0 / (level.signal() + level.noise());
        (scale, scale * level.noise())
    };
    for step in path.steps() {
        for (x, of, is_flow) in
            [(&mut sigma_x, &sigma_path as &dyn Fn(_) -> _, false), (&mut flow_x, &flow_path, true)]
        {
            let ((scale, from), (end, to)): ((f64, f64), (f64, f64)) = (of(step.from), of(step.to));
            let prediction = model.denoise(x, step).unwrap();
            let slope = if is_flow { prediction.eps - prediction.x0 } else { prediction.eps };
            *x = (&*x * scale + slope * (to - from)) / end;
        }
    }
    assert!(largest(&(&ddim - sigma_x)) < 1e-6 && largest(&(&ddim - flow_x)) < 1e-6);
}

/// Where all data is one image, any number of steps of anything ends there.
#[test]
fn a_single_image_is_found_at_once() {
    let model = Mixture::gaussian(0.3, 0.0);
    let variable = SolverVariable::NoisePrediction;
    let of_noise = [
        ("dpm of noise", Sampler::Dpm(DpmSolver { variable, ..DpmSolver::PP_3M })),
        ("unipc of noise", Sampler::UniPc(UniPc { variable, ..UniPc::default() })),
    ];
    for (name, sampler) in Sampler::all().into_iter().chain(of_noise) {
        for text in ["trailing4", "karras9"] {
            let path = path(text);
            let mut noise = tape(20, &SHAPE);
            let ours = sampler.sample(&model, &schedule(), &path, start(), &mut noise).unwrap();
            assert!(largest(&(ours - 0.3)) < 1e-6, "{name} on {text}");
        }
    }
}

/// From pure noise, whatever the sampler.
#[test]
fn every_sampler_starts_at_zero_terminal_snr() {
    let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(1000)) };
    let schedule = zero.build().unwrap();
    let model = Mixture::two();
    for (name, sampler) in Sampler::all() {
        let path =
            "trailing25".parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule).unwrap();
        assert_eq!(path.start().alpha_cumprod, 0.0);
        let mut noise = tape(30, &SHAPE);
        let ours = sampler.sample(&model, &schedule, &path, start(), &mut noise).unwrap();
        assert!(largest(&ours) < 2.0, "{name}");
    }
}

#[test]
fn the_steps_come_in_order() {
    for (name, sampler) in Sampler::all() {
        let mut seen = Vec::new();
        let (path, noise_schedule) = (path("trailing5"), schedule());
        let noise = tape(9, &SHAPE);
        let mut run =
            sampler.steps(Mixture::two(), &noise_schedule, &path, start(), noise).unwrap();
        for state in run.by_ref() {
            let state = state.unwrap();
            assert_eq!((state.count, state.x0.size()), (5, SHAPE.to_vec()));
            seen.push((state.index, state.timestep, state.x.copy()));
        }
        let last = run.finish().unwrap();
        let order: Vec<(usize, f64)> = seen.iter().map(|(i, t, _)| (*i, *t)).collect();
        assert_eq!(order, [(0, 999.0), (1, 799.0), (2, 599.0), (3, 399.0), (4, 199.0)], "{name}");
        assert_eq!(seen[4].2, last, "{name}");
    }
}

/// The whole point of an iterator: the caller stops, and the network is not called again.
#[test]
fn a_run_stops_where_its_caller_does() {
    let calls = std::cell::Cell::new(0);
    struct Counting<'a>(&'a std::cell::Cell<usize>);
    impl inkdrop_sampler::Denoiser for Counting<'_> {
        fn denoise(
            &self,
            x: &Tensor,
            step: &inkdrop_schedule::SolverStep,
        ) -> Result<inkdrop_process::Prediction, inkdrop_process::ProcessError> {
            self.0.set(self.0.get() + 1);
            Mixture::two().denoise(x, step)
        }
    }
    let (path, noise_schedule) = (path("trailing20"), schedule());
    let (denoiser, noise) = (Counting(&calls), tape(0, &SHAPE));
    let run = Sampler::DDIM.steps(denoiser, &noise_schedule, &path, start(), noise).unwrap();
    assert_eq!(calls.get(), 0, "nothing is computed before the first step");
    for state in run {
        if state.unwrap().index == 2 {
            break;
        }
    }
    assert_eq!(calls.get(), 3);
}

/// A run ends with its first error.
#[test]
fn a_run_is_over_after_an_error() {
    let (path, noise_schedule) = (path("trailing20"), schedule());
    let run = Sampler::Ddpm.steps(Mixture::two(), &noise_schedule, &path, start(), tape(2, &SHAPE));
    let results: Vec<bool> = run.unwrap().map(|state| state.is_ok()).collect();
    assert_eq!(results, [true, true, false]);
}

/// Calls are counted as they are announced.
#[test]
fn samplers_call_the_network_as_often_as_they_say() {
    struct Counting(Mixture, std::cell::Cell<usize>);
    impl inkdrop_sampler::Denoiser for Counting {
        fn denoise(
            &self,
            x: &Tensor,
            step: &inkdrop_schedule::SolverStep,
        ) -> Result<inkdrop_process::Prediction, inkdrop_process::ProcessError> {
            self.1.set(self.1.get() + 1);
            self.0.denoise(x, step)
        }
    }
    for (name, sampler) in Sampler::all().into_iter().filter(|(name, _)| *name != "dpm-adaptive") {
        let model = Counting(Mixture::two(), 0.into());
        let mut noise = tape(20, &SHAPE);
        sampler
            .sample(&model, &schedule(), &path("karras11"), start(), &mut noise)
            .map(drop)
            .unwrap();
        assert_eq!(model.1.get(), sampler.calls(11), "{name}");
    }
}

fn invert(path: &SamplingSchedule, end: NoiseLevel, refine: usize) -> (Tensor, Tensor) {
    let x0 = Tensor::linspace(-0.9, 0.9, 32, F64).view(SHAPE);
    let model = Mixture::two();
    let inversion = Inversion { end, refine };
    let latent = ddim_inversion(&model, path, x0.shallow_clone(), inversion).unwrap();
    let mut noise = tape(0, &SHAPE);
    let back = ddim(&model, path, latent.shallow_clone(), 0.0, &mut noise).unwrap();
    (latent, back - x0)
}

#[test]
fn what_is_inverted_comes_back() {
    let path = path("trailing100");
    let (_, plain) = invert(&path, path.start(), 0);
    let (_, refined) = invert(&path, path.start(), 8);
    assert!(largest(&plain) < 0.2, "{}", largest(&plain));
    assert!(largest(&refined) < 1e-4, "{}", largest(&refined));
}

#[test]
fn an_inverted_sample_of_the_data_is_noise() {
    // The mixture's own quantiles become those of N(0, 1).
    let path = path("trailing500");
    let (model, to) = (Mixture::two(), path.start());
    let clean = NoiseLevel { alpha_cumprod: 1.0 - 1e-12, timestep: 0.0 };
    let points = [-1.5, -0.3, 0.4, 1.2];
    let x0: Vec<f64> = points.iter().map(|&x| model.flow(x, to, clean)).collect();
    let x0 = Tensor::from_slice(&x0).view([4, 1, 1, 1]);
    let inversion = Inversion { end: to, refine: 0 };
    let latent = ddim_inversion(&model, &path, x0, inversion).unwrap();
    let difference = latent.view(-1) - Tensor::from_slice(&points);
    assert!(largest(&difference) < 0.1, "{}", largest(&difference));
}

/// Some schedulers visit a level twice; a multistep solver then has one node there.
#[test]
fn a_level_that_is_visited_twice_breaks_no_solver() {
    let level = |time: usize| schedule().level(time);
    let levels = [level(999), level(700), level(700), level(300), NoiseLevel::NOISELESS];
    let path = SamplingSchedule::from_levels(&levels).unwrap();
    for (name, sampler) in Sampler::all() {
        let out = run(sampler, &path);
        assert!(largest(&out) < 3.0, "{name}");
    }
}

#[test]
fn inversion_can_be_refined_to_a_start_without_signal() {
    let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(1000)) };
    let path = "trailing50"
        .parse::<LevelSpacing>()
        .unwrap()
        .sampling_schedule(&zero.build().unwrap())
        .unwrap();
    let (latent, back) = invert(&path, path.start(), 5);
    assert!(largest(&latent) < 10.0 && largest(&back) < 0.1, "{}", largest(&back));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let text = |sampler: Sampler| {
        let mut noise = tape(9, &SHAPE);
        let path = path("trailing3");
        let error: SamplerError =
            sampler.sample(&Mixture::two(), &schedule(), &path, start(), &mut noise).unwrap_err();
        error.to_string()
    };
    assert!(text(Sampler::Ddim { eta: 1.5 }).contains("eta 1.5: expected 0"));
    assert!(text(Sampler::EulerAncestral { eta: -0.1 }).contains("eta -0.1"));
    assert!(text(Sampler::Lms { order: 5 }).contains("order 5: expected 1 to 4"));
    let third = DpmSolver { order: 4, ..DpmSolver::PP_3M };
    assert!(text(Sampler::Dpm(third)).contains("order 4: expected 1 to 3"));
    assert!(text(Sampler::UniPc(UniPc { order: 0, ..UniPc::default() })).contains("order 0"));
    assert!(
        text(Sampler::Deis(Deis { order: 4, ..Deis::default() }))
            .contains("order 4: expected 1 to 3")
    );
    let singlestep = DpmSolver { order: 0, ..DpmSolver::PP_2M };
    assert!(text(Sampler::DpmSinglestep(singlestep)).contains("order 0: expected 1 to 3"));
    let sa = SaSolver { predictor: 5, ..SaSolver::IMAGES };
    assert!(text(Sampler::SaSolver(sa)).contains("order 5: expected 1 to 4 for the predictor"));
    let sa = SaSolver { corrector: 5, ..SaSolver::IMAGES };
    assert!(text(Sampler::SaSolver(sa)).contains("order 5: expected 1 to 4 for the corrector"));
    let tau = Tau { value: -1.0, ..Tau::default() };
    assert!(text(Sampler::SaSolver(SaSolver { tau, ..SaSolver::IMAGES })).contains("tau Tau"));
    assert!(text(Sampler::Tcd { gamma: 1.5 }).contains("gamma 1.5: expected 0"));
    assert!(text(Sampler::Dpm2Ancestral { eta: f64::NAN }).contains("eta NaN"));
    let below = Consistency { sigma_min: -0.1, ..Consistency::default() };
    assert!(text(Sampler::Consistency(below)).contains("sigma_min -0.1: expected"));
    let adaptive = DpmAdaptive { order: 1, ..DpmAdaptive::default() };
    assert!(text(Sampler::DpmAdaptive(adaptive)).contains("order 1: expected 2 or 3"));
    let adaptive = DpmAdaptive { rtol: 0.0, ..DpmAdaptive::default() };
    assert!(text(Sampler::DpmAdaptive(adaptive)).contains("rtol 0: expected"));
    assert!(text(Sampler::Pndm).contains("steps 3: expected at least 4"));
    let churn = Churn { churn: f64::NAN, ..Churn::default() };
    assert!(text(Sampler::Edm(churn)).contains("churn"));
    assert!(text(Sampler::EdmEuler(churn)).contains("churn"));
    let error = Sampler::Heun.with_eta(0.5).unwrap_err().to_string();
    assert!(error.contains("0.5 with heun"), "{error}");
}

#[test]
fn names_lead_to_samplers_and_near_misses_are_suggested() {
    for (name, sampler) in Sampler::all() {
        assert_eq!(name.parse::<Sampler>().unwrap(), sampler);
    }
    for (name, same) in [
        ("DPMPP_2M", "dpm++2m"),
        ("dpm++-2m-sde", "dpm++2m-sde"),
        ("euler_a", "euler-ancestral"),
        ("kdpm2", "dpm-solver-2"),
    ] {
        assert_eq!(name.parse::<Sampler>().unwrap(), same.parse::<Sampler>().unwrap());
    }
    let error = "unpic".parse::<Sampler>().unwrap_err().to_string();
    assert!(error.starts_with("sampler `unpic` (did you mean unipc?): expected one of"), "{error}");
    let error = "dpm-solver-something".parse::<Sampler>().unwrap_err().to_string();
    assert!(!error.contains("did you mean"), "{error}");
    let error = "magic".parse::<Sampler>().unwrap_err().to_string();
    assert!(!error.contains("did you mean") && error.contains("dpm++3m-sde"), "{error}");
}

/// Each sampler is also a function.
#[test]
fn functions_are_their_samplers() {
    type Function = fn(&SamplingSchedule) -> Result<Tensor, SamplerError>;
    fn noise() -> inkdrop_torch::NoiseTape {
        tape(12, &SHAPE)
    }
    let dpm = DpmSolver::PP_2M_SDE;
    let functions: [(Sampler, Function); 22] = [
        (Sampler::Ddpm, |path| ddpm(&Mixture::two(), path, start(), &mut noise())),
        (Sampler::Ddim { eta: 0.3 }, |path| {
            ddim(&Mixture::two(), path, start(), 0.3, &mut noise())
        }),
        (Sampler::Euler, |path| euler(&Mixture::two(), path, start())),
        (Sampler::EulerAncestral { eta: 0.3 }, |path| {
            euler_ancestral(&Mixture::two(), path, start(), 0.3, &mut noise())
        }),
        (Sampler::Heun, |path| heun(&Mixture::two(), path, start())),
        (Sampler::Edm(Churn::default()), |path| {
            let churn = Churn::default();
            edm(&Mixture::two(), &schedule(), path, start(), churn, &mut noise())
        }),
        (Sampler::Lms { order: 3 }, |path| lms(&Mixture::two(), path, start(), 3)),
        (Sampler::Dpm2, |path| dpm_solver_2(&Mixture::two(), &schedule(), path, start())),
        (Sampler::Dpm(dpm), |path| {
            dpm_solver(&Mixture::two(), path, start(), DpmSolver::PP_2M_SDE, &mut noise())
        }),
        (Sampler::UniPc(UniPc::default()), |path| {
            unipc(&Mixture::two(), path, start(), UniPc::default())
        }),
        (Sampler::Deis(Deis::default()), |path| {
            deis(&Mixture::two(), path, start(), Deis::default())
        }),
        (Sampler::SaSolver(SaSolver::IMAGES), |path| {
            sa_solver(&Mixture::two(), path, start(), SaSolver::IMAGES, &mut noise())
        }),
        (Sampler::DpmSinglestep(DpmSolver::PP_3S), |path| {
            let config = DpmSolver::PP_3S;
            dpm_solver_singlestep(&Mixture::two(), path, start(), config, &mut noise())
        }),
        (Sampler::DpmAdaptive(DpmAdaptive::default()), |path| {
            let config = DpmAdaptive::default();
            dpm_adaptive(&Mixture::two(), &schedule(), path, start(), config)
        }),
        (Sampler::Dpm2Ancestral { eta: 0.4 }, |path| {
            let model = Mixture::two();
            dpm_solver_2_ancestral(&model, &schedule(), path, start(), 0.4, &mut noise())
        }),
        (Sampler::EdmEuler(Churn::default()), |path| {
            let churn = Churn::default();
            edm_euler(&Mixture::two(), &schedule(), path, start(), churn, &mut noise())
        }),
        (Sampler::FlowHeun, |path| flow_heun(&Mixture::two(), path, start())),
        (Sampler::Ipndm, |path| ipndm(&Mixture::two(), path, start())),
        (Sampler::Consistency(Consistency::LCM), |path| {
            consistency(&Mixture::two(), path, start(), Consistency::LCM, &mut noise())
        }),
        (Sampler::Tcd { gamma: 0.3 }, |path| {
            tcd(&Mixture::two(), &schedule(), path, start(), 0.3, &mut noise())
        }),
        (Sampler::Plms, |path| plms(&Mixture::two(), path, start())),
        (Sampler::Pndm, |path| pndm(&Mixture::two(), &schedule(), path, start())),
    ];
    let path = path("trailing10");
    for (sampler, function) in functions {
        assert_eq!(function(&path).unwrap(), run(sampler, &path), "{sampler}");
    }
}

#[test]
fn samplers_are_written_with_the_settings_that_are_not_usual() {
    // The same as deis and unipc.
    let again = ["deis-2", "unipc-2"];
    for (name, sampler) in Sampler::all().into_iter().filter(|(name, _)| !again.contains(name)) {
        assert_eq!(sampler.to_string(), name);
    }
    let churn = Churn { churn: 3.0, ..Churn::default() };
    let unipc = UniPc { lower_order_final: false, ..UniPc::default() };
    for (sampler, text) in [
        (Sampler::Ddim { eta: 0.3 }, "ddim, eta 0.3"),
        (Sampler::EulerAncestral { eta: 0.3 }, "euler-ancestral, eta 0.3"),
        (Sampler::Lms { order: 2 }, "lms, order 2"),
        (Sampler::Edm(churn), "edm, Churn { churn: 3.0"),
        (Sampler::Dpm(DpmSolver { order: 1, ..DpmSolver::PP_2M }), "dpm++2m, DpmSolver { order: 1"),
        (Sampler::UniPc(unipc), "unipc, UniPc { order: 2"),
        (Sampler::Tcd { gamma: 0.1 }, "tcd, gamma 0.1"),
        (Sampler::Dpm2Ancestral { eta: 0.1 }, "dpm2-ancestral, eta 0.1"),
        (Sampler::EdmEuler(churn), "edm-euler, Churn { churn: 3.0"),
        (Sampler::SaSolver(SaSolver::default()), "sa-solver, SaSolver { predictor: 2"),
    ] {
        assert!(sampler.to_string().starts_with(text), "{sampler}");
    }
}

#[test]
fn eta_is_set_where_there_is_one() {
    assert_eq!(Sampler::DDIM.with_eta(0.3).unwrap(), Sampler::Ddim { eta: 0.3 });
    let ancestral = Sampler::EulerAncestral { eta: 1.0 }.with_eta(0.3).unwrap();
    assert_eq!(ancestral, Sampler::EulerAncestral { eta: 0.3 });
    assert_eq!(Sampler::Tcd { gamma: 0.3 }.with_eta(0.5).unwrap(), Sampler::Tcd { gamma: 0.5 });
    let second = Sampler::Dpm2Ancestral { eta: 1.0 }.with_eta(0.3).unwrap();
    assert_eq!(second, Sampler::Dpm2Ancestral { eta: 0.3 });
    assert!(Sampler::DDIM.with_eta(1.1).is_err());
}

/// Predicts zeros, and records the step and the first value of x of each call.
#[derive(Default)]
struct Recorder(RefCell<Vec<(SolverStep, f64)>>);

impl Denoiser for Recorder {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        self.0.borrow_mut().push((*step, x.double_value(&[0, 0, 0, 0])));
        Prediction::from_x0(x.zeros_like(), x, step)
    }
}

/// Karras et al. 2022, algorithm 2: σ is raised by γ = min(S_churn/n, √2 − 1) within the range.
#[test]
fn churn_raises_the_noise_before_a_step() {
    let sigmas = [8.0, 4.0, 2.0, 1.0, 0.5];
    let path = crate::support::levels(sigmas);
    for (churn, gamma) in [(0.4, 0.1), (9.0, std::f64::consts::SQRT_2 - 1.0)] {
        let settings = Churn { churn, min: 2.0, max: 4.0, noise: 1.5 };
        let (recorder, draws) = (Recorder::default(), Tensor::ones([2, 1, 1, 1, 1], F64));
        let mut noise = inkdrop_torch::NoiseTape::new(draws);
        let mut before = 0.7;
        let x = Tensor::full([1, 1, 1, 1], before, F64);
        let noise_schedule = schedule();
        let sampler = Sampler::Edm(settings);
        let steps = sampler.steps(&recorder, &noise_schedule, &path, x, &mut noise).unwrap();
        for (i, state) in steps.enumerate() {
            let raised = if [4.0, 2.0].contains(&sigmas[i]) { 1.0 + gamma } else { 1.0 };
            let (call, x) = recorder.0.borrow()[2 * i];
            let end = sigmas[i] * raised;
            assert!((call.from.sigma() / end - 1.0).abs() < 1e-9, "{call:?}");
            assert_eq!(call.to, path.steps()[i].to);
            // In the form x0 + σ·ε, noise of the missing variance is added.
            let added = 1.5 * (end * end - sigmas[i] * sigmas[i]).sqrt();
            let expected = (before / path.steps()[i].from.signal() + added) * call.from.signal();
            assert!((x - expected).abs() < 1e-6, "{x} is not {expected}");
            before = state.unwrap().x.double_value(&[0, 0, 0, 0]);
        }
    }
}

/// The second call of a solver step has the noise level where the first one leads.
#[test]
fn steps_between_lead_to_where_the_solver_goes() {
    let calls = |sampler: Sampler, text: &str| {
        let recorder = Recorder::default();
        let (path, mut noise) = (path(text), tape(0, &SHAPE));
        sampler.sample(&recorder, &schedule(), &path, start(), &mut noise).map(drop).unwrap();
        let steps = recorder.0.into_inner().into_iter();
        steps.map(|(step, _)| [step.from.timestep, step.to.timestep]).collect::<Vec<_>>()
    };
    let heun = calls(Sampler::Heun, "trailing2");
    assert_eq!(heun, [[999.0, 499.0], [499.0, -1.0], [499.0, -1.0]]);
    let pndm = calls(Sampler::Pndm, "trailing4");
    let first = [[999.0, 749.0], [874.0, 749.0], [874.0, 749.0], [749.0, -1.0]];
    assert_eq!(pndm[..4], first);
    assert_eq!(pndm[12..], [[249.0, -1.0]]);
    let plms = calls(Sampler::Plms, "trailing3");
    assert_eq!(plms[..2].concat()[..2], [999.0, 666.0]);
    assert_eq!(plms.len(), 4);
    assert_eq!((Sampler::Plms.calls(1), calls(Sampler::Plms, "trailing1").len()), (1, 1));
}
