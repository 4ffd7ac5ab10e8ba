//! What save_torch writes is read back bit for bit, and is laid out as torch's own files are.

use std::fs;
use std::io::Cursor;

use inkdrop_checkpoint::{Format, StateDict};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use zip::ZipArchive;

use crate::support::{assert_same, fixture};

fn saved(weights: &StateDict, order: &[&str]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("w.pt");
    weights.save_torch(&path, order).unwrap();
    fs::read(&path).unwrap()
}

#[test]
fn every_kind_survives_a_torch_file() {
    for name in ["kinds", "training", "arrays"] {
        let weights = StateDict::open(&fixture(&format!("{name}.safetensors"))).unwrap();
        let read = StateDict::from_bytes(&saved(&weights, &[]), "w.pt").unwrap();
        assert_eq!(read.format(), Format::TorchZip);
        assert!(read.skipped().is_empty());
        assert_same(&read, &weights);
    }
}

#[test]
fn views_of_networks_are_written_whole() {
    let base = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]);
    let mut weights = StateDict::default();
    weights.insert("turned", base.transpose(0, 1));
    weights.insert("row", base.get(1).set_requires_grad(true));
    assert_same(&StateDict::from_bytes(&saved(&weights, &[]), "w.pt").unwrap(), &weights);
}

#[test]
fn values_begin_at_multiples_of_64() {
    let weights = StateDict::open(&fixture("kinds.safetensors")).unwrap();
    let file = saved(&weights, &[]);
    let mut zip = ZipArchive::new(Cursor::new(&file)).unwrap();
    assert_eq!(zip.by_index(0).unwrap().name().unwrap(), "archive/data.pkl");
    for index in 0..zip.len() {
        let entry = zip.by_index(index).unwrap();
        assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
        assert_eq!(entry.data_start().unwrap() % 64, 0, "{:?}", entry.name());
    }
}

#[test]
fn keys_come_in_the_order_that_is_asked_for() {
    let mut weights = StateDict::default();
    for key in ["alpha", "beta", "gamma", "delta"] {
        weights.insert(key, Tensor::from(0.0));
    }
    let place = |file: &[u8], key: &str| {
        file.windows(key.len()).position(|part| part == key.as_bytes()).unwrap()
    };
    let ordered = |order: &[&str], expected: [&str; 4]| {
        let file = saved(&weights, order);
        assert!(expected.map(|key| place(&file, key)).is_sorted(), "{order:?}");
    };
    ordered(&[], ["alpha", "beta", "delta", "gamma"]);
    ordered(&["gamma", "absent", "beta"], ["gamma", "beta", "alpha", "delta"]);
}

#[test]
fn a_failed_save_leaves_what_was_there() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("w.pt");
    fs::write(&path, b"kept").unwrap();
    let mut weights = StateDict::default();
    weights.insert("a", Tensor::zeros([2], (Kind::ComplexFloat, Device::Cpu)));
    let error = weights.save_torch(&path, &[]).unwrap_err().to_string();
    assert!(error.contains("a: ComplexFloat"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"kept");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    assert!(
        weights.save_torch(folder.path(), &[]).unwrap_err().to_string().contains("cannot write")
    );
}

#[test]
fn the_order_of_a_torch_file_is_known() {
    let mut weights = StateDict::default();
    let names = ["net.z", "net.a", "ema.b", "net.m"];
    for name in names {
        weights.insert(name, Tensor::from(1.0f32));
    }
    let read = StateDict::from_bytes(&saved(&weights, &names), "w.pt").unwrap();
    assert_eq!(read.order(), names);
    assert_eq!(read.part(Some("net")).unwrap().order(), ["z", "a", "m"]);
    assert!(weights.order().is_empty());
}
