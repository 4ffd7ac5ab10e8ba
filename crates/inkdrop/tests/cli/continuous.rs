//! Models with continuous noise levels: trained, resumed, sampled, edited and inspected.

use std::fs;

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use serde_json::Value;

use super::support::{Place, tensors};

/// A tiny ContextUnet.
pub(super) const TINY: [&str; 18] = [
    "--set",
    "model.features=8",
    "--set",
    "train.batch=4",
    "--set",
    "data.count=64",
    "--set",
    "validation.count=8",
    "--set",
    "train.checkpoint_every=2",
    "--set",
    "train.checkpoints_kept=20",
    "--set",
    "train.log_every=1",
    "--set",
    "train.validate_every=2",
    "--set",
    "train.sample_every=2",
];

/// Trains a tiny model.
pub(super) fn train(place: &Place, config: &str, out: &str, more: &[&str]) {
    let command = ["train", config, "--out", out];
    place.run(&[&command, &TINY[..], more].concat()).succeeds();
}

/// Restarts after step 2 of 6 and ends with the same weights.
#[test]
fn resumed_runs_equal_uninterrupted_ones() {
    for config in ["sprites-edm", "sprites-flow", "sprites-dit"] {
        let place = Place::new();
        train(&place, config, "run", &["--steps", "6"]);
        let last = place.path("run/final.safetensors");
        let whole = tensors(&last);
        for file in ["checkpoints/step-0000006", "checkpoints/step-0000004", "final"] {
            fs::remove_file(place.path(&format!("run/{file}.safetensors")))
                .expect("a file of the run");
        }
        train(&place, config, "run", &["--steps", "6", "--resume"]);
        assert!(tensors(&last) == whole, "{config}");
    }
}

/// Configs of EDM's networks, trained like any other; `{}` is for further lines of `[train]`.
const EDM: [(&str, &str, &str); 2] = [
    (
        "edm",
        "architecture = { song = {} }\nchannels = 3\noutputs = 3\naugment = 9\nembedding_multiplier = 2",
        "augment = { probability = 0.2, x_flip = false }",
    ),
    ("edm2", "channels = 3\nlogvar = 16\nhead_channels = 8", "loss = \"uncertainty\""),
];

