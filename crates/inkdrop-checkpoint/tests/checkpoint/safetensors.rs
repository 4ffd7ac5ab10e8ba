//! Weights go in and out unchanged, and only where they fit.

use std::fs;
use std::path::PathBuf;

use inkdrop_checkpoint::{CheckpointError, Mismatch, StateDict, load, load_shared};
use inkdrop_nn::{BatchNorm, Conv, ConvConfig, Params};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use proptest::prelude::*;
use tempfile::TempDir;

fn network(kind: Kind) -> Params {
    let mut params = Params::new(kind, Device::Cpu);
    let mut root = params.root();
    Conv::new(&mut root.sub("conv"), ConvConfig::same(2, 3, 3)).unwrap();
    BatchNorm::new(&mut root.sub("norm"), 3).unwrap();
    params
}

fn saved(weights: &StateDict) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("w.safetensors");
    weights.save(&path).unwrap();
    (folder, path)
}

fn bytes() -> Vec<u8> {
    fs::read(saved(&StateDict::of(&network(Kind::Float))).1).unwrap()
}

#[test]
fn every_kind_survives_the_file_bit_for_bit() {
    let mut weights = StateDict::default();
    let kinds = [
        Kind::Float,
        Kind::Double,
        Kind::Half,
        Kind::BFloat16,
        Kind::Int64,
        Kind::Uint8,
        Kind::Bool,
    ];
    for kind in kinds {
        let tensor =
            (Tensor::randn([2, 3], (Kind::Float, Device::Cpu)) * 100.0).abs().to_kind(kind);
        weights.insert(format!("{kind:?}"), tensor);
    }
    weights.insert("scalar", Tensor::from(7i64));
    weights.insert("empty", Tensor::zeros([0, 4], (Kind::Float, Device::Cpu)));
    // Not contiguous: a transposed view.
    weights
        .insert("view", Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3]).transpose(0, 1));
    let (_folder, path) = saved(&weights);
    let read = StateDict::open(&path).unwrap();
    assert_eq!(read.iter().count(), weights.iter().count());
    for (key, tensor) in weights.iter() {
        let other = read.get(key).unwrap();
        assert_eq!((other.kind(), other.size()), (tensor.kind(), tensor.size()), "{key}");
        assert_eq!(other, tensor, "{key}");
    }
}

#[test]
fn metadata_survives_the_file() {
    let mut weights = StateDict::of(&network(Kind::Float));
    weights.set_metadata("contexts", &vec!["hero", "food"]).unwrap();
    let (_folder, path) = saved(&weights);
    let read = StateDict::open(&path).unwrap();
    assert_eq!(read.metadata::<Vec<String>>("contexts").unwrap().unwrap(), ["hero", "food"]);
    assert_eq!(read.metadata::<u32>("absent").unwrap(), None);
    let error = read.metadata::<u32>("contexts").unwrap_err().to_string();
    assert!(error.contains("`contexts`"), "{error}");
}

#[test]
fn loading_makes_the_networks_equal() {
    let (source, target) = (network(Kind::Float), network(Kind::Float));
    assert_ne!(
        source.get("conv.weight").unwrap().tensor,
        target.get("conv.weight").unwrap().tensor
    );
    load(&target, &StateDict::of(&source), &[]).unwrap();
    for (a, b) in source.iter().zip(target.iter()) {
        assert_eq!(a.tensor, b.tensor, "{}", a.name);
    }
}

