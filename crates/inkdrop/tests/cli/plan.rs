//! What `plan` says of a network.

use inkdrop_unet::{ModelConfig, Preset};
use serde_json::{Value, json};

use super::convert_folder::place_with_pipeline;
use super::networks::{families, improved, place_with_weights, put_config};
use super::support::Place;

fn plan(place: &Place, args: &[&str]) -> Value {
    let outcome = place.run(&[&["plan"], args, &["--json"]].concat()).succeeds();
    serde_json::from_str(&outcome.stdout).expect("JSON, and nothing else")
}

fn text(place: &Place, args: &[&str]) -> String {
    place.run(&[&["plan"], args].concat()).succeeds().stdout
}

#[test]
fn the_list_names_every_preset() {
    let list = text(&Place::new(), &["--list"]);
    assert_eq!(list.lines().count(), Preset::ALL.len());
    for (line, preset) in list.lines().zip(Preset::ALL) {
        assert!(line.starts_with(preset.name) && line.contains(preset.about), "{line}");
    }
}

#[test]
fn every_line_fits_a_terminal() {
    let place = Place::new();
    let mut texts = vec![text(&place, &["--list"])];
    texts.extend(Preset::ALL.map(|preset| text(&place, &[preset.name, "--batch", "128"])));
    for line in texts.iter().flat_map(|text| text.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn every_preset_has_the_parameters_of_its_network() {
    let place = Place::new();
    for preset in Preset::ALL {
        let told = plan(&place, &[preset.name]);
        let expected = preset.config();
        assert_eq!(told["family"], expected.family());
        assert_eq!(told["config"], serde_json::to_value(&expected).expect("JSON"));
        let stages = told["stages"].as_array().expect("a list").iter();
        let sum: i64 = stages.filter_map(|stage| stage["parameters"].as_i64()).sum();
        assert_eq!(told["parameters"], sum, "{}", preset.name);
    }
    assert_eq!(plan(&place, &["ddpm_cifar10"])["parameters"], 35_746_307);
    assert_eq!(plan(&place, &["unet2d_cifar10"])["parameters"], 35_746_307);
    assert_eq!(plan(&place, &["improved_cifar10"])["parameters"], 52_546_438);
    let shown = text(&place, &["improved_cifar10"]);
    for word in ["family improved", "input_blocks.1", "128x32x32", "52,546,438", "GFLOP", "MiB"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
}

/// Whether the program did all it did within a gigabyte of its own memory.
#[cfg(target_os = "linux")]
#[test]
fn nothing_is_allocated() {
    let limited = "ulimit -d 1000000 && exec \"$0\" \"$@\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_inkdrop"), "plan", "guided_imagenet512"]);
    let outcome = super::support::Outcome::of(command.args(["--batch", "1048576"])).succeeds();
    assert!(outcome.stdout.contains("558,997,638"), "{}", outcome.stdout);
}

#[test]
fn a_size_changes_shapes_and_work_and_no_parameters() {
    let place = Place::new();
    let usual = plan(&place, &["improved_cifar10"]);
    let wide = plan(&place, &["improved_cifar10", "--size", "32x64"]);
    assert_eq!(usual["parameters"], wide["parameters"]);
    assert!(wide["gflop"].as_f64() > usual["gflop"].as_f64());
    let last = |told: &Value| told["stages"].as_array().expect("a list").last().cloned();
    assert_eq!(last(&wide).expect("a stage")["shape"], json!([6, 32, 64]));
    assert_eq!(plan(&place, &["improved_cifar10", "--size", "32"]), usual);
    let set = plan(&place, &["unet2d_cifar10", "--set", "size=24x40"]);
    assert_eq!(set["config"]["size"], json!([24, 40]));
    assert_eq!(last(&set).expect("a stage")["shape"], json!([3, 24, 40]));
}

#[test]
fn a_batch_multiplies_the_memory_of_activations() {
    let place = Place::new();
    let memory = |batch: &str, key: &str| {
        let told = plan(&place, &["ddpm_cifar10", "--batch", batch]);
        told["memory"][key].as_i64().expect("a number")
    };
    assert_eq!(memory("1", "weights"), 4 * 35_746_307);
    assert_eq!(memory("64", "weights"), memory("1", "weights"));
    for key in ["inference", "training"] {
        let fixed = 2 * memory("1", key) - memory("2", key);
        assert_eq!(memory("5", key) - fixed, 5 * (memory("1", key) - fixed), "{key}");
    }
}

