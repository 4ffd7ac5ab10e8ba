//! Flags, keys and values of earlier versions: files and commands that use them still work.

use std::fs;

use inkdrop_checkpoint::StateDict;
use serde_json::{Value, json};

use super::support::{Place, place_with_model, put_run, tensors};

/// Prediction types of earlier versions, and their names now.
const PREDICTIONS: [(&str, &str); 3] =
    [("start-x", "sample"), ("previous-x", "posterior-mean"), ("v", "velocity")];

/// Formulas of the forward noise in earlier versions, and their names now.
const FORWARD_NOISE: [(&str, &str); 2] = [("exact", "standard"), ("published", "sprites-notebook")];

fn sample(place: &Place, model: &str, options: &[&str]) {
    sample_count(place, model, "2", options);
}

fn sample_count(place: &Place, model: &str, count: &str, options: &[&str]) {
    let args = ["sample", model, "-n", count, "--steps", "3"];
    place.run(&[&args[..], options].concat()).succeeds();
}

fn same_bytes(place: &Place, old: &str, new: &str) {
    let bytes = |name: &str| fs::read(place.path(name)).expect("an output");
    assert!(bytes(old) == bytes(new), "{old} differs from {new}");
}

/// The process of a model, as `inspect` reads it.
fn process(place: &Place, args: &[&str]) -> Value {
    let outcome = place.run(&[&["inspect", "--json"], args].concat()).succeeds();
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    report["process"].clone()
}

/// Replaces keys and texts of a JSON file.
fn replace(place: &Place, name: &str, pairs: &[(&str, &str)]) {
    let mut text = fs::read_to_string(place.path(name)).expect("a text");
    for (now, old) in pairs {
        assert!(text.contains(now), "no {now} in {text}");
        text = text.replace(now, old);
    }
    place.put(name, text.as_bytes());
}

#[test]
fn film_flags_are_animation_flags() {
    let place = place_with_model();
    for (name, of) in [("x.gif", "x"), ("x0.apng", "x0")] {
        let (old, new) = (format!("old-{name}"), format!("new-{name}"));
        sample(&place, "model.safetensors", &["--film", &old, "--film-of", of]);
        sample(&place, "model.safetensors", &["--animation", &new, "--animation-of", of]);
        same_bytes(&place, &old, &new);
    }
}

#[test]
fn process_options_have_their_old_words() {
    let place = place_with_model();
    place.run(&["convert", "model.safetensors", "model.pt"]).succeeds();
    for (old, new) in PREDICTIONS {
        let read = |word: &str| {
            process(&place, &["model.pt", "--process", &format!("cosine:100:rescaled:{word}")])
        };
        assert_eq!(read(old), read(new));
        assert_eq!(read(old)["prediction"], new);
    }
}

#[test]
fn process_files_have_the_old_key_of_the_prediction_type() {
    let place = place_with_model();
    place.run(&["convert", "model.safetensors", "model.pt"]).succeeds();
    for (old, new) in PREDICTIONS {
        let rest = "schedule = { name = \"cosine\", steps = 100 }\ntime = \"index\"\n\
                    variance = \"fixed-large\"";
        place.put("old.toml", format!("mean = \"{old}\"\n{rest}").as_bytes());
        place.put("new.toml", format!("prediction = \"{new}\"\n{rest}").as_bytes());
        let read = |file: &str| process(&place, &["model.pt", "--process", file]);
        assert_eq!(read("old.toml"), read("new.toml"));
        assert_eq!(read("old.toml")["prediction"], new);
    }
}

#[test]
fn metadata_has_the_old_key_of_the_prediction_type() {
    let place = place_with_model();
    let mut weights = StateDict::open(&place.path("model.safetensors")).expect("weights");
    let stored: Value = weights.metadata("process").expect("JSON").expect("a process");
    for (old, new) in PREDICTIONS {
        for (file, key, value) in
            [("old.safetensors", "mean", old), ("new.safetensors", "prediction", new)]
        {
            let mut process = stored.clone();
            process[key] = json!(value);
            weights.set_metadata("process", &process).expect("JSON");
            weights.save(&place.path(file)).expect("a writable folder");
        }
        assert_eq!(process(&place, &["old.safetensors"])["prediction"], new);
        sample(&place, "old.safetensors", &["--out", "old.png"]);
        sample(&place, "new.safetensors", &["--out", "new.png"]);
        same_bytes(&place, "old.png", "new.png");
    }
}