#[test]
fn shared_loading_copies_only_what_has_to_be_converted() {
    let (source, target) = (network(Kind::Float), network(Kind::Float));
    let mut weights = StateDict::of(&source);
    load_shared(&target, &mut weights, &[]).unwrap();
    for param in target.iter() {
        let given = weights.get(&param.name).unwrap();
        assert_eq!(&param.tensor, given, "{}", param.name);
        assert_eq!(param.tensor.data_ptr(), given.data_ptr(), "{} is a copy", param.name);
    }
    let half = network(Kind::BFloat16);
    load_shared(&half, &mut weights, &[]).unwrap();
    for param in half.iter() {
        let given = weights.get(&param.name).unwrap();
        assert_eq!(param.tensor, given.to_kind(param.tensor.kind()), "{}", param.name);
        let shared = param.tensor.data_ptr() == given.data_ptr();
        assert_eq!(shared, param.tensor.kind() == given.kind(), "{}", param.name);
    }
    assert!(load_shared(&target, &mut StateDict::default(), &[]).is_err(), "strict");
}

/// A file in half precision and the network are not both in memory, and the file's dtypes stay known.
#[test]
fn shared_loading_replaces_what_the_network_holds_exactly() {
    for stored in [Kind::Half, Kind::BFloat16] {
        let (source, target) = (network(stored), network(Kind::Float));
        let mut weights = StateDict::of(&source);
        load_shared(&target, &mut weights, &[]).unwrap();
        for (param, given) in target.iter().zip(source.iter()) {
            let weight = weights.get(&param.name).unwrap();
            assert_eq!(param.tensor, given.tensor.to_kind(param.tensor.kind()), "{}", param.name);
            assert_eq!(param.tensor.data_ptr(), weight.data_ptr(), "{} is a copy", param.name);
            assert_eq!(weights.stored_kind(&param.name), Some(given.tensor.kind()));
        }
        weights.insert("conv.weight", Tensor::zeros([2], (Kind::Double, Device::Cpu)));
        assert_eq!(weights.stored_kind("conv.weight"), Some(Kind::Double), "it is another tensor");
    }
}

#[test]
fn loading_keeps_the_networks_precision() {
    let (source, target) = (network(Kind::Float), network(Kind::Double));
    load(&target, &StateDict::of(&source), &[]).unwrap();
    let loaded = &target.get("conv.weight").unwrap().tensor;
    assert_eq!(loaded.kind(), Kind::Double);
    assert_eq!(*loaded, source.get("conv.weight").unwrap().tensor.to_kind(Kind::Double));
}

/// All differences are named at once, and nothing is copied.
#[test]
fn what_does_not_fit_is_listed_and_changes_nothing() {
    let target = network(Kind::Float);
    let before = target.get("conv.weight").unwrap().tensor.copy();
    let source = network(Kind::Float);
    let mut weights = StateDict::default();
    for param in source.iter().filter(|param| param.name != "conv.bias") {
        weights.insert(param.name.clone(), param.tensor.shallow_clone());
    }
    weights.insert("norm.weight", Tensor::zeros([4], (Kind::Float, Device::Cpu)));
    weights.insert("norm.bias", Tensor::zeros([3], (Kind::Int64, Device::Cpu)));
    weights.insert("extra", Tensor::zeros([1], (Kind::Float, Device::Cpu)));
    let error = load(&target, &weights, &[]).unwrap_err();
    let CheckpointError::Mismatch(mismatch) = &error else { panic!("{error}") };
    assert_eq!(mismatch.missing, ["conv.bias"]);
    assert_eq!(mismatch.unexpected, ["extra"]);
    let different =
        ["norm.weight: shape [4], expected [3]", "norm.bias: type Int64, expected Float"];
    assert_eq!(mismatch.different, different);
    assert!(error.to_string().contains("conv.bias") && error.to_string().contains("extra"));
    assert_eq!(target.get("conv.weight").unwrap().tensor, before);
}

#[test]
fn only_named_keys_may_be_missing() {
    let target = network(Kind::Float);
    let mut weights = StateDict::default();
    for param in target.iter().filter(|param| param.name != "conv.bias") {
        weights.insert(param.name.clone(), param.tensor.shallow_clone());
    }
    assert!(load(&target, &weights, &["conv.weight"]).is_err());
    load(&target, &weights, &["conv.bias"]).unwrap();
}

