//! Files of other programs: wrappers, neighbours of the network, averages without names, other formats.

use std::fs;

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Tensor;
use tempfile::TempDir;
use zip::CompressionMethod;

use crate::support::{keys, refused, tensor_ops, torch_zip, with_keys, zip};

/// A network of the tests has a layer `down` and a layer `up`.
fn is_network(weights: &StateDict) -> bool {
    weights.get("down.weight").is_some() && weights.get("up.weight").is_some()
}

#[test]
fn names_of_wrappers_leave_keys_wherever_they_stand() {
    for prefix in [
        "_orig_mod.",
        "_fsdp_wrapped_module.",
        "_checkpoint_wrapped_module.",
        "_forward_module.",
        "module.",
        "_orig_mod.module.",
        "module._orig_mod.",
        "_forward_module._fsdp_wrapped_module.module.",
    ] {
        let front = with_keys(&[&format!("{prefix}down.0.weight"), &format!("{prefix}up.0.bias")]);
        let middle = with_keys(&[&format!("down.{prefix}0.weight"), &format!("up.0.{prefix}bias")]);
        let some = with_keys(&[&format!("{prefix}down.0.weight"), "up.0.bias"]);
        for weights in [front, middle, some] {
            let network = weights.part(None).unwrap();
            assert_eq!(keys(&network), ["down.0.weight", "up.0.bias"], "{prefix}");
        }
    }
    let same = with_keys(&["down.module.weight", "down.weight"]);
    assert_eq!(keys(&same.part(None).unwrap()), keys(&same), "two keys would be one");
}