/// The config of a small network that has five classes or none.
fn edm_config((family, model, train): (&str, &str, &str)) -> String {
    format!(
        "[model]\nfamily = \"{family}\"\n{model}\nsize = 16\nclasses = 5\nfeatures = 8\nmultipliers = [1, 2]
blocks = 1\nattention = [8]\n[process]\npreconditioning = {{ name = \"edm\", sigma_data = 0.7 }}
[data]\nkind = \"sprites\"\nseed = 0\ncount = 32\n[train]\nsteps = 4\nbatch = 4\ncheckpoint_every = 2
checkpoints_kept = 9\nsample_every = 2\nlog_every = 1\n{train}\n"
    )
}

#[test]
fn networks_of_edm_are_trained_resumed_and_sampled() {
    for family in EDM {
        let place = Place::new();
        fs::write(place.path("small.toml"), edm_config(family)).expect("a config");
        let command = ["train", "small.toml", "--out", "run"];
        place.run(&command).succeeds();
        let last = place.path("run/final.safetensors");
        let whole = tensors(&last);
        for file in ["checkpoints/step-0000004", "final"] {
            fs::remove_file(place.path(&format!("run/{file}.safetensors"))).expect("a file");
        }
        place.run(&[&command[..], &["--resume"]].concat()).succeeds();
        assert!(tensors(&last) == whole, "{}", family.0);
        let sample = ["sample", "run/final.safetensors", "-n", "2", "--class", "hero"];
        let heun =
            ["--sampler", "heun", "--steps", "3", "--guidance", "1.5", "--out", "heroes.png"];
        place.run(&[&sample[..], &heun[..]].concat()).succeeds();
        let inspected = place.run(&["inspect", "run/final.safetensors"]).succeeds();
        assert!(inspected.stdout.contains(family.0), "{}", inspected.stdout);
    }
}

/// Classes without names, and labels that were never dropped: the null class of the network is not trained.
#[test]
fn a_null_class_that_was_not_trained_is_not_guided_by() {
    let place = Place::new();
    let images = Tensor::zeros([8, 16, 16, 3], (Kind::Uint8, Device::Cpu));
    let labels = Tensor::arange(8, (Kind::Int64, Device::Cpu)).remainder(5);
    Tensor::write_npz(&[("arr_0", images), ("arr_1", labels)], place.path("data.npz"))
        .expect("a file");
    let data = "kind = \"npz\"\npath = \"data.npz\"";
    let config = edm_config((EDM[0].0, EDM[0].1, "label_dropout = 0.0"));
    let config = config.replace("kind = \"sprites\"\nseed = 0\ncount = 32", data);
    fs::write(place.path("small.toml"), config).expect("a config");
    place.run(&["train", "small.toml", "--out", "run", "--steps", "1"]).succeeds();
    let sample = ["sample", "run/final.safetensors", "-n", "1", "--steps", "2", "--out", "x.png"];
    place.run(&[&sample[..], &["--class", "3"]].concat()).succeeds();
    let guided = [&sample[..], &["--class", "3", "--guidance", "2"]].concat();
    place.refuses(&guided, &["names no null class"]);
    place.refuses(&sample, &["needs one of its 5 classes"]);
    place.refuses(&[&sample[..], &["--class", "5"]].concat(), &["a number from 0 to 4"]);
}

/// Of a file without metadata, the keys tell the network.
#[test]
fn a_foreign_network_of_edm_is_recognised_below_its_preconditioning() {
    let place = Place::new();
    fs::write(place.path("small.toml"), edm_config(EDM[0])).expect("a config");
    place.run(&["train", "small.toml", "--out", "run", "--steps", "2"]).succeeds();
    let ours = StateDict::open(&place.path("run/final.safetensors")).expect("weights");
    let mut foreign = StateDict::default();
    for (key, tensor) in ours.iter() {
        foreign.insert(format!("model.{key}"), tensor.shallow_clone());
    }
    foreign.save(&place.path("foreign.safetensors")).expect("a file");
    let options = ["--class", "3", "--steps", "3", "--seed", "1"];
    let image = |file: &str, more: &[&str]| {
        let command = ["sample", file, "-n", "1", "--out", "image.png"];
        place.run(&[&command[..], &options, more].concat()).succeeds();
        fs::read(place.path("image.png")).expect("an image")
    };
    let known = image("run/final.safetensors", &[]);
    assert!(image("foreign.safetensors", &["--process", "edm:0.7"]) == known);
}

/// Options of the training that do not go with the network.
#[test]
fn training_options_of_other_networks_are_refused() {
    let place = Place::new();
    let [(edm, model, _), (edm2, logvar, _)] = EDM;
    for (config, said) in [
        ((edm, model, "loss = \"uncertainty\""), "learns its log-variance"),
        ((edm2, logvar, "augment = { probability = 0.1 }"), "model.augment=9"),
        ((edm2, logvar, ""), "train.loss=uncertainty"),
    ] {
        fs::write(place.path("small.toml"), edm_config(config)).expect("a config");
        place.refuses(&["train", "small.toml", "--out", "run"], &[said]);
    }
}

/// The printed spacing is that of as many steps, and `sample` takes it.
#[test]
fn a_fitted_schedule_is_a_spacing_of_sample() {
    let place = Place::new();
    train(&place, "sprites-edm", "edm", &["--steps", "2"]);
    for model in ["sprites", "edm/final.safetensors"] {
        let fit = |more: &[&str]| {
            let command = ["fit-schedule", model, "--steps", "3", "--images", "4"];
            place.run(&[&command[..], more].concat()).succeeds().stdout
        };
        let spacing = fit(&[]);
        assert!(spacing.starts_with("sigmas:") && spacing.split(',').count() == 3, "{spacing}");
        assert_eq!(fit(&["--batch", "3"]), spacing);
        if model == "sprites" {
            assert!(fit(&["--class", "hero"]) != spacing && fit(&["--seed", "1"]) != spacing);
        }
        let command = ["sample", model, "-n", "1", "--out", "x.png", "--spacing", spacing.trim()];
        place.run(&command).succeeds();
        place.refuses(&[&command[..], &["--steps", "3"]].concat(), &["contains the number"]);
    }
    for (steps, images, words) in [
        ("0", "4", "--steps 0: expected 1 to 80"),
        ("81", "4", "expected 1 to 80"),
        ("3", "0", "expected 1 or more"),
    ] {
        let command = ["fit-schedule", "sprites", "--steps", steps, "--images", images];
        place.refuses(&command, &[words]);
    }
    let noisy = ["fit-schedule", "sprites", "--steps", "3", "--sampler", "euler-ancestral"];
    place.refuses(&noisy, &["expected a sampler that draws no noise"]);
    place.refuses(&["fit-schedule", "sprites-fast", "--steps", "3"], &["a consistency model"]);
    let sample = ["sample", "edm/final.safetensors", "-n", "1", "--out", "x.png", "--spacing"];
    for (spacing, words) in [
        ("sigmas:", "expected karras20"),
        ("sigmas:80,x", "expected karras20"),
        ("sigmas:90,1", "sigma 90: expected decreasing noise levels between 80 and 0.002"),
        ("sigmas:1,2", "sigma 2: expected decreasing"),
        ("sigmas:1,1", "sigma 1: expected decreasing"),
        ("sigmas:1,0", "sigma 0: expected decreasing"),
        ("sigmas:1,NaN", "sigma NaN: expected decreasing"),
    ] {
        place.refuses(&[&sample[..], &[spacing]].concat(), &[words]);
    }
}

#[test]
fn all_samplers_take_continuous_noise_levels() {
    let place = Place::new();
    for config in ["sprites-edm", "sprites-flow", "sprites-dit"] {
        train(&place, config, config, &["--steps", "2"]);
        let model = format!("{config}/final.safetensors");
        let sample = |more: &[&str]| {
            let command = ["sample", &model, "-n", "2", "--class", "hero"];
            let out: &[&str] = if more.contains(&"--out") { &[] } else { &["--out", "x.png"] };
            place.run(&[&command[..], out, more].concat())
        };
        for sampler in ["ddim", "ddpm", "euler", "euler-ancestral", "heun", "edm", "lms"] {
            sample(&["--sampler", sampler, "--steps", "3"]).succeeds();
        }
        for sampler in ["dpm-solver-2", "dpm++2m", "dpm++3m-sde", "unipc", "plms"] {
            sample(&["--sampler", sampler, "--steps", "4", "--guidance", "2"]).succeeds();
        }
        for spacing in ["karras3:5", "exponential3", "flow3", "flow3:3", "vp3"] {
            sample(&["--spacing", spacing]).succeeds();
        }
        let levels = |more: &[&str]| {
            sample(&[&["--out", "x/", "--restart"], more].concat()).succeeds();
            let manifest = fs::read(place.path("x/samples.json")).expect("a manifest");
            let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
            manifest["request"]["levels"].as_str().expect("noise levels").to_owned()
        };
        let own = if config == "sprites-edm" { "karras3" } else { "flow3" };
        assert_eq!(levels(&["--steps", "3"]), own, "{config}");
        assert_eq!(levels(&["--sampler", "dpm-adaptive"]), "exponential2", "{config}");
        sample(&["--sampler", "pndm", "--steps", "4"]).fails_saying(&["pndm", "timesteps"]);
        sample(&["--spacing", "trailing3"]).fails_saying(&["trailing3", "continuous noise levels"]);
        sample(&["--spacing", "trailing"]).fails_saying(&["trailing", "continuous noise levels"]);
    }
}

#[test]
fn models_are_inspected_edited_and_refused_in_words() {
    let place = Place::new();
    train(&place, "sprites-edm", "run", &["--steps", "2"]);
    let model = "run/final.safetensors";
    let text = place.run(&["inspect", model]).succeeds().stdout;
    assert!(text.contains("preconditioning.name=edm"), "{text}");
    place.run(&["sample", model, "-n", "1", "--class", "food", "--out", "food/"]).succeeds();
    let vary =
        ["edit", "img2img", model, "food/00000.png", "--strength", "0.5", "--out", "varied.png"];
    place.run(&vary).succeeds();
    place.refuses(&["eval", "bpd", model, "sprites"], &["timesteps", "eval likelihood"]);
    let other = ["sample", model, "--process", "flow", "--out", "x.png"];
    place.refuses(&other, &["another process"]);
    let copy = ["convert", model, "copy.safetensors"];
    place.run(&copy).succeeds();
    assert!(tensors(&place.path("copy.safetensors")) == tensors(&place.path(model)));
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let place = Place::new();
    let refuses = |config: &str, setting: &str, words: &[&str]| {
        let command = ["train", config, "--out", "run", "--steps", "1", "--set", setting];
        place.refuses(&command, words);
    };
    refuses("sprites-edm", "train.timesteps=loss-second-moment", &["uniform"]);
    refuses("sprites-edm", "train.loss=kl", &["timesteps"]);
    refuses("sprites-edm", "process.sigma_min=100.0", &["sigma_min"]);
    refuses("sprites-edm", "process.preconditioning.sigma_data=0.0", &["sigma_data"]);
    refuses("sprites-edm", "process.time=index", &["time", "preconditioning"]);
    refuses("sprites", "train.noise_distribution=uniform", &["noise_distribution"]);
    refuses("sprites", "process.sigma_min=1.0", &["sigma_min"]);
}

/// Averages of other widths, from a run with two.
#[test]
fn post_hoc_averages_are_models() {
    let place = Place::new();
    let averages = "train.ema=[\"power=0.05\",\"power=0.1\"]";
    train(&place, "sprites-edm", "run", &["--steps", "8", "--set", averages]);
    place.run(&["ema", "run", "--width", "0.1,0.2"]).succeeds();
    let same = tensors(&place.path("run/ema-0.1.safetensors"));
    let trained = tensors(&place.path("run/final-power-0.1.safetensors"));
    for (name, tensor) in &trained {
        assert_eq!((&tensor.0, &tensor.1), (&same[name].0, &same[name].1), "{name}");
    }
    place.run(&["sample", "run/ema-0.2.safetensors", "-n", "1", "--out", "x.png"]).succeeds();
    for file in ["final", "final-raw", "final-power-0.1", "checkpoints/step-0000008"] {
        let path = format!("run/{file}.safetensors");
        let same = ["ema", "run", "--width", "0.1", "--out", &path];
        place.refuses(&same, &[&path, "is a file of the run"]);
    }
    place.refuses(&["ema", "run", "--width", "0.5"], &["0.5", "0.288"]);
    place.refuses(&["ema", "run", "--width", "0.1,0.2", "--out", "x.safetensors"], &["--out"]);
    train(&place, "sprites-edm", "plain", &["--steps", "2"]);
    place.refuses(&["ema", "plain", "--width", "0.1"], &["power=", "keep_every"]);
}

/// Image i has the same bits in any batch.
#[test]
fn likelihoods_do_not_depend_on_the_batch() {
    let place = Place::new();
    train(&place, "sprites-flow", "run", &["--steps", "2"]);
    for model in ["run/final.safetensors", "sprites"] {
        let bits = |more: &[&str]| -> Vec<f64> {
            let command = ["eval", "likelihood", model, "sprites:1:5", "--steps", "4", "--json"];
            let text = place.run(&[&command[..], more].concat()).succeeds().stdout;
            let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            serde_json::from_value(report["each"].clone()).expect("numbers")
        };
        let all = bits(&[]);
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|bits| bits.is_finite()));
        for (one, other) in all.iter().zip(bits(&["--batch", "2"])) {
            assert!((one - other).abs() < 1e-3, "{one} {other}");
        }
    }
    let one = ["eval", "likelihood", "sprites", "sprites:1:1", "--steps", "2"];
    let text = place.run(&one).succeeds().stdout;
    assert!(text.contains("bits/dim") && !text.contains('±'), "one image has no error: {text}");
    let likelihood = ["eval", "likelihood", "sprites", "sprites"];
    place.refuses(&[&likelihood[..], &["--batch", "0"]].concat(), &["--batch 0"]);
    place.refuses(&[&likelihood[..], &["--steps", "1"]].concat(), &["at least 2"]);
    place.refuses(&[&likelihood[..], &["--images", "0"]].concat(), &["--images 0"]);
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../inkdrop-data/tests/fixtures/gray.jpg");
    std::fs::create_dir(place.path("x")).expect("a directory");
    std::fs::copy(picture, place.path("x/gray.jpg")).expect("a picture");
    let other_size = ["eval", "likelihood", "sprites", "x"];
    place.refuses(&other_size, &["give data of that size", "--fit"]);
}
