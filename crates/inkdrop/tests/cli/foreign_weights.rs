//! Weights as other programs save them: below prefixes, beside other tensors, with buffers, with other
//! metadata.

use std::fs;

use inkdrop_checkpoint::StateDict;
use inkdrop_schedule::ScheduleConfig;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::ModelConfig;
use serde_json::{Value, json};

use super::convert_folder::place_with_pipeline;
use super::networks::{context, ddpm, put_config, put_weights, seeded_weights, together, weights};
use super::support::{Outcome, Place};

const SAMPLE: [&str; 7] = ["sample", "model.pt", "-n", "1", "--steps", "2", "--out"];

fn sample(place: &Place, options: &[&str]) -> Outcome {
    place.run(&[&SAMPLE[..], &["x.npz"], options].concat())
}

/// The image of a file with a sprites network.
fn image(weights: &StateDict, options: &[&str]) -> Vec<u8> {
    let place = Place::new();
    put_weights(&place, "model.pt", weights);
    sample(&place, &[&["--process", "sprites"], options].concat()).succeeds();
    fs::read(place.path("x.npz")).expect("samples")
}

fn error(weights: &StateDict, options: &[&str]) -> String {
    let place = Place::new();
    put_weights(&place, "model.pt", weights);
    sample(&place, &[&["--process", "sprites"], options].concat()).fails_saying(&[]).stderr
}

fn inspect(place: &Place) -> Value {
    let outcome = place.run(&["inspect", "model.pt", "--json"]).succeeds();
    serde_json::from_str(&outcome.stdout).expect("JSON, and nothing else")
}

fn with(weights: &StateDict, others: &[(&str, Tensor)]) -> StateDict {
    let mut all = together(&[("", weights)]);
    for (key, tensor) in others {
        all.insert(*key, tensor.shallow_clone());
    }
    all
}

#[test]
fn a_network_below_any_prefix_draws_the_same_image() {
    let network = weights(&context());
    let plain = image(&network, &[]);
    let ones = || Tensor::ones([3], (Kind::Float, Device::Cpu));
    let betas = || Tensor::linspace(1e-4, 0.02, 50, (Kind::Float, Device::Cpu));
    for prefix in ["denoise_fn.", "eps_model.", "diffusion.net.", "_orig_mod.a.module.b."] {
        let below = together(&[(prefix, &network)]);
        let beside =
            [("losses.0", ones()), ("metrics.val.fid", ones()), ("loops.fit.total", ones())];
        let file = with(&with(&below, &beside), &[("betas", betas())]);
        assert!(image(&file, &[]) == plain, "{prefix}");
    }
    let buffers = [("betas", betas()), ("sqrt_alphas_cumprod", betas())];
    assert!(image(&with(&network, &buffers), &[]) == plain, "buffers beside the layers");
}

#[test]
fn several_networks_are_named_and_chosen() {
    let (student, teacher) = (weights(&context()), seeded_weights(&context(), 1));
    let both = together(&[("student.", &student), ("teacher.unet.", &teacher)]);
    let told = error(&both, &[]);
    for word in ["2 networks", "student, teacher.unet", "--part NAME"] {
        assert!(told.contains(word), "{told}");
    }
    assert!(image(&both, &["--part", "student"]) == image(&student, &[]));
    assert!(image(&both, &["--part", "teacher"]) == image(&teacher, &[]));
}

#[test]
fn an_unknown_network_says_what_was_tried() {
    let one = || Tensor::from(1f32);
    let unknown = with(&StateDict::default(), &[("trunk.a", one()), ("head.b", one())]);
    let told = error(&unknown, &[]);
    for word in [
        "head., trunk.",
        "context, ddpm, dit, edm, edm2, improved, unet2d, lucid",
        "--part PREFIX",
        "--config",
    ] {
        assert!(told.contains(word), "{told}");
    }
    let cases: [(&[&str], &str); 3] = [
        (&["all_modules.0.weight"], "score_sde"),
        (&["in_blocks.0.norm1.weight", "out_blocks.0.norm1.weight"], "U-ViT"),
        (&["down_blocks.0.attentions.0.attn2.to_k.weight"], "Stable Diffusion"),
    ];
    for (keys, name) in cases {
        let tensors: Vec<_> = keys.iter().map(|&key| (key, one())).collect();
        let told = error(&with(&StateDict::default(), &tensors), &[]);
        assert!(told.contains(name) && told.contains("not supported"), "{told}");
        assert!(!told.contains("--config"), "no config makes it known: {told}");
    }
}

