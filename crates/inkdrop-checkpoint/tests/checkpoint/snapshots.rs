//! Pickles of pickle.dump: network snapshots of EDM and EDM2, whose program text is never run.

use std::path::Path;

use inkdrop_checkpoint::{Constructor, Format, StateDict, fuzzing};
use inkdrop_torch::tch::{Kind, Tensor};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{assert_same, error, fixture, fixture_bytes, keys, refused, torch_zip};

const FILES: [&str; 3] = ["snapshot.pkl", "snapshot_half.pkl", "state_dict.pkl"];

/// Names before a stream of one storage with four floats, and the tensor that is made of it.
const REBUILD: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n(";
const STORAGE: &[u8] = b"ctorch.storage\n_load_from_bytes\n";
const REST: &[u8] = b"K\0K\x04\x85K\x01\x85\x89}tR";

/// A torch.save stream of one storage that declares `count` floats and has these bytes.
fn stream(count: u64, values: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    out.extend_from_slice(b"\x80\x02M\xe9\x03.\x80\x02}.");
    out.extend_from_slice(b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\n");
    out.extend_from_slice(b"X\x01\0\0\x000X\x03\0\0\0cpu\x8a\x08");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(b"NtQ.\x80\x02](X\x01\0\0\x000e.");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(values);
    out
}

/// The operations that put down bytes.
fn bytes(bytes: &[u8]) -> Vec<u8> {
    [b"B", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

/// The operations that put down a tensor of four floats in this stream.
fn tensor(stream: &[u8]) -> Vec<u8> {
    [REBUILD, STORAGE, &bytes(stream), b"\x85R", REST].concat()
}

/// The pickle of a dictionary whose key `x` has this value.
fn of(value: &[u8]) -> Vec<u8> {
    [b"\x80\x04}X\x01\0\0\0x", value, b"s."].concat()
}

fn open(name: &str) -> StateDict {
    StateDict::open(&fixture(name)).unwrap()
}

#[test]
fn pickles_are_read_as_python_reads_them() {
    for name in FILES {
        let weights = open(name);
        assert_eq!(weights.format(), Format::Pickle);
        assert_same(&weights, &open(&name.replace(".pkl", ".safetensors")));
    }
    let half = open("snapshot_half.pkl");
    assert_eq!(half.get("ema.model.freqs").unwrap().kind(), Kind::Half);
    let skipped = half.skipped();
    assert_eq!(skipped, ["loss_fn", "augment_pipe", "dataset_kwargs.path"]);
}

#[test]
fn the_order_of_a_snapshot_is_that_of_the_network() {
    let names = ["enc.4x4_conv.weight", "enc.4x4_conv.bias", "out.weight", "out.bias"];
    let mut expected = vec!["ema.model.freqs".to_string()];
    expected.extend(names.map(|name| format!("ema.model.{name}")));
    assert_eq!(open("snapshot.pkl").order(), expected);
}

#[test]
fn the_arguments_of_a_network_and_of_what_is_around_it_are_kept() {
    let whole = open("snapshot.pkl");
    assert_eq!(whole.constructors().count(), 0, "the file itself was constructed by no call");
    let calls = |part: &str| -> Vec<Constructor> {
        whole.part(Some(part)).unwrap().constructors().cloned().collect()
    };
    let [outer, inner] = &calls("ema.model")[..] else { panic!("two objects") };
    assert_eq!((&*outer.class, &*inner.class), ("EDMPrecond", "SongUNet"));
    assert_eq!(outer.arguments, [json!(4)]);
    let keywords = json!({
        "img_resolution": 4, "channel_mult": [1, 2], "sigma_max": null, "inner": {"a": 1},
        "noise": 0.25, "count": 3, "kind": "a class or function"
    });
    assert_eq!(serde_json::Value::from(outer.keywords.clone()), keywords);
    assert_eq!(inner.keywords["in_channels"], 1);
    let enc = whole.part(Some("ema.model.enc")).unwrap();
    assert_eq!(enc.constructors().count(), 2);
    assert!(open("kinds.pt").constructors().next().is_none());
}

/// The text of a program in the fixtures would make a file.
#[test]
fn program_text_is_never_run() {
    for name in ["snapshot.pkl", "snapshot_half.pkl"] {
        let bytes = fixture_bytes(name);
        let text = b"open('the_program_was_run', 'w')";
        assert!(bytes.windows(text.len()).any(|window| window == text));
        StateDict::from_bytes(&bytes, name).unwrap();
        assert!(!Path::new("the_program_was_run").exists());
    }
}

/// What a persistent object has beside its name and its state is not looked at.
#[test]
fn a_persistent_object_is_its_name_and_its_state() {
    let state = |state: &[u8]| {
        let meta = [&b"(X\n\0\0\0class_nameX\x01\0\0\0AX\x05\0\0\0state"[..], state, b"d"].concat();
        let name = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n";
        of(&[name, &meta[..], b"\x85R"].concat())
    };
    let module = |members: &[u8]| {
        [&b"(X\x08\0\0\0_modules}X\x0b\0\0\0_parameters}X\x01\0\0\0w"[..], members, b"sd"].concat()
    };
    let four = tensor(&stream(4, &[0; 16]));
    let weights = StateDict::from_bytes(&state(&module(&four)), "x").unwrap();
    assert_eq!(keys(&weights), ["x.w"]);
    for other in [&b"N"[..], b"K\x01", b"}", b"]", b"X\x04\0\0\0text"] {
        refused(&state(other), &["Python pickle", "no tensors"]);
    }
    let name = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n";
    for meta in
        [&b"N\x85R"[..], b"}\x85R", b")R", b"K\x01K\x02\x86R", b"(X\n\0\0\0class_nameNd\x85R"]
    {
        refused(&of(&[&name[..], meta].concat()), &["damaged", "persistent object"]);
    }
    refused(&of(&[&name[..], b"NR"].concat()), &["damaged", "expected a tuple"]);
}

#[test]
fn names_that_run_code_are_refused_in_snapshots() {
    let nested = |program: &[u8]| of(&tensor(program));
    for name in ["os\nsystem", "builtins\nexec", "torch\nload", "_io\nopen", "torch.jit\nload"] {
        let call = [b"c", name.as_bytes(), b"\nX\x04\0\0\0true\x85R"].concat();
        let full = name.replace('\n', ".");
        refused(&of(&call), &[&full, "not executed"]);
        refused(&nested(&[b"\x80\x02", &call[..], b"."].concat()), &[&full, "not executed"]);
    }
    // Storages in storages would nest without end; torch.save files have none.
    let inner = [b"\x80\x02", STORAGE, &bytes(&stream(4, &[0; 16])), b"\x85R."].concat();
    refused(&nested(&inner), &["_load_from_bytes", "not executed"]);
    let outer = of(&tensor(&stream(4, &[0; 16])));
    refused(&torch_zip(&outer, b""), &["_load_from_bytes", "not executed"]);
}

/// A name that is unknown makes an inert object, whatever would be called.
#[test]
fn unknown_names_are_inert() {
    let four = tensor(&stream(4, &[0; 16]));
    for call in [&b")R"[..], b")\x81}b", b"X\x02\0\0\0rm\x85R", b"K\x01\x85R(K\x01K\x02u"] {
        let program =
            [&b"\x80\x04}(X\x01\0\0\0w"[..], &four, b"X\x01\0\0\0acevil\nrun_me\n", call, b"u."];
        let weights = StateDict::from_bytes(&program.concat(), "x").unwrap();
        assert_eq!(keys(&weights), ["w"]);
        let inside: Vec<&str> = weights.skipped().iter().map(|name| &name[..1]).collect();
        assert_eq!(inside, ["a"]);
    }
}

#[test]
fn storages_are_what_they_declare() {
    let values: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let whole = stream(4, &values);
    let weights = StateDict::from_bytes(&of(&tensor(&whole)), "x").unwrap();
    assert_eq!(*weights.get("x").unwrap(), Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]));
    for count in [5, 1 << 40, u64::MAX, i64::MAX as u64] {
        refused(&of(&tensor(&stream(count, &values))), &["file.pt"]);
    }
    refused(&of(&tensor(&stream(3, &values))), &["needs more than the 3 values"]);
    for cut in 0..whole.len() {
        assert!(StateDict::from_bytes(&of(&tensor(&whole[..cut])), "x").is_err(), "cut at {cut}");
    }
    let call = |argument: &[u8]| of(&[REBUILD, STORAGE, argument, b"R", REST].concat());
    for argument in [&b")"[..], b"N\x85", b"X\x01\0\0\0x\x85", b"K\x01K\x02\x86"] {
        refused(&call(argument), &["damaged", "storage"]);
    }
    refused(&of(b"(X\x07\0\0\0storagectorch\nFloatStorage\nK\0K\0K\0tQ"), &["persistent id"]);
}

/// A stream that the memo names again and again is read once, so that time grows with the file alone.
#[test]
fn a_storage_is_read_once_however_often_it_is_named() {
    let mut long = b"\x80\x02".to_vec();
    (0..100_000).for_each(|_| long.extend_from_slice(b"\x95\0\0\0\0\0\0\0\0"));
    long.push(b'}');
    long.push(b'.');
    let stream = stream(4, &[0; 16]);
    // The third pickle of the stream says which machine wrote it; anything may stand there.
    let machine = b"\x80\x02}.";
    let at = stream.windows(machine.len()).position(|window| window == machine).unwrap();
    let slow = [&stream[..at], &long, &stream[at + machine.len()..]].concat();
    let mut program = [b"\x80\x04](", STORAGE, b"q\x01", &bytes(&slow), b"q\x00\x85R"].concat();
    (0..20_000).for_each(|_| program.extend_from_slice(b"h\x01h\x00\x85R"));
    program.extend_from_slice(&[REBUILD, b"h\x01h\x00\x85R", REST, b"e."].concat());
    let start = std::time::Instant::now();
    let weights = StateDict::from_bytes(&program, "x").unwrap();
    assert_eq!(keys(&weights), ["20001"]);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn sizes_beyond_memory_are_refused() {
    let huge = [&b"\x80\x04\x8e"[..], &(1u64 << 50).to_le_bytes(), b"x"].concat();
    refused(&huge, &["declared, expected at most"]);
    // One value as a tensor of 2⁴⁰, by stride 0.
    let expanded = b"K\0\x8a\x08\0\0\0\0\0\x01\0\0\x85K\0\x85\x89}tR";
    let one = [REBUILD, STORAGE, &bytes(&stream(4, &[0; 16])), b"\x85R", &expanded[..]].concat();
    refused(&of(&one), &["tensors of", "expected at most"]);
}

#[test]
fn cycles_end_and_depth_is_bounded() {
    let four = tensor(&stream(4, &[0; 16]));
    // A dictionary that holds itself beside a tensor.
    let cycle = [b"\x80\x04}q\0(X\x01\0\0\0ah\0X\x01\0\0\0w", &four[..], b"u."].concat();
    let weights = StateDict::from_bytes(&cycle, "x").unwrap();
    assert_eq!(keys(&weights), ["w"]);
    let mut deep = b"\x80\x04".to_vec();
    (0..1000).for_each(|_| deep.extend_from_slice(b"]"));
    deep.extend_from_slice(&four);
    (0..1000).for_each(|_| deep.extend_from_slice(b"a"));
    deep.push(b'.');
    refused(&deep, &["nested deeper"]);
    // Arguments of a constructor that hold themselves, or double their number at each level.
    let object = |kwargs: &[u8]| {
        let name = &b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"[..];
        let state = [
            &b"(X\x08\0\0\0_modules}X\x0a\0\0\0_init_args)X\x0c\0\0\0_init_kwargs"[..],
            kwargs,
            b"X\x0b\0\0\0_parameters}X\x01\0\0\0w",
            &four,
            b"sd",
        ];
        let meta =
            [&b"(X\n\0\0\0class_nameX\x01\0\0\0AX\x05\0\0\0state"[..], &state.concat(), b"d"];
        of(&[name, &meta.concat(), b"\x85R"].concat())
    };
    assert_eq!(keys(&StateDict::from_bytes(&object(b"}"), "x").unwrap()), ["x.w"]);
    refused(&object(b"}q\0X\x01\0\0\0ah\0s"), &["constructor", "nested deeper"]);
    let doubled = [&b"}X\x01\0\0\0a)"[..], &b"q\0h\0\x86".repeat(60), b"s"].concat();
    refused(&object(&doubled), &["objects of", "expected at most"]);
}

#[test]
fn a_pickle_without_weights_is_refused_in_a_sentence() {
    for (program, what) in [
        (&b"\x80\x04}."[..], "a dict"),
        (b"\x80\x04].", "a list"),
        (b"\x80\x04N.", "None"),
        (b"\x80\x03X\x05\0\0\0hello.", "a string"),
        (b"\x80\x04}X\x01\0\0\0aK\x01s.", "a dict"),
    ] {
        refused(program, &["Python pickle", what, "not of torch.save", "no tensors"]);
    }
    refused(b"\x80\x04cpandas\nDataFrame\n)R.", &["pandas.DataFrame", "not executed"]);
    let error = error(b"\x80\x04}.");
    assert!(error.contains("snapshot of EDM") && error.lines().count() == 1, "{error}");
}

#[test]
fn a_pickle_cut_anywhere_is_refused() {
    for name in FILES {
        let whole = fixture_bytes(name);
        for cut in 0..whole.len() {
            assert!(StateDict::from_bytes(&whole[..cut], "cut").is_err(), "{name} cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn flipped_bytes_never_panic(
        file in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut whole = fixture_bytes(FILES[file]);
        for (at, value) in flips {
            let at = at.index(whole.len());
            whole[at] = value;
        }
        fuzzing::snapshot(&whole);
        fuzzing::file(&whole);
    }
}
