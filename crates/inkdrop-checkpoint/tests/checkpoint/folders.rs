//! Folders of diffusers are read as diffusers reads them, and written as it writes them.

use std::fs;
use std::path::Path;

use inkdrop_checkpoint::{CheckpointError, DiffusersFolder, Format, StateDict};
use inkdrop_torch::tch::Tensor;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::assert_same;

const STEM: &str = "diffusion_pytorch_model";

fn weights(keys: &[&str]) -> StateDict {
    let mut weights = StateDict::default();
    for (index, key) in keys.iter().enumerate() {
        weights.insert(*key, Tensor::from_slice(&[index as f32, 0.5]));
    }
    weights
}

fn example() -> DiffusersFolder {
    DiffusersFolder {
        config: json!({"_class_name": "UNet2DModel", "sample_size": 16}),
        scheduler: Some(json!({"_class_name": "DDPMScheduler", "num_train_timesteps": 500})),
        weights: weights(&["conv_in.weight", "conv_out.bias"]),
    }
}

/// A bare folder with a config and these files of weights.
fn bare(files: &[(&str, &[&str])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.json"), r#"{"sample_size": 16}"#).unwrap();
    for (name, keys) in files {
        weights(keys).save(&folder.path().join(name)).unwrap();
    }
    folder
}

fn keys(path: &Path) -> Vec<String> {
    let folder = DiffusersFolder::open(path).unwrap();
    folder.weights.iter().map(|(key, _)| key.to_string()).collect()
}

fn refused(result: Result<impl std::fmt::Debug, CheckpointError>, words: &[&str]) {
    let error = result.unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{words:?} are not in: {error}");
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("new/pipeline");
    for _ in 0..2 {
        example().write(&path).unwrap();
        assert!(DiffusersFolder::is_at(&path) && DiffusersFolder::is_at(&path.join("unet")));
        let read = DiffusersFolder::open(&path).unwrap();
        assert_eq!((&read.config, &read.scheduler), (&example().config, &example().scheduler));
        assert_same(&read.weights, &example().weights);
        assert_eq!(read.weights.metadata_text("format"), Some("pt"));
        assert_eq!(read.weights.format(), Format::Safetensors);
    }
    let alone = DiffusersFolder::open(&path.join("unet")).unwrap();
    assert!(alone.scheduler.is_none());
    assert_same(&alone.weights, &example().weights);
}

#[test]
fn the_pipeline_names_its_parts() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("ddpm");
    example().write(&path).unwrap();
    let index = json_of(&path.join("model_index.json"));
    assert_eq!(index["_class_name"], "DDPMPipeline");
    assert_eq!(index["scheduler"], json!(["diffusers", "DDPMScheduler"]));
    assert_eq!(index["unet"], json!(["diffusers", "UNet2DModel"]));
    let mut ddim = example();
    ddim.scheduler = Some(json!({"_class_name": "DDIMScheduler"}));
    ddim.write(&path).unwrap();
    assert_eq!(json_of(&path.join("model_index.json"))["_class_name"], "DDIMPipeline");
    let with = |class: &str| {
        let scheduler = Some(json!({ "_class_name": class }));
        DiffusersFolder { scheduler, ..example() }
    };
    assert_eq!(with("PNDMScheduler").pipeline(), Some("PNDMPipeline"));
    // DDPMPipeline scales no noise by sigma.
    for class in ["EDMEulerScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"] {
        with(class).write(&path).unwrap();
        assert!(!path.join("model_index.json").exists(), "{class}");
        assert_eq!(DiffusersFolder::open(&path).unwrap().scheduler.unwrap()["_class_name"], class);
    }
    let path = place.path().join("alone");
    DiffusersFolder { scheduler: None, ..example() }.write(&path).unwrap();
    assert!(!path.join("model_index.json").exists() && !path.join("scheduler").exists());
    assert!(path.join("config.json").is_file() && !path.join("unet").exists());
    assert!(DiffusersFolder::open(&path).unwrap().scheduler.is_none());
}

