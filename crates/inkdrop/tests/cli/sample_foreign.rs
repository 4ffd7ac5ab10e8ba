//! Images from networks that others have trained.

use std::fs;

use serde_json::json;

use super::convert_folder::place_with_pipeline;
use super::networks::{
    class_conditional, ddpm, improved, place_with_weights, put_config, put_weights, seeded_weights,
    together, weights,
};
use super::support::Place;

const SAMPLE: [&str; 7] = ["sample", "model.pt", "-n", "2", "--steps", "3", "--out"];

/// The images that these options give.
fn images(place: &Place, options: &[&str]) -> Vec<u8> {
    place.run(&[&SAMPLE[..], &["x.npz"], options].concat()).succeeds();
    let bytes = fs::read(place.path("x.npz")).expect("samples");
    fs::remove_file(place.path("x.npz")).expect("a writable folder");
    bytes
}

#[test]
fn a_config_and_a_process_are_enough() {
    for config in [ddpm(), improved()] {
        let place = place_with_weights("model.pt", &config);
        put_config(&place, "net.toml", &config);
        put_config(&place, "net.json", &config);
        let of = |name: &str| images(&place, &["--config", name, "--process", "ddpm"]);
        assert!(of("net.toml") == of("net.json"), "{}", config.family());
    }
}

#[test]
fn settings_say_the_same_as_a_config() {
    let place = place_with_weights("model.pt", &improved());
    put_config(&place, "net.toml", &improved());
    let config = images(&place, &["--config", "net.toml", "--process", "linear:unclipped"]);
    let original = json!({"family": "improved", "model_channels": 32, "out_channels": 6,
        "num_res_blocks": 1, "attention_resolutions": [2], "channel_mult": [1, 2],
        "num_heads": 4, "use_scale_shift_norm": true, "image_size": 16});
    place.put("original.json", original.to_string().as_bytes());
    let flags = "--image_size 16 --num_channels 32 --num_res_blocks 1 --attention_resolutions 8 --channel_mult 1,2 --learn_sigma True";
    let ways: [&[&str]; 4] = [
        &["--set", "size=16", "--set", "heads=4"],
        &["--config", "original.json"],
        &["--flags", flags],
        &["--assume", "--set", "size=16"],
    ];
    for way in ways {
        let given = images(&place, &[way, &["--process", "ddpm"]].concat());
        assert!(given == config, "{way:?}");
    }
    let other = ["--set", "size=16", "--set", "heads=2", "--process", "ddpm"];
    assert!(images(&place, &other) != config, "heads matter");
}

#[test]
fn images_have_the_size_that_is_set() {
    let place = place_with_weights("model.pt", &improved());
    let args = ["--set", "size=16x24", "--set", "heads=4", "--process", "ddpm"];
    place.run(&[&SAMPLE[..], &["x/"], &args].concat()).succeeds();
    let file = fs::File::open(place.path("x/00000.png")).expect("a picture");
    let reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
    assert_eq!((reader.info().width, reader.info().height), (24, 16));
}

#[test]
fn a_learned_variance_is_for_every_sampler() {
    let place = place_with_weights("model.pt", &improved());
    let known = ["--set", "size=16", "--set", "heads=4", "--process", "cosine:100"];
    for sampler in ["ddpm", "ddim", "dpm++2m-sde", "heun"] {
        images(&place, &[&known[..], &["--sampler", sampler]].concat());
    }
    let plain = images(&place, &known);
    let said = [&known[..5], &["cosine:100:learned-range"]].concat();
    assert!(images(&place, &said) == plain, "twice the channels are a learned range");
}

#[test]
fn networks_that_predict_v_or_the_image_are_named_so() {
    let place = place_with_weights("model.pt", &improved());
    let of = |process| {
        let known = ["--set", "size=16", "--set", "heads=4", "--process", process];
        images(&place, &known)
    };
    let (noise, image, v) = (of("cosine:100"), of("cosine:100:start-x"), of("cosine:100:v"));
    assert!(noise != image && image != v && v != noise);
    assert!(of("cosine:100:zero-snr:v") != v);
}

#[test]
fn a_class_is_a_number() {
    let place = place_with_weights("model.pt", &class_conditional());
    put_config(&place, "net.json", &class_conditional());
    let known = ["--config", "net.json", "--process", "ddpm"];
    let class = |class: &str| images(&place, &[&known[..], &["--class", class]].concat());
    assert!(class("0") == class("0"));
    assert!(class("0") != class("9"));
    let guided = |null: &str| {
        let guidance = ["--class", "1", "--guidance", "2", "--null-class", null];
        images(&place, &[&known[..], &guidance].concat())
    };
    assert!(guided("9") != class("1"));
    assert!(guided("9") != guided("8"));
    let same = ["--class", "1", "--guidance", "2", "--null-class", "1"];
    let same = [&SAMPLE[..], &["x.npz"], &known, &same].concat();
    place.refuses(&same, &["--null-class 1", "equals --class"]);
    let ancestral = [&known[..], &["--class", "1", "--sampler", "ddpm"]].concat();
    images(&place, &ancestral);
    let none = [&SAMPLE[..], &["x.npz"], &known, &["--class", "1", "--guidance", "2"]].concat();
    place.refuses(&none, &["classes", "--null-class N", "--autoguide"]);
}

