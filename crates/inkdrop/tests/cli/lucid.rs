//! lucidrains' networks: a checkpoint of the package's Trainer, and a run of one's own.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use inkdrop_checkpoint::{StateDict, load};
use inkdrop_nn::Conditioning;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::ModelConfig;
use serde_json::Value;

use super::support::{Place, tensors};

/// A file of the shared ones; `None` without them.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/files").join(name);
    if !path.exists() {
        println!("skipped: there is no ../shared/files/{name}");
    }
    path.exists().then_some(path)
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// The whole name of a part and the output of its network in the sidecar.
const PARTS: [(&str, &str); 2] = [("ema.ema_model.model", "ema"), ("model.model", "model")];

#[test]
fn a_trainers_checkpoint_is_recognised_with_its_parts_and_its_process() {
    let Some(file) = shared("lucid_trainer.pt") else { return };
    let place = Place::new();
    let outcome = place.run(&["inspect", file.to_str().unwrap(), "--json"]).succeeds();
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(told["family"], "lucid");
    assert_eq!(told["config"]["heads"][0], 2);
    assert_eq!(told["process"]["schedule"]["name"], "sigmoid-lucid");
    assert_eq!(told["process"]["schedule"]["steps"], 100);
    assert_eq!(told["process"]["prediction"], "velocity");
    let parts = ["ema.ema_model.model", "ema.online_model.model", "model.model"];
    assert!(told["parts"].as_array().unwrap().iter().eq(&parts));
}

#[test]
fn its_networks_give_the_outputs_of_the_package() {
    let (Some(file), Some(sidecar)) = (shared("lucid_trainer.pt"), shared("lucid_trainer.json"))
    else {
        return;
    };
    let sidecar: Value = serde_json::from_slice(&fs::read(sidecar).unwrap()).unwrap();
    let x = Tensor::from_slice(&numbers(&sidecar["input"]["x"])).view([2, 1, 16, 16]);
    let t = Tensor::from_slice(&[3i64, 98]);
    let place = Place::new();
    for (part, output) in PARTS {
        let args = ["convert", file.to_str().unwrap(), "own.safetensors", "--set", "size=16"];
        // The average is what is taken unless told otherwise.
        let chosen: &[&str] = if output == "ema" { &[] } else { &["--part", part] };
        place.run(&[&args[..], chosen].concat()).succeeds();
        let weights = StateDict::open(&place.path("own.safetensors")).unwrap();
        let config: ModelConfig =
            serde_json::from_str(weights.metadata_text("model").unwrap()).unwrap();
        let network = config.build_uninitialized(Kind::Float, Device::Cpu).unwrap();
        load(network.params(), &weights, &[]).unwrap();
        let _guard = inkdrop_torch::tch::no_grad_guard();
        let out = network.forward(&x, &t, &Conditioning::none()).unwrap();
        let expected = Tensor::from_slice(&numbers(&sidecar["output"][output])).view_as(&out);
        let error = (out - expected).abs().max().double_value(&[]);
        assert!(error < 2e-5, "{part}: {error}");
        fs::remove_file(place.path("own.safetensors")).unwrap();
    }
}

#[test]
fn it_samples_its_average_by_its_own_process() {
    let Some(file) = shared("lucid_trainer.pt") else { return };
    let file = file.to_str().unwrap();
    let place = Place::new();
    let sample = |out: &str, more: &[&str]| {
        let args = ["sample", file, "-n", "2", "--spacing", "truncated10", "--out", out];
        place.run(&[&args[..], more].concat())
    };
    sample("x.npz", &[]).fails_saying(&["size"]);
    let told = sample("x.npz", &["--set", "size=16"]).succeeds().stderr;
    assert!(told.contains("averaged weights (ema.ema_model.model)"), "{told}");
    assert!(told.contains("schedule buffers") && told.contains("Velocity"), "{told}");
    let named = ["--set", "size=16", "--process", "lucid:100", "--part", "ema.ema_model.model"];
    sample("y.npz", &named).succeeds();
    let bytes = |name| fs::read(place.path(name)).unwrap();
    assert!(bytes("x.npz") == bytes("y.npz"));
    sample("z.npz", &["--set", "size=16", "--part", "model.model"]).succeeds();
    assert!(bytes("x.npz") != bytes("z.npz"), "the trained weights are others");
}

