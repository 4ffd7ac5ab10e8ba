//! What PyTorch and NumPy have written is read bit for bit.

use std::fs;

use inkdrop_checkpoint::{Format, StateDict, UnsupportedTensor, load};
use inkdrop_nn::Params;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use zip::CompressionMethod;

use crate::support::{assert_same, fixture, npy, refused, tensor_ops, torch_zip, zip};

fn open(name: &str) -> StateDict {
    StateDict::open(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_file_is_read_as_python_reads_it() {
    let cases = [
        ("kinds.pt", "kinds", Format::TorchZip),
        ("kinds_protocol4.pt", "kinds", Format::TorchZip),
        ("kinds_legacy.pt", "kinds", Format::TorchLegacy),
        ("kinds_legacy_protocol5.pt", "kinds", Format::TorchLegacy),
        ("training.pt", "training", Format::TorchZip),
        ("big_endian.pt", "big_endian", Format::TorchZip),
        ("old_views.pt", "old_views", Format::TorchLegacy),
        ("arrays.npz", "arrays", Format::Npz),
        ("arrays_compressed.npz", "arrays", Format::Npz),
    ];
    for (name, expected, format) in cases {
        let weights = open(name);
        assert_eq!(weights.format(), format, "{name}");
        let expected = open(&format!("{expected}.safetensors"));
        assert_eq!(expected.format(), Format::Safetensors);
        assert!(expected.iter().count() > 1);
        assert_same(&weights, &expected);
    }
}

#[test]
fn memory_and_file_give_the_same() {
    for name in ["kinds.pt", "kinds_legacy.pt", "arrays.npz", "arrays.safetensors"] {
        let bytes = fs::read(fixture(name)).unwrap();
        assert_same(&StateDict::from_bytes(&bytes, name).unwrap(), &open(name));
    }
}

#[test]
fn the_name_of_a_file_does_not_matter() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights.safetensors");
    fs::copy(fixture("kinds.pt"), &path).unwrap();
    assert_eq!(StateDict::open(&path).unwrap().format(), Format::TorchZip);
}

#[test]
fn what_is_no_tensor_is_listed() {
    let weights = open("training.pt");
    let expected = [
        "optimizer.param_groups.0.lr",
        "optimizer.param_groups.0.params.1",
        "epoch",
        "args",
        "history.0",
        "history.1.2",
        "size.1",
        "kind",
        "device",
        "big",
        "set",
        "blob",
        "number",
    ];
    for name in expected {
        assert!(weights.skipped().iter().any(|skipped| skipped == name), "{name}");
    }
    assert!(weights.get("optimizer.state.0.exp_avg").is_some());
    assert!(open("kinds.pt").skipped().is_empty());
}

#[test]
fn tensors_of_one_storage_are_each_their_own() {
    let weights = open("kinds.pt");
    let (whole, row) = (weights.get("shared.whole").unwrap(), weights.get("shared.row").unwrap());
    let before = row.copy();
    let _ = whole.shallow_clone().fill_(0.0);
    assert_eq!(*row, before);
    assert!(weights.iter().all(|(_, tensor)| tensor.is_contiguous() && !tensor.requires_grad()));
}

/// A tensor alone, and a list of tensors.
#[test]
fn files_without_a_dictionary_have_names_too() {
    let one = tensor_ops("FloatStorage", 2, 0, &[2], &[1]);
    let values = [1f32, 2.0].map(f32::to_le_bytes).concat();
    let alone = torch_zip(&[&b"\x80\x02"[..], &one, b"."].concat(), &values);
    let alone = StateDict::from_bytes(&alone, "x").unwrap();
    assert_eq!(*alone.get("tensor").unwrap(), Tensor::from_slice(&[1f32, 2.0]));
    let list = torch_zip(&[&b"\x80\x02]("[..], &one, &one, b"e."].concat(), &values);
    let list = StateDict::from_bytes(&list, "x").unwrap();
    assert!(list.iter().map(|(name, _)| name).eq(["0", "1"]));
    let empty = StateDict::from_bytes(&torch_zip(b"\x80\x02}.", b""), "x").unwrap();
    assert_eq!(empty.iter().count(), 0);
}

#[test]
fn bytes_other_than_0_and_1_are_true() {
    let ops = tensor_ops("BoolStorage", 3, 0, &[3], &[1]);
    let file = torch_zip(&[&b"\x80\x02}X\x01\0\0\0x"[..], &ops, b"s."].concat(), &[0, 1, 200]);
    let weights = StateDict::from_bytes(&file, "x").unwrap();
    assert_eq!(*weights.get("x").unwrap(), Tensor::from_slice(&[false, true, true]));
}

#[test]
fn unsupported_tensors_are_left_out_and_refused_within_the_network() {
    let mut params = Params::new(Kind::Float, Device::Cpu);
    params.root().buffer("a", &[2], 0.0).unwrap();
    for (name, kind, shape, advice) in [
        ("sparse.pt", "sparse", &[2, 2][..], ".to_dense()"),
        ("quantized.pt", "quantized", &[2, 2], ".dequantize()"),
        ("meta.pt", "meta", &[2], "no values"),
        ("complex.pt", "complex64", &[2], ".to(torch.float32)"),
        ("uint16.pt", "uint16", &[2], ".to(torch.float32)"),
    ] {
        let weights = StateDict::open(&fixture(name)).unwrap();
        let listed: Vec<_> = weights.unsupported().collect();
        let expected = UnsupportedTensor { kind: kind.to_string(), shape: shape.to_vec() };
        assert_eq!(listed, [("a", &expected)], "{name}");
        assert!(weights.iter().next().is_none() && weights.skipped().is_empty());
        let error = load(&params, &weights, &[]).unwrap_err().to_string();
        for word in ["`a`", kind, advice] {
            assert!(error.contains(word), "{name}: {error}");
        }
    }
    let error = StateDict::open(&fixture("script.pt")).unwrap_err().to_string();
    let words = ["script.pt", "TorchScript", "torch.jit.load"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// Dtypes that are newer than this reader.
#[test]
fn a_tensor_of_an_unknown_dtype_is_left_out() {
    let storage =
        b"((X\x07\0\0\0storagectorch.storage\nUntypedStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ";
    let v3 = [
        &b"\x80\x02}X\x01\0\0\0xctorch._utils\n_rebuild_tensor_v3\n"[..],
        storage,
        b"K\0(K\x04t(K\x01t\x89}ctorch\nuint4\ntRs.",
    ];
    let v2 = tensor_ops("FutureStorage", 4, 0, &[4], &[1]);
    let v2 = [&b"\x80\x02}X\x01\0\0\0x"[..], &v2, b"s."];
    for (program, kind) in [(v3, "of dtype torch.uint4"), (v2, "of dtype unknown")] {
        let weights = StateDict::from_bytes(&torch_zip(&program.concat(), &[0; 4]), "x").unwrap();
        let expected = UnsupportedTensor { kind: kind.to_string(), shape: vec![4] };
        assert!(weights.unsupported().eq([("x", &expected)]));
    }
}

/// Nested modules in each form; their buffer `cache` is not persistent, and the convolution has no bias.
#[test]
fn whole_modules_are_their_state_dicts() {
    let expected = open("modules.safetensors");
    for name in ["modules.pt", "modules_protocol4.pt", "modules_legacy.pt"] {
        let weights = open(name);
        assert_same(&weights, &expected);
        let first = ["scale", "inner.0.weight", "inner.1.weight", "inner.1.bias"];
        assert_eq!(weights.order()[..4], first, "{name}: the order of the state_dict");
    }
    let parallel = open("modules_parallel.pt");
    assert_eq!(parallel.skipped(), ["epoch"]);
    assert_same(&parallel.part(Some("net")).unwrap(), &expected);
}

/// torch.save(torch.nn.Linear(1, 1), path)
#[test]
fn a_whole_module_is_its_state_dict() {
    let weights = StateDict::open(&fixture("module.pt")).unwrap();
    assert!(
        weights
            .iter()
            .map(|(key, tensor)| (key, tensor.size()))
            .eq([("bias", vec![1]), ("weight", vec![1, 1]),])
    );
    assert_eq!(weights.order(), ["weight", "bias"]);
    assert!(weights.skipped().is_empty(), "nothing of the module is listed besides its tensors");
}

#[test]
fn archives_of_something_else_are_named() {
    let other: [(&str, &[u8]); 1] = [("readme.txt", b"text")];
    refused(&zip(CompressionMethod::Stored, &other), &["zip archive", "readme.txt", "data.pkl"]);
    let strings = npy("<U3", "(1,)", &[0; 12]);
    let npz = zip(CompressionMethod::Stored, &[("names.npy", &strings)]);
    refused(&npz, &["names", "<U3", ".astype"]);
    refused(&npy("<f4", "(1,)", &[0; 4]), &["NumPy array", "np.savez"]);
    let mut tar = vec![0; 600];
    tar[257..262].copy_from_slice(b"ustar");
    refused(&tar, &["tar archive", "torch.save"]);
}

/// Protocols 0 and 1, and the strings of Python 2.
#[test]
fn old_protocols_are_read() {
    let programs: [&[u8]; 5] = [
        b"(dp0\nS'a'\np1\nI5\nsS'b'\nF1.5\nsVc\nL123456789012345678901234567890L\nsS'd'\n(lp2\nI01\nasg1\n0.",
        b"}(U\x01aT\x01\0\0\0bX\x01\0\0\0cNu.",
        b"\x80\x02(U\x01a(I1\nI2\nlU\x01b\x8a\x00d.",
        b"\x80\x03}(X\x01\0\0\0aC\x02xyX\x01\0\0\0bB\x02\0\0\0xyu.",
        b"\x80\x05\x95\0\0\0\0\0\0\0\0}\x94(\x8c\x01a\x96\x02\0\0\0\0\0\0\0xy\x8c\x01b\x8f\x94(K\x01\x90\x8c\x01c(K\x01\x91u.",
    ];
    let names: [&[&str]; 5] =
        [&["a", "b", "c", "d.0"], &["a", "c"], &["a.0", "a.1", "b"], &["a", "b"], &["a", "b", "c"]];
    for (program, names) in programs.into_iter().zip(names) {
        let weights = StateDict::from_bytes(&torch_zip(program, b""), "x");
        let weights = weights.unwrap_or_else(|e| panic!("{}: {e}", program.escape_ascii()));
        assert_eq!(weights.skipped(), names, "{}", program.escape_ascii());
    }
}

/// A header of 640 bytes begins 80 02, as a pickle does; one of 0x4b50 bytes 50 4b, as a zip.
#[test]
fn the_length_of_a_safetensors_header_is_not_taken_for_a_format() {
    for length in [128, 384, 640, 896, 1152, 1408, 0x4b50] {
        let mut header = r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.to_string();
        header += &" ".repeat(length - header.len());
        let bytes = [&(length as u64).to_le_bytes(), header.as_bytes(), &2.5f32.to_le_bytes()];
        let weights = StateDict::from_bytes(&bytes.concat(), "header").unwrap();
        assert_eq!(weights.format(), Format::Safetensors);
        assert_eq!(weights.get("x").unwrap(), &Tensor::from_slice(&[2.5f32]));
    }
}

#[test]
fn formats_are_named_after_their_programs() {
    for (format, name) in [
        (Format::Safetensors, "safetensors"),
        (Format::TorchZip, "PyTorch (torch.save, zip)"),
        (Format::TorchLegacy, "PyTorch (torch.save, before 1.6)"),
        (Format::Npz, "NumPy (npz)"),
        (StateDict::default().format(), "in memory"),
    ] {
        assert_eq!(format.to_string(), name);
    }
}
