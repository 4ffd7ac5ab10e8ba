//! Directories of diffusers are sampled as their scheduler_config.json says.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use inkdrop::data::npz;
use inkdrop::sampler::{Churn, Tau};
use inkdrop::scheduler::{Class, Scheduler, StepOptions, TimestepOptions};
use inkdrop::{Images, Pipeline, Rng};
use serde_json::{Value, json};

/// `Rng::Torch` is libtorch's generator of the whole process: one run at a time.
static TORCH: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// `pipe_*` of the shared cases: a directory, and the images that its pipeline made; `None` without
/// them.
fn case(name: &str) -> Option<(PathBuf, Value, Images)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity");
    let case = |ending: &str| folder.join(format!("pipe_{name}{ending}"));
    let config = std::fs::read_to_string(case(".json")).ok()?;
    let images = npz::load(case(".npz")).unwrap().images;
    Some((case(""), serde_json::from_str(&config).unwrap(), images))
}

#[test]
fn a_directory_gives_the_bytes_of_its_pipeline() {
    let _alone = TORCH.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for name in ["ddpm", "ddim", "pndm", "euler", "dpmsolver"] {
        let Some((folder, config, images)) = case(name) else { return };
        let number = |key: &str| config[key].as_u64().unwrap();
        let pipeline = Pipeline::open(folder)
            .unwrap()
            .rng(Rng::Torch)
            .seed(number("seed"))
            .steps(number("num_inference_steps") as usize);
        let samples = pipeline.sample(images.len()).unwrap();
        assert_eq!(samples.images(), images.view(), "{name}");
        let last = pipeline.trajectory(images.len()).unwrap().last().unwrap().unwrap();
        assert!(last.x.equal(samples.tensor()), "{name}: the steps are those of the sample");
    }
}

/// A ConsistencyModelPipeline with random weights, and the images of diffusers 0.35.2 for seed 7.
#[test]
fn a_consistency_directory_gives_the_bytes_of_its_pipeline() {
    let _alone = TORCH.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/consistency");
    for steps in [1, 2, 4] {
        let images = npz::load(folder.join(format!("steps_{steps}.npz"))).unwrap().images;
        let pipeline = Pipeline::open(&folder).unwrap().rng(Rng::Torch).seed(7).steps(steps);
        let samples = pipeline.class("0,1,2").sample(3).unwrap();
        assert_eq!(samples.images(), images.view(), "{steps} steps");
    }
}

#[test]
fn a_sampler_replaces_the_scheduler() {
    let Some((folder, _, images)) = case("ddim") else { return };
    let open = || Pipeline::open(&folder).unwrap().steps(4);
    let own = open().plan().unwrap().spacing;
    assert_eq!(own, "DDIMScheduler, 4 steps, leading timesteps");
    let ours = open().sampler("ddim".parse().unwrap());
    assert!(ours.scheduler().is_none());
    assert_eq!(ours.plan().unwrap().spacing, "trailing4");
    assert!(open().spacing("karras").scheduler().is_none());
    // Editing takes the steps of a sampler, in both directions.
    assert_eq!(open().img2img(&images, 0.5).unwrap().len(), images.len());
}

#[test]
fn ddim_takes_the_arguments_of_its_pipeline() {
    let _alone = TORCH.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some((folder, ..)) = case("ddim") else { return };
    let open = || Pipeline::open(&folder).unwrap().steps(4).rng(Rng::Torch);
    let plain = open().sample(2).unwrap();
    let noisy = open().eta(1.0).sample(2).unwrap();
    assert_ne!(plain.images(), noisy.images());
    let recomputed = open().use_clipped_model_output(true).sample(2).unwrap();
    assert!(!plain.tensor().equal(recomputed.tensor()), "the prediction is clipped");
    let Some((euler, ..)) = case("euler") else { return };
    let error = Pipeline::open(euler).unwrap().eta(0.5).sample(1).unwrap_err().to_string();
    assert!(error.contains("arguments of DDIM"), "{error}");
    let sampled_by = |sampler: &str| open().sampler(sampler.parse().unwrap());
    let error = sampled_by("dpm++2m").use_clipped_model_output(true).sample(1);
    assert!(error.unwrap_err().to_string().contains("DDIMScheduler"));
    // The process clips, as its scheduler does.
    let [plain, kept, recomputed] = [None, Some(false), Some(true)].map(|recompute| {
        let pipeline = sampled_by("ddim");
        match recompute {
            Some(recompute) => pipeline.use_clipped_model_output(recompute).sample(2).unwrap(),
            None => pipeline.sample(2).unwrap(),
        }
    });
    assert!(plain.tensor().equal(recomputed.tensor()), "the sampler recomputes the noise");
    assert!(!plain.tensor().equal(kept.tensor()), "unless it is told to keep it");
}