/// Its Adam state is numbered in the order of its weights.
#[test]
fn training_goes_on_from_its_weights_its_average_and_its_optimizer() {
    let Some(file) = shared("lucid_trainer.pt") else { return };
    let file = file.to_str().unwrap();
    let place = Place::new();
    place
        .run(&["sample", file, "-n", "8", "--steps", "2", "--set", "size=16", "--out", "gray/"])
        .succeeds();
    let config = RUN
        .replace("MORE", "")
        .replace(
            "channels = 3\noutputs = 3\nfeatures = 8",
            "channels = 1\noutputs = 1\nfeatures = 6",
        )
        .replace("head_channels = [8]", "head_channels = [4]")
        .replace("kind = \"sprites\"\nseed = 0\ncount = 64", "kind = \"folder\"\npath = \"gray\"")
        .replace("steps = 6", "steps = 127\nema = [\"0.995\"]")
        .replace("label_dropout = 0.2", "betas = [0.9, 0.99]");
    place.put("mine.toml", config.as_bytes());
    let opt = StateDict::open(std::path::Path::new(file)).unwrap().below("opt.");
    opt.save_torch(&place.path("opt.pt"), &[]).unwrap();
    let average = format!("0.995={file}");
    let train = |out: &str, state: &str| {
        let args =
            ["train", "mine.toml", "--out", out, "--init", file, "--init-part", "model.model"];
        let ema = ["--init-ema", &average, "--init-ema-part", "ema.ema_model.model"];
        let optimizer = ["--init-optimizer", state, "--init-step", "124"];
        place.run(&[&args[..], &ema, &optimizer].concat())
    };
    train("whole", file).succeeds();
    train("alone", "opt.pt").succeeds();
    let last = |run: &str| tensors(&place.path(&format!("{run}/final.safetensors")));
    assert!(last("whole") == last("alone"));
    let log = fs::read_to_string(place.path("whole/log.jsonl")).unwrap();
    assert!(log.contains("125") && !log.contains("\"step\":124,"), "{log}");
    let mut two = StateDict::default();
    for (key, tensor) in opt.iter() {
        two.insert(format!("a.{key}"), tensor.shallow_clone());
        two.insert(format!("b.{key}"), tensor.shallow_clone());
    }
    two.save_torch(&place.path("two.pt"), &[]).unwrap();
    train("no", "two.pt").fails_saying(&["--init-optimizer", "2 optimizers", "a., b."]);
}

/// A run on sprites; MORE is part of the network's section.
const RUN: &str = r#"
[model]
family = "lucid"
size = 16
channels = 3
outputs = 3
features = 8
multipliers = [1, 2]
heads = [2]
head_channels = [8]
MORE

[process]
schedule = { name = "sigmoid-lucid", steps = 100 }
time = "index"
prediction = "velocity"
variance = "fixed-small"
clip = true

[data]
kind = "sprites"
seed = 0
count = 64

[train]
steps = 6
batch = 4
lr = 1e-3
weighting = "snr"
label_dropout = 0.2
checkpoint_every = 3
sample_every = 0
log_every = 1
"#;

#[test]
fn a_run_with_self_conditioning_resumes_to_the_same_bytes_and_samples() {
    let place = Place::new();
    place.put("mine.toml", RUN.replace("MORE", "self_condition = true").as_bytes());
    let train = |out: &str, more: &[&str]| {
        place.run(&[&["train", "mine.toml", "--out", out], more].concat()).succeeds()
    };
    train("whole", &[]);
    train("parts", &["--steps", "3", "--set", "train.lr_schedule=\"constant\""]);
    train("again", &["--set", "train.lr_schedule=\"constant\""]);
    train("parts", &["--steps", "6", "--set", "train.lr_schedule=\"constant\"", "--resume"]);
    let last = |run: &str| tensors(&place.path(&format!("{run}/final.safetensors")));
    assert!(last("parts") == last("again"));
    let never = ["train", "mine.toml", "--out", "no", "--set", "train.self_condition=0.0"];
    place.refuses(&never, &["train.self_condition=0", "model.self_condition=false"]);
    for sampler in ["ddim", "ddpm", "heun"] {
        let args = ["sample", "whole/final.safetensors", "-n", "2", "--sampler", sampler];
        place
            .run(&[&args[..], &["--steps", "3", "--out", &format!("{sampler}.npz")]].concat())
            .succeeds();
    }
}

#[test]
fn a_run_with_classes_guides_away_from_its_null_class() {
    let place = Place::new();
    place.put("mine.toml", RUN.replace("MORE", "classes = 5").as_bytes());
    place.run(&["train", "mine.toml", "--out", "run"]).succeeds();
    let sample = |out: &str, more: &[&str]| {
        let args = ["sample", "run/final.safetensors", "-n", "2", "--steps", "3", "--out", out];
        place.run(&[&args[..], more].concat()).succeeds();
        fs::read(place.path(out)).unwrap()
    };
    let guided = ["--class", "hero", "--guidance", "3"];
    let plain = sample("a.npz", &guided);
    let orthogonal = sample("b.npz", &[&guided[..], &["--guidance-parallel", "0"]].concat());
    let all = sample("c.npz", &[&guided[..], &["--guidance-parallel", "1"]].concat());
    assert!(plain == all && plain != orthogonal);
    assert!(sample("d.npz", &[]) != sample("e.npz", &["--class", "hero"]), "the null class");
    let wrong = ["sample", "run/final.safetensors", "--class", "6", "--out", "f.npz"];
    place.refuses(&wrong, &["unknown class `6`"]);
    place.put("few.toml", RUN.replace("MORE", "classes = 4").as_bytes());
    place.refuses(&["train", "few.toml", "--out", "few"], &["5 classes", "model.classes=5"]);
}
