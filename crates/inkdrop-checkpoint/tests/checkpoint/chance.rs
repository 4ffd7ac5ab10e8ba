//! Damaged files are errors, never panics.

use inkdrop_checkpoint::{StateDict, fuzzing};
use proptest::prelude::*;

use crate::support::{fixture_bytes, npy, torch_legacy, torch_zip};

const FILES: [&str; 7] = [
    "kinds.pt",
    "kinds_legacy.pt",
    "kinds_legacy_protocol5.pt",
    "training.pt",
    "arrays.npz",
    "arrays_compressed.npz",
    "arrays.safetensors",
];

/// A file may lose nothing at its end; the old format has nothing behind its last storage.
#[test]
fn a_file_cut_anywhere_is_refused() {
    for name in FILES {
        let whole = fixture_bytes(name);
        for cut in 0..whole.len() {
            assert!(StateDict::from_bytes(&whole[..cut], "cut").is_err(), "{name} cut at {cut}");
        }
        StateDict::from_bytes(&whole, "whole").unwrap();
    }
}

#[test]
fn one_byte_is_no_file_of_weights() {
    for byte in 0..=255 {
        assert!(StateDict::from_bytes(&[byte], "byte").is_err(), "{byte}");
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
        fuzzing::file(&whole);
    }

    #[test]
    fn random_programs_never_panic(program in prop::collection::vec(operation(), 0..60)) {
        let program = program.concat();
        fuzzing::pickle(&program);
        fuzzing::file(&torch_zip(&program, &[0; 64]));
        fuzzing::file(&torch_legacy(&program, 16, &[0; 64]));
    }

    /// What is in the pickle of a real file, with some of its bytes changed: no checksum stands
    /// in the way here.
    #[test]
    fn flipped_pickles_never_panic(
        flips in prop::collection::vec((0usize..1500, any::<u8>()), 1..6),
    ) {
        let file = fixture_bytes("kinds_legacy.pt");
        let mut program = file[137..].to_vec();
        for (at, value) in flips {
            program[at] = value;
        }
        fuzzing::pickle(&program);
        fuzzing::file(&[&file[..137], &program].concat());
    }
}

proptest! {
    #[test]
    fn flipped_arrays_never_panic(
        flips in prop::collection::vec((0usize..100, any::<u8>()), 1..6),
    ) {
        let mut array = npy("<f4", "(2, 3)", &[0; 24]);
        let len = array.len();
        for (at, value) in flips {
            array[at % len] = value;
        }
        fuzzing::npz(&array);
    }

    #[test]
    fn flipped_headers_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut header = br#"{"__metadata__":{"a":"1"},"x":{"dtype":"F32","shape":[8,8],"data_offsets":[0,256]}}"#.to_vec();
        for (at, value) in flips {
            let at = at.index(header.len());
            header[at] = value;
        }
        fuzzing::safetensors(&header);
    }
}

/// Operations that torch.save uses, and any other byte.
fn operation() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = [
        &b"\x80\x02"[..], b"}", b"]", b"(", b")", b"t", b"u", b"e", b"s", b"a", b"R", b"b", b"Q",
        b"\x85", b"\x86", b"\x87", b"\x81", b"\x93", b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"0",
        b"1", b"2", b"K\x01", b"K\x10", b"N", b"\x88", b"J\xff\xff\xff\xff", b"X\x01\0\0\x000",
        b"X\x07\0\0\0storage", b"X\x03\0\0\0cpu", b"ctorch\nFloatStorage\n",
        b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_parameter\n", b"ctorch\nSize\n", b".",
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ",
        b"K\x00K\x02K\x02\x86K\x02K\x01\x86\x89}tR",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    prop_oneof![9 => prop::sample::select(known), 1 => any::<u8>().prop_map(|byte| vec![byte])]
}