#[test]
fn a_scheduler_beside_the_network_is_read() {
    let folder = bare(&[(&format!("{STEM}.safetensors"), &["a"])]);
    fs::write(folder.path().join("model_index.json"), "{}").unwrap();
    fs::write(folder.path().join("scheduler_config.json"), r#"{"beta_end": 0.02}"#).unwrap();
    let read = DiffusersFolder::open(folder.path()).unwrap();
    assert_eq!(read.scheduler, Some(json!({"beta_end": 0.02})));
}

#[test]
fn pickled_weights_are_read_too() {
    let folder = bare(&[]);
    weights(&["a"]).save_torch(&folder.path().join(format!("{STEM}.bin")), &[]).unwrap();
    assert_eq!(DiffusersFolder::open(folder.path()).unwrap().weights.format(), Format::TorchZip);
}

#[test]
fn plain_files_come_before_variants() {
    let (plain, half) = (format!("{STEM}.safetensors"), format!("{STEM}.fp16.safetensors"));
    let both = bare(&[(&plain, &["plain"]), (&half, &["half"])]);
    assert_eq!(keys(both.path()), ["plain"]);
    let variant = bare(&[(&half, &["half"])]);
    assert_eq!(keys(variant.path()), ["half"]);
    let other = format!("{STEM}.non_ema.safetensors");
    let several = bare(&[(&half, &["half"]), (&other, &["other"])]);
    refused(DiffusersFolder::open(several.path()), &["several variants", &half, &other]);
}

#[test]
fn shards_are_put_together() {
    let (one, two) = ("model-1.safetensors", "model-2.safetensors");
    let folder = bare(&[(one, &["a", "b"]), (two, &["c"])]);
    let put = |name: &str, map: Value| {
        let text = json!({"metadata": {}, "weight_map": map}).to_string();
        fs::write(folder.path().join(name), text).unwrap();
    };
    // Both names that diffusers has given to the index of a variant.
    for name in ["safetensors.index.fp16.json", "safetensors.fp16.index.json"] {
        put(&format!("{STEM}.{name}"), json!({"a": one, "b": one, "c": two}));
        assert_eq!(keys(folder.path()), ["a", "b", "c"], "{name}");
        fs::remove_file(folder.path().join(format!("{STEM}.{name}"))).unwrap();
    }
    let index = format!("{STEM}.safetensors.index.json");
    put(&index, json!({"a": one, "b": one}));
    assert_eq!(keys(folder.path()), ["a", "b"]);
    put(&index, json!({"a": one, "d": two}));
    refused(DiffusersFolder::open(folder.path()), &[&index, "`d`", "not in its shard"]);
    put(&index, json!({"a": one, "d": "missing.safetensors"}));
    refused(DiffusersFolder::open(folder.path()), &["missing.safetensors"]);
    put(&index, json!(3));
    refused(DiffusersFolder::open(folder.path()), &[&index, "weight_map"]);
    weights(&["a"]).save(&folder.path().join(two)).unwrap();
    put(&index, json!({"a": one, "b": two}));
    refused(DiffusersFolder::open(folder.path()), &["`a`", "two shards"]);
}

#[test]
fn an_index_cannot_point_out_of_its_folder() {
    let place = bare(&[("outside.safetensors", &["a"])]);
    let folder = place.path().join("inner");
    fs::create_dir_all(folder.join("deeper")).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    let absolute = place.path().join("outside.safetensors").display().to_string();
    let names =
        ["../outside.safetensors", &absolute, "..", ".", "", "a/b", "a\\b", "a\0b", "./a", "C:x"];
    for name in names {
        let index = json!({"weight_map": {"a": name}}).to_string();
        fs::write(folder.join(format!("{STEM}.safetensors.index.json")), index).unwrap();
        refused(DiffusersFolder::open(&folder), &["`a`", "in its own folder"]);
    }
}

#[test]
fn old_names_of_attention_are_renamed() {
    let old = ["query", "key", "value", "proj_attn", "group_norm"];
    let new = ["to_q", "to_k", "to_v", "to_out.0", "group_norm"];
    let block = "down_blocks.1.attentions.0";
    let names = |layers: [&str; 5]| layers.map(|layer| format!("{block}.{layer}.weight"));
    let others = ["mid_block.query.weight", "attentions.x.key.bias", "query.weight"];
    let given: Vec<String> = names(old).into_iter().chain(others.map(String::from)).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let folder = bare(&[(&format!("{STEM}.safetensors"), &given)]);
    let mut expected = [names(new).to_vec(), others.map(String::from).to_vec()].concat();
    expected.sort();
    assert_eq!(keys(folder.path()), expected);
    let both = ["attentions.0.query.bias", "attentions.0.to_q.bias"];
    let folder = bare(&[(&format!("{STEM}.safetensors"), &both)]);
    refused(DiffusersFolder::open(folder.path()), &["attentions.0.to_q.bias", "old name"]);
}

#[test]
fn folders_that_are_none_say_what_is_missing() {
    let place = TempDir::new().unwrap();
    let path = place.path();
    assert!(!DiffusersFolder::is_at(path));
    refused(DiffusersFolder::open(&path.join("nowhere")), &["nowhere", "does not exist"]);
    refused(DiffusersFolder::open(path), &["config.json", "unet/config.json"]);
    fs::write(path.join("model_index.json"), "{}").unwrap();
    refused(DiffusersFolder::open(path), &["no unet folder"]);
    refused(DiffusersFolder::open(&path.join("model_index.json")), &["it is a file"]);
    fs::create_dir(path.join("unet")).unwrap();
    refused(DiffusersFolder::open(path), &["unet", "no config.json"]);
    fs::write(path.join("unet/config.json"), "{").unwrap();
    refused(DiffusersFolder::open(path), &["config.json", "not a valid file of diffusers"]);
    fs::write(path.join("unet/config.json"), "[]").unwrap();
    refused(DiffusersFolder::open(path), &["config.json", "an object"]);
    fs::write(path.join("unet/config.json"), "{}").unwrap();
    refused(DiffusersFolder::open(path), &["no weights", "diffusion_pytorch_model.safetensors"]);
}

#[test]
fn nothing_else_is_written_over() {
    let place = TempDir::new().unwrap();
    let path = place.path();
    fs::write(path.join("notes.txt"), "kept").unwrap();
    refused(example().write(path), &["not empty"]);
    refused(example().write(&path.join("notes.txt")), &["it is a file"]);
    let pipeline = path.join("pipeline");
    example().write(&pipeline).unwrap();
    let other = pipeline.join(format!("unet/{STEM}.safetensors.index.json"));
    fs::write(&other, "{}").unwrap();
    refused(example().write(&pipeline), &["index.json", "remove it"]);
    fs::remove_file(other).unwrap();
    refused(DiffusersFolder { scheduler: None, ..example() }.write(&pipeline), &["scheduler"]);
    assert_eq!(fs::read(path.join("notes.txt")).unwrap(), b"kept");
}