#[test]
fn a_pipeline_samples_with_nothing_but_its_path() {
    let place = place_with_pipeline();
    for path in ["pipe", "pipe/", "./pipe"] {
        place.run(&["sample", path, "-n", "1", "--steps", "2"]).succeeds();
        assert!(place.path("samples.png").is_file());
    }
    let outcome = place.run(&["sample", "pipe", "--steps", "2", "-n", "1"]).succeeds();
    let said = "sampling as scheduler_config.json says: DDPMScheduler, 2 steps, leading timesteps";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    let known = ["x.npz", "--config", "net.json", "--process", "ddpm"];
    place.run(&[&SAMPLE[..], &known].concat()).succeeds();
    let args = ["sample", "pipe", "-n", "2", "--steps", "3", "--sampler", "ddim", "--out", "y.npz"];
    place.run(&args).succeeds();
    // The same network and steps, from the directory and from a file.
    let load = |name: &str| inkdrop::data::npz::load(place.path(name)).expect("samples").images;
    assert_eq!(load("x.npz").bytes(), load("y.npz").bytes());
}

#[test]
fn a_run_goes_on_only_with_the_arguments_of_its_scheduler() {
    let place = place_with_pipeline();
    let scheduler = |clip: bool| {
        let config = format!(r#"{{"_class_name": "DDIMScheduler", "clip_sample": {clip}}}"#);
        place.put("pipe/scheduler/scheduler_config.json", config.as_bytes());
    };
    let sample = |count, more: &[&'static str]| {
        let args = ["sample", "pipe", "-n", count, "--steps", "2", "--batch", "1", "--out", "x/"];
        [&args[..], more].concat()
    };
    scheduler(true);
    place.run(&sample("1", &["--eta", "0.5"])).succeeds();
    place.refuses(&sample("2", &["--eta", "0.6"]), &["sampler.eta is 0.5 there, 0.6 now"]);
    let recomputed = ["--eta", "0.5", "--use-clipped-model-output"];
    place.refuses(&sample("2", &recomputed), &["sampler.use_clipped_model_output"]);
    place.refuses(&sample("2", &["--sampler", "ddim", "--eta", "0.5"]), &["another request"]);
    scheduler(false);
    place.refuses(&sample("2", &["--eta", "0.5"]), &["another request"]);
    scheduler(true);
    let outcome = place.run(&sample("2", &["--eta", "0.5"])).succeeds();
    assert!(outcome.stderr.contains("continuing: 1 of 2"), "{}", outcome.stderr);
}

/// A file that was made from another class's keeps its arguments, which diffusers ignores.
#[test]
fn arguments_of_other_classes_have_no_effect() {
    let place = place_with_pipeline();
    let sample = |class: &str, more: &str| {
        let config = format!(r#"{{"_class_name": "{class}"{more}}}"#);
        place.put("pipe/scheduler/scheduler_config.json", config.as_bytes());
        let args = ["sample", "pipe", "-n", "1", "--steps", "3", "--out", "x.npy"];
        place.run(&args).succeeds();
        std::fs::read(place.path("x.npy")).expect("the samples")
    };
    let (karras, zero) = (r#", "use_karras_sigmas": true"#, r#", "rescale_betas_zero_snr": true"#);
    let ancestral = "EulerAncestralDiscreteScheduler";
    assert_eq!(sample(ancestral, karras), sample(ancestral, ""));
    assert_ne!(sample(ancestral, zero), sample(ancestral, ""));
    let heun = "HeunDiscreteScheduler";
    assert_eq!(sample(heun, zero), sample(heun, ""));
    assert_ne!(sample(heun, karras), sample(heun, ""));
    let clipped = r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": 50.0}"#;
    place.put("pipe/scheduler/scheduler_config.json", clipped.as_bytes());
    place.refuses(&["sample", "pipe", "--steps", "3"], &["lambda_min_clipped: it excludes all"]);
}

/// As DPMSolverMultistepScheduler.save_pretrained writes it: with a number that JSON does not know.
#[test]
fn a_scheduler_with_pythons_infinity_is_read() {
    let place = place_with_pipeline();
    let scheduler = br#"{"_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "linear",
        "lambda_min_clipped": -Infinity, "solver_order": 2, "timestep_spacing": "linspace"}"#;
    place.put("pipe/scheduler/scheduler_config.json", scheduler);
    let told = place.run(&["sample", "pipe", "-n", "1", "--out", "x.png"]);
    told.succeeds();
    place.run(&["inspect", "pipe"]).succeeds();
    let options = ["--sampler", "dpm++2m", "--spacing", "linspace", "--steps", "2"];
    place.run(&[&["sample", "pipe", "-n", "1"][..], &options].concat()).succeeds();
}

#[test]
fn a_checkpoint_of_a_training_asks_which_network() {
    let place = Place::new();
    let (model, average) = (weights(&ddpm()), seeded_weights(&ddpm(), 1));
    let mut all = together(&[("model.", &model), ("ema_model.", &average)]);
    for buffer in ["betas", "alphas", "alphas_cumprod", "sqrt_alphas_cumprod"] {
        all.insert(buffer, inkdrop_torch::tch::Tensor::from_slice(&[0.5f32; 1000]));
    }
    put_weights(&place, "model.pt", &all);
    put_config(&place, "net.json", &ddpm());
    let known = ["--config", "net.json", "--process", "ddpm"];
    let whole = [&SAMPLE[..], &["x.npz"], &known].concat();
    place.refuses(&whole, &["--part", "ema_model", "model"]);
    let part = |name: &str| images(&place, &[&known[..], &["--part", name]].concat());
    assert!(part("model") != part("ema_model"));
    put_weights(&place, "model.pt", &model);
    let alone = images(&place, &known);
    put_weights(&place, "model.pt", &all);
    assert!(part("model") == alone);
}

#[test]
fn half_precision_weights_sample_in_f32() {
    let place = place_with_weights("full.pt", &ddpm());
    place.run(&["convert", "full.pt", "model.pt", "--dtype", "f16"]).succeeds();
    put_config(&place, "net.json", &ddpm());
    images(&place, &["--config", "net.json", "--process", "ddpm"]);
}

#[test]
fn another_size_needs_no_other_weights() {
    let place = place_with_weights("model.pt", &improved());
    put_config(&place, "net.toml", &improved());
    place
        .run(&["convert", "model.pt", "m.safetensors", "--config", "net.toml", "--process", "ddpm"])
        .succeeds();
    let args = ["sample", "m.safetensors", "-n", "1", "--steps", "2", "--size"];
    place.run(&[&args[..], &["24x32", "--out", "x/"]].concat()).succeeds();
    let file = fs::File::open(place.path("x/00000.png")).expect("a picture");
    let reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
    assert_eq!((reader.info().width, reader.info().height), (32, 24));
    place.refuses(&[&args[..], &["24x33"]].concat(), &["33", "34"]);
}

#[test]
fn an_original_config_without_a_size_is_asked_for_it() {
    let place = place_with_weights("model.pt", &improved());
    let original = json!({"family": "improved", "model_channels": 32, "out_channels": 6,
        "num_res_blocks": 1, "attention_resolutions": [2], "channel_mult": [1, 2],
        "num_heads": 4, "use_scale_shift_norm": true});
    place.put("original.json", original.to_string().as_bytes());
    let args = [&SAMPLE[..], &["x.npz", "--config", "original.json", "--process", "ddpm"]].concat();
    place.refuses(&args, &["--set size="]);
    place.run(&[&args[..], &["--set", "size=16"]].concat()).succeeds();
}

#[test]
fn flags_bring_their_process() {
    let place = place_with_weights("model.pt", &improved());
    let flags = "--image_size 16 --num_channels 32 --num_res_blocks 1 --attention_resolutions 8 --channel_mult 1,2 --learn_sigma True";
    let with = format!("{flags} --diffusion_steps 100 --noise_schedule cosine");
    let said = images(&place, &["--flags", flags, "--process", "cosine:100:rescaled"]);
    assert!(images(&place, &["--flags", &with]) == said);
}

/// A threshold replaces the clipping of a scheduler, and nothing else of it: DDIM keeps the noise.
#[test]
fn a_threshold_is_the_thresholding_of_the_scheduler() {
    let place = place_with_pipeline();
    let put = |more: serde_json::Value| {
        let mut config = json!({"_class_name": "DDIMScheduler", "beta_schedule": "linear"});
        for (key, value) in more.as_object().expect("an object") {
            config[key] = value.clone();
        }
        place.put("pipe/scheduler/scheduler_config.json", config.to_string().as_bytes());
    };
    let images = |options: &[&str]| {
        let sample = ["sample", "pipe", "-n", "2", "--steps", "4", "--out", "x.npz"];
        place.run(&[&sample[..], options].concat()).succeeds();
        fs::read(place.path("x.npz")).expect("samples")
    };
    let quantile =
        json!({"thresholding": true, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1e9});
    put(quantile);
    let (theirs, other) = (images(&[]), images(&["--use-clipped-model-output"]));
    put(json!({}));
    assert!(images(&["--threshold", "0.9"]) == theirs);
    assert!(images(&["--threshold", "0.9", "--use-clipped-model-output"]) == other);
    assert!(theirs != other && images(&[]) != theirs);
}