#[test]
fn schedule_buffers_say_the_process() {
    let schedule = ScheduleConfig::cosine(100).build().expect("a schedule");
    let betas = Tensor::from_slice(&schedule.betas().to_vec()).to_kind(Kind::Float);
    let place = Place::new();
    let cosine = json!({"name": "cosine", "steps": 100});
    let process = |network: &ModelConfig| {
        put_weights(&place, "model.pt", &with(&weights(network), &[("betas", betas.copy())]));
        inspect(&place)["process"].clone()
    };
    let sprites = process(&context());
    assert_eq!((&sprites["schedule"], &sprites["time"]), (&cosine, &json!("fraction")));
    let plain = process(&ddpm());
    assert_eq!((&plain["schedule"], &plain["time"]), (&cosine, &json!("index")));
    let assume = ["--assume", "--set", "size=16"];
    let sample = |place: &Place, options: &[&str]| sample(place, &[&assume[..], options].concat());
    let alone = sample(&place, &[]).succeeds();
    assert!(alone.stderr.contains("schedule buffers"), "{}", alone.stderr);
    let from_buffers = fs::read(place.path("x.npz")).expect("samples");
    let same = sample(&place, &["--process", "cosine:100"]).succeeds();
    assert!(!same.stderr.contains("buffers"), "{}", same.stderr);
    assert!(fs::read(place.path("x.npz")).expect("samples") == from_buffers);
    let other = sample(&place, &["--process", "linear:100"]).succeeds();
    assert!(other.stderr.contains("another noise schedule"), "{}", other.stderr);
}

#[test]
fn metadata_of_other_programs_is_ignored_and_ours_is_checked() {
    let network = weights(&context());
    let place = Place::new();
    let cases: [(&str, &str, Option<&[&str]>); 5] = [
        ("model", "a U-Net of mine", Some(&["metadata `model` is invalid"])),
        ("process", "{\"steps\": 1000}", Some(&["metadata `process` is invalid"])),
        ("classes", "1000", Some(&["metadata `classes` is invalid"])),
        ("contexts", "[\"a\", \"b\"]", Some(&["2 contexts", "takes 5"])),
        ("training", "12", None),
    ];
    for (key, text, wrong) in cases {
        let mut file = together(&[("", &network)]);
        file.set_metadata_text(key, text);
        put_weights(&place, "model.safetensors", &file);
        let arguments =
            ["sample", "model.safetensors", "-n", "1", "--steps", "2", "--out", "x.png"];
        place.run(&[&arguments[..], &["--process", "sprites"]].concat()).succeeds();
        place.run(&["inspect", "model.safetensors"]).succeeds();
        let convert = ["convert", "model.safetensors", "y.safetensors", "--process", "sprites"];
        place.run(&convert).succeeds();
        place
            .run(&["sample", "y.safetensors", "-n", "1", "--steps", "2", "--out", "x.png"])
            .succeeds();
        // The same entry in a file with our mark is wrong.
        file.set_metadata("inkdrop", &"0.1.0").expect("JSON");
        if let Some(words) = wrong {
            put_weights(&place, "model.safetensors", &file);
            place.run(&[&arguments[..], &["--process", "sprites"]].concat()).fails_saying(words);
        }
    }
}

#[test]
fn settings_without_effect_are_not_asked_for() {
    let config = json!({"family": "unet2d", "size": 16, "channels": 3, "outputs": 3,
        "features": [8, 16], "blocks": 1, "down_attention": [false, false],
        "up_attention": [false, false], "middle": false, "middle_attention": false,
        "groups": 4});
    let config = serde_json::from_value(config).expect("a config");
    let place = Place::new();
    put_weights(&place, "model.pt", &weights(&config));
    let assumed = inspect(&place)["assumed"].clone();
    let assumed = assumed.as_object().expect("an object");
    for field in ["head_channels", "middle_divisor", "middle_groups"] {
        assert!(!assumed.contains_key(field), "{field}");
    }
    assert!(assumed.contains_key("groups") && assumed.contains_key("far_padding"));
}

#[test]
fn pointers_of_git_lfs_and_hub_caches_are_known() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    for file in ["unet/diffusion_pytorch_model.safetensors", "unet/config.json"] {
        let place = place_with_pipeline();
        place.put(&format!("pipe/{file}"), pointer);
        let arguments = ["sample", "pipe", "-n", "1", "--out", "x.png"];
        let told = place.run(&arguments).fails_saying(&[]).stderr;
        assert!(told.contains("Git LFS") && told.contains("git lfs pull"), "{told}");
    }
    let place = place_with_pipeline();
    let cache = place.path("models--me--it");
    fs::create_dir_all(cache.join("refs")).expect("a writable folder");
    fs::create_dir_all(cache.join("snapshots")).expect("a writable folder");
    fs::write(cache.join("refs/main"), "abc\n").expect("a writable folder");
    fs::rename(place.path("pipe"), cache.join("snapshots/abc")).expect("a writable folder");
    let arguments = ["sample", "models--me--it", "-n", "1", "--steps", "2", "--out", "x.png"];
    place.run(&arguments).succeeds();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../blobs/gone", place.path("link.pt")).expect("a link");
        place.refuses(&["sample", "link.pt", "--out", "y.png"], &["link.pt", "blobs/gone"]);
    }
}

#[test]
fn a_config_is_enough_below_a_prefix() {
    let place = Place::new();
    put_config(&place, "net.json", &ddpm());
    put_weights(&place, "model.pt", &together(&[("score_net.", &weights(&ddpm()))]));
    sample(&place, &["--config", "net.json", "--process", "ddpm"]).succeeds();
}
