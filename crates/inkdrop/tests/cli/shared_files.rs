//! Every checkpoint of the shared folder: PyTorch programs wrote them, and no option is needed but what they lack.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use inkdrop::model::{BuildOptions, Model, ModelOverrides};
use inkdrop_checkpoint::StateDict;
use inkdrop_nn::{ClassIds, Conditioning, Mode};
use inkdrop_process::{ContinuousProcess, DiffusionConfig};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use serde_json::Value;

use super::support::Place;

/// The checkpoints of the folder with their sidecars; none without the folder.
fn files() -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/files");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: there is no ../shared/files");
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let weights = paths.filter(|path| path.extension().is_some_and(|ending| ending != "json"));
    let sidecar = |path: &Path| {
        serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap()
    };
    weights.map(|path| (path.clone(), sidecar(&path))).collect()
}

/// Family, part and a field of the config of each file.
fn expected(name: &str) -> (&'static str, &'static str, (&'static str, i64)) {
    match name {
        "edm_snapshot.pkl" => ("edm", "ema.model", ("augment", 9)),
        "edm2_snapshot.pkl" => ("edm2", "ema", ("logvar", 16)),
        "lucid_trainer.pt" => ("lucid", "ema.ema_model.model", ("features", 6)),
        other => panic!("{other} has no expectation here"),
    }
}

#[test]
fn each_is_recognised_and_samples() {
    for (path, _) in files() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (family, part, (field, value)) = expected(name);
        let (place, file) = (Place::new(), path.to_str().unwrap());
        let told = place.run(&["inspect", file, "--json"]).succeeds().stdout;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["family"], family, "{name}");
        assert_eq!(told["config"][field], value, "{name}");
        assert_eq!(told["parts"][0], part, "{name}");
        assert!(!told["process"].is_null(), "{name}");
        let text = place.run(&["inspect", file]).succeeds().stdout;
        assert!(text.contains(&format!("family {family}")) && text.contains(part), "{text}");
        // lucidrains' networks do not record the image size.
        let size: &[&str] = if family == "lucid" { &["--set", "size=16"] } else { &[] };
        let sample = ["sample", file, "-n", "2", "--steps", "3", "--out", "x.npz"];
        place.run(&[&sample[..], size].concat()).succeeds();
        let convert = ["convert", file, "own.safetensors"];
        place.run(&[&convert[..], size].concat()).succeeds();
        place
            .run(&["sample", "own.safetensors", "-n", "2", "--steps", "3", "--out", "y.npz"])
            .succeeds();
        let bytes = |name| fs::read(place.path(name)).unwrap();
        assert!(bytes("x.npz") == bytes("y.npz"), "{name}: the converted file samples the same");
    }
}

fn numbers(value: &Value) -> Tensor {
    Tensor::from_slice(&Vec::from_iter(flat(value))).to_kind(Kind::Float)
}

fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

#[test]
fn every_tensor_of_a_snapshot_is_the_programs() {
    let snapshots = files().into_iter().filter(|(_, sidecar)| sidecar["network_class"].is_string());
    for (path, sidecar) in snapshots {
        let whole = StateDict::open(&path).unwrap();
        let weights = whole.below(&format!("{}.", sidecar["network_at"].as_str().unwrap()));
        let described = sidecar["state_dict"].as_object().unwrap();
        assert_eq!(weights.iter().count(), described.len());
        for (key, expected) in described {
            let tensor = weights.get(key).unwrap();
            let kind = format!("{:?}", tensor.kind()).replace("Half", "float16");
            assert!(
                expected["dtype"].as_str().unwrap().ends_with(&kind.replace("Float", "float32"))
            );
            let shape: Vec<i64> = serde_json::from_value(expected["shape"].clone()).unwrap();
            assert_eq!(tensor.size(), shape, "{key}");
            let values = tensor.to_kind(Kind::Double);
            for (sum, name) in [
                (values.sum(Kind::Double), "sum_f64"),
                (values.abs().sum(Kind::Double), "abs_sum_f64"),
            ] {
                let expected = expected[name].as_f64().unwrap();
                let error = (sum.double_value(&[]) - expected).abs();
                assert!(error <= 1e-12 * expected.abs().max(1.0), "{key}: {name} off by {error}");
            }
        }
    }
}

/// D(x; σ) of the preconditioned network equals the program's.
#[test]
fn denoisers_of_snapshots_give_the_programs_outputs() {
    for (path, sidecar) in files() {
        let forward = &sidecar["forward"];
        if forward.is_null() {
            continue;
        }
        let mut model = Model::open(&path, &ModelOverrides::default()).unwrap();
        let DiffusionConfig::Continuous(process) = model.metadata.process else { panic!() };
        let process = ContinuousProcess::new(&process, Device::Cpu).unwrap();
        let network = model.build(&BuildOptions::default()).unwrap();
        let shape: Vec<i64> = serde_json::from_value(forward["x_shape"].clone()).unwrap();
        let x = numbers(&forward["x"]).view(&shape[..]);
        let one_hot = numbers(&forward["class_labels"]).view([shape[0], -1]);
        let ids = Vec::<i64>::try_from(one_hot.argmax(1, false)).unwrap();
        let classes = Conditioning::classes(ClassIds::new(&ids, Device::Cpu).unwrap());
        let out =
            process.denoise_trained(&*network, &x, &flat(&forward["sigma"]), &classes, Mode::Eval);
        let out = out.unwrap();
        let expected = numbers(&forward["out"]).view(&shape[..]);
        let error = (out - expected).abs().max().double_value(&[]);
        println!("{}: D differs by {error:.1e}", path.display());
        assert!(error < 5e-6, "{}: {error}", path.display());
    }
}