/// Writes a training config with these keys of [process] and [train].
fn put_config(place: &Place, name: &str, prediction: (&str, &str), noise: (&str, &str)) {
    put_run(place, "3", "5", "kind = \"sprites\"\nseed = 0\ncount = 16");
    let text = fs::read_to_string(place.path("mine.toml")).expect("a config");
    let mut config: toml::Table = text.parse().expect("TOML");
    for (section, (key, value)) in [("process", prediction), ("train", noise)] {
        let section = config[section].as_table_mut().expect("a section");
        for known in ["noising", "forward_noise", "mean", "prediction"] {
            section.remove(known);
        }
        section.insert(key.to_string(), value.into());
    }
    place.put(name, config.to_string().as_bytes());
}

#[test]
fn training_configs_have_their_old_keys_and_values() {
    let place = Place::new();
    let predictions = [PREDICTIONS[0], PREDICTIONS[2]];
    for ((mean, prediction), (noising, noise)) in predictions.into_iter().zip(FORWARD_NOISE) {
        put_config(&place, "old.toml", ("mean", mean), ("noising", noising));
        put_config(&place, "new.toml", ("prediction", prediction), ("forward_noise", noise));
        let run = |config: &str, out: &str| {
            place.run(&["train", config, "--out", out]).succeeds();
            fs::read_to_string(place.path(&format!("{out}/config.toml"))).expect("a config")
        };
        let (old, new) = (format!("old-{mean}"), format!("new-{mean}"));
        let config = run("old.toml", &old);
        assert_eq!(config, run("new.toml", &new));
        assert!(config.contains(&format!("forward_noise = \"{noise}\"")), "{config}");
        let last = |out: &str| tensors(&place.path(&format!("{out}/final.safetensors")));
        assert!(last(&old) == last(&new), "{mean}, {noising}");
    }
}

#[test]
fn a_run_with_an_old_config_is_resumed() {
    let place = Place::new();
    put_config(&place, "new.toml", ("prediction", "velocity"), ("forward_noise", "standard"));
    place.run(&["train", "new.toml", "--out", "run"]).succeeds();
    let old = [
        ("prediction = \"velocity\"", "mean = \"v\""),
        ("forward_noise = \"standard\"", "noising = \"exact\""),
    ];
    replace(&place, "run/config.toml", &old);
    let resume = ["train", "new.toml", "--out", "run", "--resume", "--steps", "3"];
    place.run(&resume).succeeds();
    let config = fs::read_to_string(place.path("run/config.toml")).expect("a config");
    assert!(config.contains(old[0].0) && config.contains(old[1].0), "{config}");
}

/// Under the old name, too, an override replaces the value of a config and is not a second one.
#[test]
fn overrides_have_the_old_names_of_keys() {
    let place = Place::new();
    put_config(&place, "new.toml", ("prediction", "sample"), ("forward_noise", "standard"));
    put_config(&place, "old.toml", ("mean", "start-x"), ("noising", "exact"));
    for (config, [prediction, noise]) in [
        ("new.toml", ["process.mean=v", "train.noising=published"]),
        ("old.toml", ["process.prediction=velocity", "train.forward_noise=sprites-notebook"]),
    ] {
        let out = config.replace(".toml", "");
        let args = ["train", config, "--out", &out, "--set", prediction, "--set", noise];
        place.run(&args).succeeds();
        let written = fs::read_to_string(place.path(&format!("{out}/config.toml")));
        let written = written.expect("a config");
        assert!(written.contains("prediction = \"velocity\""), "{written}");
        assert!(written.contains("forward_noise = \"sprites-notebook\""), "{written}");
    }
}

#[test]
fn samples_with_an_old_manifest_are_continued() {
    let place = place_with_model();
    let mut weights = StateDict::open(&place.path("model.safetensors")).expect("weights");
    let mut process: Value = weights.metadata("process").expect("JSON").expect("a process");
    process["prediction"] = json!("velocity");
    weights.set_metadata("process", &process).expect("JSON");
    weights.save(&place.path("v.safetensors")).expect("a writable folder");
    let class = ["--class", "hero", "--batch", "2", "--out", "x/"];
    sample(&place, "v.safetensors", &class);
    let old =
        [("\"condition\":", "\"asked\":"), ("\"prediction\": \"velocity\"", "\"mean\": \"v\"")];
    replace(&place, "x/samples.json", &old);
    let first = fs::read(place.path("x/00000.png")).expect("an image");
    sample_count(&place, "v.safetensors", "4", &class);
    assert!(place.path("x/00003.png").is_file());
    assert!(first == fs::read(place.path("x/00000.png")).expect("an image"));
}