#[test]
fn absurd_sizes_stay_numbers() {
    let args = ["improved_cifar10", "--size", "1048576", "--batch", "1048576"];
    let told = plan(&Place::new(), &args);
    assert!(told["gflop"].as_f64() > Some(0.0) && told["memory"]["training"].as_i64() > Some(0));
    let stages = told["stages"].as_array().expect("a list");
    assert!(stages.iter().all(|stage| stage["gflop"].as_f64() >= Some(0.0)), "{told:#}");
}

#[test]
fn a_config_may_use_our_names_or_the_original_s() {
    let place = Place::new();
    for config in families() {
        for name in ["net.toml", "net.json"] {
            put_config(&place, name, &config);
            let told = plan(&place, &[name]);
            assert_eq!(told["config"], serde_json::to_value(&config).expect("JSON"));
        }
    }
    let ddpm = json!({"family": "ddpm", "img_channels": 3, "base_channels": 128,
        "channel_mults": [1, 2, 2, 2], "time_emb_dim": 512, "activation": "silu",
        "attention_resolutions": [1], "image_size": 32});
    let improved = json!({"family": "improved", "in_channels": 3, "model_channels": 128,
        "out_channels": 6, "num_res_blocks": 3, "attention_resolutions": [2, 4],
        "channel_mult": [1, 2, 2, 2], "dropout": 0.3, "num_heads": 4,
        "use_scale_shift_norm": true, "image_size": 32});
    let context =
        json!({"family": "context", "in_channels": 3, "n_feat": 64, "n_cfeat": 5, "height": 16});
    let cases = [(ddpm, "ddpm_cifar10"), (improved, "improved_cifar10"), (context, "sprites")];
    for (original, preset) in cases {
        place.put("net.json", original.to_string().as_bytes());
        assert_eq!(plan(&place, &["net.json"]), plan(&place, &[preset]), "{preset}");
    }
}

#[test]
fn flags_are_those_of_the_scripts() {
    let place = Place::new();
    let flags = "--image_size 32 --num_channels 128 --num_res_blocks 3 --learn_sigma True --dropout 0.3 --diffusion_steps 4000 --lr 1e-4";
    assert_eq!(plan(&place, &["--flags", flags]), plan(&place, &["improved_cifar10"]));
    let classes = ["improved_cifar10", "--set", "classes=10", "--set", "heads=8"];
    assert_eq!(plan(&place, &classes)["config"]["classes"], 10);
    assert_eq!(plan(&place, &classes)["config"]["heads"], 8);
}

#[test]
fn a_whole_run_s_config_has_a_model() {
    let place = Place::new();
    let model = toml::to_string(&improved()).expect("TOML");
    place.put("run.toml", format!("[model]\n{model}\n[process]\nname = \"x\"\n").as_bytes());
    put_config(&place, "net.toml", &improved());
    assert_eq!(plan(&place, &["run.toml"]), plan(&place, &["net.toml"]));
}

#[test]
fn weights_have_a_plan_with_what_was_assumed() {
    for config in families() {
        let place = place_with_weights("model.pt", &config);
        let told = plan(&place, &["model.pt"]);
        let expected = config.plan().expect("a plan").parameters();
        assert_eq!(told["parameters"], expected, "{}", config.family());
    }
    let place = place_with_weights("model.pt", &improved());
    let shown = text(&place, &["model.pt"]);
    for word in ["keys and shapes", "assumed size=64x64", "assumed heads=4"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    assert!(!text(&place, &["model.pt", "--set", "heads=2"]).contains("assumed heads"));
}

#[test]
fn a_diffusers_config_and_its_folder_have_the_same_plan() {
    let place = place_with_pipeline();
    let expected: ModelConfig = super::networks::unet2d();
    for name in ["pipe", "pipe/unet", "pipe/unet/config.json", "net.json"] {
        let told = plan(&place, &[name]);
        assert_eq!(told["config"], serde_json::to_value(&expected).expect("JSON"), "{name}");
    }
    assert!(text(&place, &["pipe"]).contains("config.json"));
}