#[test]
fn files_that_are_none_say_what_they_are() {
    let folder = TempDir::new().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = StateDict::open(&path).unwrap_err().to_string();
        assert!(error.contains(name), "the file is named: {error}");
        error
    };
    assert!(open("empty", b"").contains("empty"));
    assert!(open("zip", b"PK\x03\x04rest").contains("zip archive"));
    assert!(open("pickle", b"\x80\x02}q\x00.").contains("not of torch.save"));
    assert!(open("png", b"\x89PNG\r\n").contains("PNG"));
    assert!(open("text", b"just some text, long enough").contains("truncated or damaged"));
    let missing = StateDict::open(&folder.path().join("missing")).unwrap_err().to_string();
    assert!(missing.contains("cannot read") && missing.contains("missing"), "{missing}");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = bytes();
    for cut in (0..whole.len()).step_by(7) {
        assert!(StateDict::from_bytes(&whole[..cut], "cut").is_err(), "cut at {cut}");
    }
}

/// A header that declares 10 GB in a file of 1 KB.
#[test]
fn a_lying_header_allocates_nothing() {
    let header = br#"{"x":{"dtype":"F32","shape":[2500000000],"data_offsets":[0,10000000000]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.resize(1024, 0);
    assert!(StateDict::from_bytes(&bytes, "lie").is_err());
}

#[test]
fn a_failed_save_leaves_what_was_there() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("taken");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), b"kept").unwrap();
    let error = StateDict::of(&network(Kind::Float)).save(&path).unwrap_err().to_string();
    assert!(error.contains("cannot write"), "{error}");
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
    let names = folder.path().read_dir().unwrap().count();
    assert_eq!(names, 1, "no temporary file is left behind");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = StateDict::from_bytes(&bytes, "noise");
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..1000, value in any::<u8>()) {
        let mut whole = bytes();
        let at = at % whole.len();
        whole[at] = value;
        let _ = StateDict::from_bytes(&whole, "flipped");
    }
}

/// The format's own crate reads the file, finds every value at a multiple of its size, and would
/// have written the same values; equal weights make equal bytes, metadata and all.
#[test]
fn the_file_is_as_the_format_s_own_crate_wants_it() {
    let weights = || {
        let mut weights = StateDict::default();
        for (key, kind) in [("b", Kind::Int64), ("a", Kind::Uint8), ("c", Kind::Half)] {
            let tensor = Tensor::arange(5, (Kind::Float, Device::Cpu)).to_kind(kind);
            weights.insert(key, tensor);
        }
        for key in ["one", "two", "three", "four"] {
            weights.set_metadata(key, &key.len()).unwrap();
        }
        weights
    };
    let bytes = fs::read(saved(&weights()).1).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert!(header.is_multiple_of(8));
    for info in metadata.tensors().values() {
        assert!(info.data_offsets.0.is_multiple_of(info.dtype.bitsize() / 8), "{info:?}");
    }
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let same = safetensors::serialize(file.tensors(), metadata.metadata().clone()).unwrap();
    assert_eq!(same[8 + header..], bytes[8 + header..]);
    assert_eq!(bytes, fs::read(saved(&weights()).1).unwrap());
}

/// At most three keys of each kind are named.
#[test]
fn differences_are_counted_and_the_first_are_named() {
    let keys = |count: usize| (0..count).map(|i| format!("k{i}")).collect::<Vec<_>>();
    for (missing, unexpected, text) in [
        (0, 0, ""),
        (1, 0, "1 missing (k0)"),
        (3, 0, "3 missing (k0, k1, k2)"),
        (4, 2, "4 missing (k0, k1, k2, …); 2 unexpected (k0, k1)"),
    ] {
        let (missing, unexpected) = (keys(missing), keys(unexpected));
        let mismatch = Mismatch { missing, unexpected, different: Vec::new() };
        assert_eq!(mismatch.to_string(), text);
    }
}
