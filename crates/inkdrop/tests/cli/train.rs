//! What a run leaves in its folder.

use std::fs;

use inkdrop_checkpoint::StateDict;

use super::support::{Place, contents, tensors, train_args};

/// The objects of a run's log.
fn log(place: &Place, run: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(place.path(run).join("log.jsonl")).expect("a log");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON on every line")).collect()
}

fn config(place: &Place, run: &str) -> toml::Table {
    let text = fs::read_to_string(place.path(run).join("config.toml")).expect("a config");
    text.parse().expect("TOML")
}

#[test]
fn a_run_leaves_config_log_checkpoints_samples_and_final_weights() {
    let place = Place::new();
    place.train("run", "4", &["--set", "train.sample_every=2"]).succeeds();
    for name in [
        "run/checkpoints/step-0000004.safetensors",
        "run/samples/step-0000002.png",
        "run/samples/step-0000004.png",
        "run/final.safetensors",
    ] {
        assert!(place.path(name).is_file(), "no {name}");
    }
    let events: Vec<_> = contents(&place.path("run/events")).into_iter().collect();
    let [(_, Some(events))] = &events[..] else { panic!("one event file") };
    for tag in ["config", "samples", "loss/all", "loss/q3", "gradient/norm", "lr"] {
        let there = events.windows(tag.len()).any(|bytes| bytes == tag.as_bytes());
        assert!(there, "no {tag} for TensorBoard");
    }
    let lines = log(&place, "run");
    let steps: Vec<_> = lines.iter().map(|line| line["step"].as_u64()).collect();
    assert_eq!(steps, [1, 2, 3, 4].map(Some));
    for line in &lines {
        assert!(line["loss"].as_f64().is_some_and(|loss| loss > 0.0), "{line}");
        assert!(line["lr"].as_f64().is_some_and(|lr| lr > 0.0), "{line}");
    }
    let picture = fs::File::open(place.path("run/samples/step-0000004.png")).expect("a file");
    png::Decoder::new(std::io::BufReader::new(picture)).read_info().expect("a PNG");
}

#[test]
fn options_override_the_file_and_the_folder_keeps_the_result() {
    let place = Place::new();
    place.train("run", "2", &["--set", "train.lr=5e-4", "--set", "data.seed=9"]).succeeds();
    let config = config(&place, "run");
    assert_eq!(config["train"]["steps"].as_integer(), Some(2));
    assert_eq!(config["train"]["checkpoint_every"].as_integer(), Some(1));
    assert_eq!(config["train"]["lr"].as_float(), Some(5e-4));
    assert_eq!(config["data"]["seed"].as_integer(), Some(9));
    assert_eq!(config["model"]["features"].as_integer(), Some(8));
    assert_eq!(log(&place, "run").len(), 2);
}

#[test]
fn a_run_s_config_makes_the_same_run_again() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    place.run(&["train", "run/config.toml", "--out", "again"]).succeeds();
    let weights = |run: &str| tensors(&place.path(run).join("final.safetensors"));
    assert!(weights("run") == weights("again"));
}

#[test]
fn final_weights_are_the_average_and_say_what_they_are() {
    let place = Place::new();
    place.train("run", "4", &["--set", "train.ema=[\"0\"]"]).succeeds();
    place.train("slow", "4", &["--set", "train.ema=[\"0.9\"]"]).succeeds();
    let path = |run: &str| place.path(run).join("final.safetensors");
    assert!(tensors(&path("run")) != tensors(&path("slow")), "the decay changes nothing");
    let weights = StateDict::open(&path("run")).expect("weights");
    let model: serde_json::Value = weights.metadata("model").expect("JSON").expect("metadata");
    assert_eq!(model["features"], 8);
    let contexts: Vec<String> = weights.metadata("contexts").expect("JSON").expect("metadata");
    assert_eq!(contexts, ["hero", "non-hero", "food", "spell", "side-facing"]);
}

#[test]
fn a_folder_with_another_run_is_refused_and_stays() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    place.refuses(&train_args("run", "2", &["--set", "train.lr=1e-4"]), &["run", "--resume"]);
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_before_anything_bad_is_kept() {
    let place = Place::new();
    let said = ["step", "no checkpoint was saved", "train.lr"];
    let outcome = place.train("run", "10", &["--set", "train.lr=1e30"]).fails_saying(&said);
    assert_eq!(outcome.code, Some(1));
    assert!(contents(&place.path("run/checkpoints")).is_empty());
    assert!(!place.path("run/final.safetensors").exists());
}

/// A network that predicts v, weighted by min(SNR, 5), learns and says so in its file.
#[test]
fn other_targets_and_weights_are_learned() {
    let place = Place::new();
    let settings =
        ["--set", "process.prediction=v", "--set", "train.weighting={min-snr={gamma=5.0}}"];
    place.run(&train_args("run", "3", &settings)).succeeds();
    let weights = StateDict::open(&place.path("run/final.safetensors")).expect("a model");
    let process: Option<serde_json::Value> = weights.metadata("process").expect("JSON");
    assert_eq!(process.expect("a process")["prediction"], "velocity");
    place.run(&["sample", "run/final.safetensors", "-n", "1", "--steps", "2"]).succeeds();
}