#[test]
fn default_steps_are_those_of_the_pipeline() {
    let steps = |class: &str, trained: usize| {
        let config = json!({"_class_name": class, "num_train_timesteps": trained});
        Scheduler::read(&config).unwrap().default_steps()
    };
    assert_eq!(steps("DDPMScheduler", 1000), 1000);
    assert_eq!(steps("DDPMScheduler", 200), 200);
    assert_eq!(steps("DDIMScheduler", 1000), 50);
    assert_eq!(steps("DPMSolverMultistepScheduler", 20), 20);
    assert_eq!(steps("LCMScheduler", 1000), 4);
    assert_eq!(steps("CMStochasticIterativeScheduler", 40), 1);
}

#[test]
fn what_no_sampler_equals_is_named() {
    for (config, expected) in [
        (json!({"_class_name": "VQDiffusionScheduler"}), "VQDiffusionScheduler"),
        (
            json!({"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true}),
            "use_flow_sigmas",
        ),
        (
            json!({"_class_name": "PNDMScheduler", "prediction_type": "v_prediction"}),
            "v_prediction",
        ),
    ] {
        let error = Scheduler::read(&config).unwrap_err().report();
        assert!(error.contains(expected), "{error}");
    }
    let pndm = Scheduler::read(&json!({"_class_name": "PNDMScheduler"})).unwrap();
    let error = pndm.run(8, StepOptions::default(), &[]).unwrap_err().report();
    assert!(error.contains("expected an even stride"), "{error}");
}

/// DDPM, DDIM and PNDM of diffusers refuse them, too; its other classes would stay at one timestep.
#[test]
fn more_steps_than_timesteps_are_refused() {
    let run = |class: &str, count: usize| {
        let name = format!("{class}Scheduler");
        let config = json!({"_class_name": name, "timestep_spacing": "leading"});
        let scheduler = Scheduler::read(&config).unwrap();
        scheduler.run(count, StepOptions::default(), &[]).map(|_| ()).map_err(|e| e.report())
    };
    for class in ["DDPM", "DDIM", "EulerDiscrete", "HeunDiscrete", "LMSDiscrete"] {
        assert_eq!(run(class, 1000), Ok(()), "{class}");
        let error = run(class, 1001).unwrap_err();
        assert!(error.contains("num_inference_steps 1001: expected 1 to 1000"), "{class}: {error}");
    }
    assert_eq!(run("DPMSolverMultistep", 999), Ok(()));
    for count in [1000, 2000] {
        assert!(run("DPMSolverMultistep", count).unwrap_err().contains("expected 1 to 999"));
    }
    for class in ["EDMEuler", "IPNDM", "FlowMatchEulerDiscrete"] {
        let name = format!("{class}Scheduler");
        let scheduler = Scheduler::read(&json!({"_class_name": name})).unwrap();
        let error = scheduler.run(1 << 40, StepOptions::default(), &[]).map(|_| ()).unwrap_err();
        assert!(error.report().contains("expected 1 to 1000000"), "{class}");
    }
}

/// Arguments of constructors that diffusers rejects, fails with, or gives NaN for.
#[test]
fn impossible_arguments_are_refused_in_a_sentence() {
    for (class, arguments, expected) in [
        ("EDMEuler", json!({"prediction_type": "sample"}), "prediction_type Sample: EDM"),
        ("EDMEuler", json!({"sigma_schedule": "linear"}), "unknown variant `linear`"),
        ("EDMEuler", json!({"sigma_min": 90.0}), "expected 0 < sigma_min < sigma_max"),
        ("EDMEuler", json!({"sigma_data": 0.0}), "sigma_data 0: expected"),
        ("EDMDPMSolverMultistep", json!({"solver_order": 4}), "solver_order 4: expected 1 to 3"),
        (
            "EDMDPMSolverMultistep",
            json!({"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
            "fails in the first step of third order",
        ),
        ("EDMDPMSolverMultistep", json!({"algorithm_type": "dpmsolver"}), "algorithm_type"),
        ("CMStochasticIterative", json!({"rho": -1.0}), "rho -1: expected"),
        ("DPMSolverSinglestep", json!({"algorithm_type": "dpmsolver"}), "expected sigma_min"),
        (
            "DPMSolverSinglestep",
            json!({
                "algorithm_type": "dpmsolver",
                "final_sigmas_type": "sigma_min",
                "thresholding": true,
            }),
            "thresholding",
        ),
        ("DPMSolverSinglestep", json!({"solver_order": 0}), "solver_order 0: expected 1 to 3"),
        (
            "DPMSolverSinglestep",
            json!({"variance_type": "learned", "prediction_type": "sample"}),
            "prediction_type epsilon only",
        ),
        ("DEISMultistep", json!({"beta_schedule": "sigmoid"}), "beta_schedule Sigmoid"),
        ("DEISMultistep", json!({"prediction_type": "flow_prediction"}), "use_flow_sigmas"),
        (
            "DEISMultistep",
            json!({"use_karras_sigmas": true, "use_beta_sigmas": true}),
            "expected one of them",
        ),
        ("SASolver", json!({"predictor_order": 5}), "predictor_order 5: expected 1 to 4"),
        ("SASolver", json!({"corrector_order": 0}), "corrector_order 0: expected 1 to 4"),
        ("SASolver", json!({"algorithm_type": "dpmsolver++"}), "expected data_prediction"),
        ("KDPM2AncestralDiscrete", json!({"prediction_type": "sample"}), "prediction_type sample"),
        ("LCM", json!({"original_inference_steps": 2000}), "original_inference_steps 2000"),
        ("LCM", json!({"timestep_scaling": 0.0}), "timestep_scaling 0"),
        ("FlowMatchEulerDiscrete", json!({"shift": 0.0}), "shift 0: expected"),
        (
            "FlowMatchEulerDiscrete",
            json!({"invert_sigmas": true, "stochastic_sampling": true}),
            "the result is noise",
        ),
        ("FlowMatchHeunDiscrete", json!({"invert_sigmas": true}), "invert_sigmas"),
        ("FlowMatchEulerDiscrete", json!({"solver_p": 2}), "solver_p"),
    ] {
        let name = format!("{class}Scheduler");
        let class = Class::named(&name).unwrap();
        let error = Scheduler::new(class, &name, &arguments).unwrap_err().report();
        assert!(error.contains(expected) && error.contains(&name), "{error}");
    }
}

/// Arguments of `set_timesteps` and `step`.
#[test]
fn impossible_timesteps_are_refused_in_a_sentence() {
    let timesteps = |list: &[f64]| TimestepOptions {
        timesteps: Some(list.to_vec()),
        ..TimestepOptions::default()
    };
    let sigmas = |list: &[f64]| TimestepOptions {
        sigmas: Some(list.to_vec()),
        ..TimestepOptions::default()
    };
    let strength = |strength| TimestepOptions { strength: Some(strength), ..Default::default() };
    for (class, given, expected) in [
        ("LCM", timesteps(&[]), "the list is empty"),
        ("LCM", timesteps(&[f64::NAN]), "expected finite numbers"),
        ("LCM", timesteps(&[10.0, 500.0]), "expected descending numbers"),
        ("TCD", timesteps(&[1000.0, 500.0]), "from 0 to 999"),
        ("LCM", strength(0.0), "strength 0: expected"),
        ("TCD", strength(0.05), "num_inference_steps 4: expected 1 to 2"),
        ("CMStochasticIterative", timesteps(&[0.0, 22.0]), "expected descending numbers"),
        ("CMStochasticIterative", timesteps(&[40.0]), "from 0 to 39"),
        ("DPMSolverSinglestep", timesteps(&[5.0, 5.0]), "expected descending numbers"),
        ("FlowMatchEulerDiscrete", sigmas(&[0.2, 0.8]), "expected noise to decrease"),
        ("FlowMatchEulerDiscrete", sigmas(&[1.5]), "expected 0 to 1 after the shift"),
        ("EDMEuler", sigmas(&[2.0]), "places on its curve"),
        ("EDMEuler", timesteps(&[5.0]), "timesteps: not covered"),
        ("DEISMultistep", sigmas(&[5.0]), "sigmas: not covered"),
    ] {
        let scheduler =
            Scheduler::read(&json!({"_class_name": format!("{class}Scheduler")})).unwrap();
        let run = scheduler.run_with(4, StepOptions::default(), &given, &[]);
        let error = run.unwrap_err().report();
        assert!(error.contains(expected), "{class}: {error}");
    }
    let run = |class: &str, options: StepOptions| {
        let scheduler = Scheduler::read(&json!({"_class_name": class})).unwrap();
        scheduler.run(0, options, &[]).and(scheduler.run(4, options, &[])).unwrap_err().report()
    };
    assert!(
        run("IPNDMScheduler", StepOptions::default()).contains("num_inference_steps 0: expected")
    );
    let dynamic =
        json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true});
    let error = Scheduler::read(&dynamic).unwrap().run(4, StepOptions::default(), &[]);
    assert!(error.unwrap_err().report().contains("mu is missing"));
    let euler = Scheduler::read(&json!({"_class_name": "EDMEulerScheduler"})).unwrap();
    let tau = StepOptions { tau: Some(Tau::default()), ..StepOptions::default() };
    assert!(euler.run(4, tau, &[]).unwrap_err().report().contains("argument of SASolverScheduler"));
    let deis = Scheduler::read(&json!({"_class_name": "DEISMultistepScheduler"})).unwrap();
    let churn = StepOptions { churn: Some(Churn::default()), ..StepOptions::default() };
    assert!(deis.run(4, churn, &[]).unwrap_err().report().contains("s_churn"));
    let eta = StepOptions { eta: Some(0.5), ..StepOptions::default() };
    assert!(deis.run(4, eta, &[]).unwrap_err().report().contains("arguments of DDIM"));
}

/// The draws of diffusers 0.35.2 in a run of four steps, less those that enter an image.
#[test]
fn draws_without_effect_shift_the_next_batch() {
    let unused = |class: &str, arguments: Value, options: StepOptions| {
        let mut config = json!({"_class_name": class});
        config.as_object_mut().unwrap().extend(arguments.as_object().unwrap().clone());
        Scheduler::read(&config).unwrap().run(4, options, &[]).unwrap().discarded_draws()
    };
    let plain = StepOptions::default();
    let noisy = StepOptions { eta: Some(0.5), ..plain };
    let tau = StepOptions { tau: Some(Tau { value: 0.0, ..Tau::default() }), ..plain };
    let sde = json!({"algorithm_type": "sde-dpmsolver++", "final_sigmas_type": "zero"});
    let minimum = json!({"algorithm_type": "sde-dpmsolver++", "final_sigmas_type": "sigma_min"});
    for (class, arguments, options, expected) in [
        ("DDIMScheduler", json!({}), plain, 0),
        ("DDIMScheduler", json!({}), noisy, 1),
        ("DDIMScheduler", json!({"set_alpha_to_one": false}), noisy, 0),
        ("DDPMScheduler", json!({}), plain, 0),
        ("EulerAncestralDiscreteScheduler", json!({}), plain, 1),
        ("EulerDiscreteScheduler", json!({}), plain, 0),
        ("DPMSolverMultistepScheduler", json!({}), plain, 0),
        ("DPMSolverMultistepScheduler", sde.clone(), plain, 1),
        ("DPMSolverMultistepScheduler", minimum, plain, 0),
        ("SASolverScheduler", json!({}), plain, 0), // it ends above x0
        ("SASolverScheduler", json!({}), tau, 4),
    ] {
        assert_eq!(unused(class, arguments, options), expected, "{class}");
    }
}

#[test]
fn a_latent_pipeline_is_refused() {
    let Some((folder, ..)) = case("ddim") else { return };
    let place = tempfile::tempdir().unwrap();
    let copy = place.path();
    std::fs::create_dir(copy.join("unet")).unwrap();
    for file in ["unet/config.json", "unet/diffusion_pytorch_model.safetensors"] {
        std::fs::copy(folder.join(file), copy.join(file)).unwrap();
    }
    std::fs::write(copy.join("model_index.json"), r#"{"_class_name": "LDMPipeline"}"#).unwrap();
    let refused = |expected: &str| {
        let error = Pipeline::open(copy).err().expect("an error").to_string();
        assert!(error.contains(expected) && error.contains("latents"), "{error}");
    };
    refused("a LDMPipeline");
    std::fs::create_dir(copy.join("vqvae")).unwrap();
    refused("it has a vqvae");
}
