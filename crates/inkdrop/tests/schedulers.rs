//! Directories of diffusers are sampled as their scheduler_config.json says.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use inkdrop::data::npz;
use inkdrop::scheduler::{Scheduler, StepOptions};
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
    let error = Pipeline::open("sprites").unwrap().use_clipped_model_output(true).sample(1);
    assert!(error.unwrap_err().to_string().contains("DDIMScheduler"));
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
}

#[test]
fn what_no_sampler_equals_is_named() {
    for (config, expected) in [
        (json!({"_class_name": "VQDiffusionScheduler"}), "VQDiffusionScheduler"),
        (
            json!({"_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": true}),
            "use_beta_sigmas",
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