#[test]
fn a_recognised_network_is_found_below_any_prefix() {
    let below = |prefix: &str| [format!("{prefix}down.weight"), format!("{prefix}up.weight")];
    for (prefix, name) in [
        ("", None),
        ("denoise_fn.", Some("denoise_fn")),
        ("a.b.c.", Some("a.b.c")),
        ("state_dict.module.eps_model.", Some("state_dict.eps_model")),
    ] {
        let mut weights = with_keys(&["losses.0", "metrics.val.loss", "loops.fit.0", "betas"]);
        for key in below(prefix).iter().chain(&below("optimizer_states.0.exp_avg.")) {
            weights.insert(key.clone(), Tensor::from(2.0));
        }
        assert_eq!(weights.parts_where(&is_network), Vec::from_iter(name), "{prefix}");
        let network = weights.part_where(None, &is_network).unwrap();
        assert!(is_network(&network));
        let by_name = name.map(|name| weights.part_where(Some(name), &is_network).unwrap());
        assert!(by_name.is_none_or(|network| keys(&network) == ["down.weight", "up.weight"]));
    }
    let mut two = with_keys(&[]);
    for key in below("student.").iter().chain(&below("teacher.")) {
        two.insert(key.clone(), Tensor::from(2.0));
    }
    let error = two.part_where(None, &is_network).unwrap_err().to_string();
    let words = ["2 networks", "student, teacher", "--part NAME"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// A file of torch.save: `{"model": {…}, "ema": {"decay": …, "shadow_params": [a, b]}}` and more.
fn with_shadow(shadow: &[&[i64]]) -> StateDict {
    let view = |shape: &[i64]| {
        let steps: Vec<i64> = shape.iter().map(|_| 0).collect();
        tensor_ops("FloatStorage", 1, 0, shape, &steps)
    };
    let text = |word: &str| [&[b'U', word.len() as u8], word.as_bytes()].concat();
    let model = [("down.weight", &[2, 3][..]), ("up.weight", &[3]), ("norm.running_mean", &[3])];
    let model = model.map(|(key, shape)| [text(key), view(shape)].concat()).concat();
    let shadow: Vec<u8> = shadow.iter().flat_map(|shape| view(shape)).collect();
    let program = [
        &b"\x80\x02}("[..],
        &text("model"),
        b"}(",
        &model,
        b"u",
        &text("ema"),
        b"}(",
        &text("decay"),
        b"G\x3f\xef\0\0\0\0\0\0",
        &text("shadow_params"),
        b"](",
        &shadow,
        b"euu.",
    ];
    StateDict::from_bytes(&torch_zip(&program.concat(), &[0, 0, 128, 63]), "x").unwrap()
}

#[test]
fn averages_without_names_follow_the_order_of_the_network() {
    let weights = with_shadow(&[&[2, 3], &[3]]);
    assert_eq!(weights.parts_where(&is_network), ["model"]);
    assert!(weights.part_where(None, &is_network).is_ok());
    for name in ["ema", "ema.shadow_params"] {
        let average = weights.part_where(Some(name), &is_network).unwrap();
        assert_eq!(keys(&average), ["down.weight", "norm.running_mean", "up.weight"]);
        let of = |key| average.get(key).map(Tensor::size);
        assert_eq!((of("down.weight"), of("up.weight")), (Some(vec![2, 3]), Some(vec![3])));
    }
    for other in [&[&[3][..], &[2, 3]][..], &[&[2, 3]], &[&[2, 3], &[3], &[3], &[3]]] {
        let error = with_shadow(other).part_where(Some("ema"), &is_network);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("no names") && error.contains("`ema`"), "{error}");
    }
}

#[test]
fn other_formats_are_named() {
    let cases: [(&[u8], &[&str]); 13] = [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", &["Git LFS", "git lfs pull"]),
        (b"<!DOCTYPE html><html>", &["web page", "HTML"]),
        (b"\n<HTML><body>", &["web page"]),
        (b"", &["empty"]),
        (&[0; 100], &["zeros"]),
        (b"\x89HDF\r\n\x1a\n", &["HDF5", "Keras"]),
        (b"GGUF\x03\0\0\0", &["GGUF"]),
        (b"\x08\x07\x12\x07pytorch", &["ONNX"]),
        (b"{\"a\": 1}", &["JSON"]),
        (b"\x28\xb5\x2f\xfd\0\0", &["zstd"]),
        (b"\xff\xd8\xff\xe0", &["JPEG"]),
        (b"cposix\nsystem\n(S'true'\ntR.", &["`posix.system`", "not be trusted"]),
        (b"(dp0\nS'a'\nI1\ns.", &["Python pickle", "not of torch.save"]),
    ];
    for (bytes, words) in cases {
        refused(bytes, words);
    }
    let archive = |name| zip(CompressionMethod::Stored, &[(name, &b"x"[..])]);
    refused(&archive("model.weights.h5"), &["Keras"]);
    refused(&archive("a/unet.safetensors"), &["unpack"]);
    refused(&zip(CompressionMethod::Stored, &[]), &["without entries"]);
}

/// A batch of CIFAR-10's Python version, of two pixels.
#[test]
fn a_pickle_of_arrays_and_lists_is_read() {
    let array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR\
        (K\x01(K\x02K\x03tcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xff\
        J\xff\xff\xff\xffK\x00tb\x89U\x06\x01\x02\xff\x04\x05\x06tb";
    let python3 = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR\
        (K\x01(K\x01tcnumpy\ndtype\n(X\x02\0\0\0i2\x89\x88tR(K\x03X\x01\0\0\0>NNNJ\xff\xff\xff\xff\
        J\xff\xff\xff\xffK\x00tb\x89c_codecs\nencode\n(X\x03\0\0\0\x01\xc3\xbfX\x06\0\0\0latin1tRtb";
    let program = [
        &b"\x80\x02}(U\x04data"[..],
        array,
        b"U\x06labels](K\x06K\x09eU\x04name](U\x01aeU\x05other",
        python3,
        b"u.",
    ];
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data_batch_1");
    fs::write(&path, program.concat()).unwrap();
    let weights = StateDict::open_pickle(&path).unwrap();
    assert_eq!(*weights.get("data").unwrap(), Tensor::from_slice2(&[[1u8, 2, 255], [4, 5, 6]]));
    assert_eq!(*weights.get("labels").unwrap(), Tensor::from_slice(&[6i64, 9]));
    assert_eq!(*weights.get("other").unwrap(), Tensor::from_slice(&[511i16]));
    assert_eq!(weights.skipped(), ["name"]);
    fs::write(&path, b"\x80\x02cos\nsystem\n(X\x04\0\0\0truetR.").unwrap();
    let error = StateDict::open_pickle(&path).unwrap_err().to_string();
    assert!(error.contains("os.system") && error.contains("data_batch_1"), "{error}");
}
