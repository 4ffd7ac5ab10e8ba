//! No file takes more memory than its length allows, whatever it declares.

use inkdrop_checkpoint::StateDict;
use inkdrop_checkpoint::limits::FLOOR;
use inkdrop_torch::tch::Tensor;
use zip::CompressionMethod::{Deflated, Stored};

use crate::support::{npy, refused, tensor_ops, tensor_pickle, torch_legacy, torch_zip, zip};

/// 10 GB of floats.
const LIE: i64 = 2_500_000_000;

#[test]
fn ten_gigabytes_in_a_kilobyte_are_refused() {
    let values = [0; 1024];
    let pickle = tensor_pickle(LIE, 0, &[LIE], &[1]);
    refused(&torch_zip(&pickle, &values), &["x:", "10000000000", "tensors", "at most 16777216"]);
    refused(&torch_legacy(&pickle, LIE as u64, &values), &["2500000000", "1024 more"]);
    let array = npy("<f4", "(2500000000,)", &values);
    refused(&zip(Stored, &[("x.npy", &array)]), &["x:", "10000000000", "at most 16777216"]);
    let mut header =
        br#"{"x":{"dtype":"F32","shape":[2500000000],"data_offsets":[0,10000000000]}}"#.to_vec();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.append(&mut header);
    file.resize(1024, 0);
    refused(&file, &["expected 10000000000", "truncated"]);
}

/// A declared storage that is within the limit, but not in the file.
#[test]
fn a_storage_that_is_too_small_is_named_with_both_sizes() {
    let pickle = tensor_pickle(10, 0, &[10], &[1]);
    refused(&torch_zip(&pickle, &[0; 24]), &["x:", "`0`", "24 bytes", "10 values of 4 bytes"]);
    refused(&torch_legacy(&pickle, 6, &[0; 24]), &["`0`", "24 bytes", "10 values of 4 bytes"]);
    let missing = zip(Stored, &[("a/data.pkl", &pickle)]);
    refused(&missing, &["storage `0` is not in the file"]);
}

#[test]
fn a_view_stays_within_its_storage() {
    let large = i64::MAX;
    let cases: [(i64, &[i64], &[i64]); 9] = [
        (0, &[7], &[1]),
        (1, &[6], &[1]),
        (0, &[2], &[6]),
        (0, &[2, 3], &[3, 2]),
        (large, &[1], &[1]),
        (0, &[2, 2], &[large, large]),
        (7, &[], &[]),
        (6, &[], &[]),
        (7, &[0], &[1]),
    ];
    for (offset, size, stride) in cases {
        let file = torch_zip(&tensor_pickle(6, offset, size, stride), &[0; 24]);
        refused(&file, &["x:", "needs more than the 6 values", "damaged"]);
    }
    let file = torch_zip(&tensor_pickle(6, 1, &[2, 2], &[3, 1]), &[0; 24]);
    assert_eq!(StateDict::from_bytes(&file, "x").unwrap().get("x").unwrap().size(), [2, 2]);
}

#[test]
fn sides_and_steps_are_numbers_from_zero() {
    let cases: [(i64, i64, &[i64], &[i64]); 5] = [
        (6, -1, &[1], &[1]),
        (6, 0, &[-1], &[1]),
        (6, 0, &[2], &[-1]),
        (-6, 0, &[2], &[1]),
        (6, 0, &[2], &[1, 1]),
    ];
    for (count, offset, size, stride) in cases {
        refused(&torch_zip(&tensor_pickle(count, offset, size, stride), &[0; 24]), &["damaged"]);
    }
    let axes = [1; 65];
    refused(&torch_zip(&tensor_pickle(6, 0, &axes, &axes), &[0; 24]), &["at most 64 axes"]);
    let huge = [0, i64::MAX, i64::MAX];
    refused(&torch_zip(&tensor_pickle(6, 0, &huge, &huge), &[0; 24]), &["memory can hold"]);
    let header = r#"{"x":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    refused(&file, &["memory can hold"]);
}

/// A step of 0 makes many values of one: they count in full.
#[test]
fn expanded_views_count_with_their_full_size() {
    let side = (FLOOR / 4) as i64;
    let fits = torch_zip(&tensor_pickle(1, 0, &[side], &[0]), &[0; 4]);
    assert_eq!(StateDict::from_bytes(&fits, "x").unwrap().get("x").unwrap().size(), [side]);
    let file = torch_zip(&tensor_pickle(1, 0, &[side + 1], &[0]), &[0; 4]);
    refused(&file, &["16777220", "at most 16777216"]);
    // A thousand small ones together.
    let view = tensor_ops("FloatStorage", 1, 0, &[10_000], &[0]);
    let mut program = b"\x80\x02](".to_vec();
    program.extend_from_slice(&view);
    program.extend_from_slice(b"q\x00");
    program.extend(b"h\x00".repeat(999));
    program.extend_from_slice(b"e.");
    refused(&torch_zip(&program, &[0; 4]), &["tensors of", "at most 16777216"]);
}

#[test]
fn zip_bombs_are_refused_before_they_are_unpacked() {
    let zeros = vec![0; 40 << 20];
    let pickle = tensor_pickle(10 << 20, 0, &[10 << 20], &[1]);
    let bomb = zip(Deflated, &[("a/data.pkl", &pickle), ("a/data/0", &zeros)]);
    assert!(bomb.len() < 100_000);
    refused(&bomb, &["zip entries", "at most 16777216"]);
    let array = npy("|u1", "(41943040,)", &zeros);
    refused(&zip(Deflated, &[("x.npy", &array)]), &["zip entries", "at most 16777216"]);
}

/// The directory says 100 bytes, the entry has 40 MiB.
#[test]
fn a_lying_directory_does_not_help_a_bomb() {
    let zeros = vec![0; 40 << 20];
    let mut bomb = zip(Deflated, &[("a/data/0", &zeros), ("a/data.pkl", b"\x80\x02}.")]);
    let size = (zeros.len() as u32).to_le_bytes();
    let places: Vec<usize> = (0..bomb.len() - 4).filter(|&at| bomb[at..at + 4] == size).collect();
    assert_eq!(places.len(), 2, "in the entry's header and in the directory");
    for at in places {
        bomb[at..at + 4].copy_from_slice(&100u32.to_le_bytes());
    }
    let pickle = tensor_pickle(25, 0, &[25], &[1]);
    assert!(StateDict::from_bytes(&bomb, "x").is_ok(), "an entry that no tensor needs");
    let mut bomb = zip(Deflated, &[("a/data/0", &zeros), ("a/data.pkl", &pickle)]);
    for at in (0..bomb.len() - 4).rev() {
        if bomb[at..at + 4] == size {
            bomb[at..at + 4].copy_from_slice(&100u32.to_le_bytes());
        }
    }
    refused(&bomb, &["a/data/0", "larger than"]);
}

#[test]
fn declared_lengths_are_not_believed() {
    let programs: [&[u8]; 8] = [
        b"\x80\x02X\xff\xff\xff\xff.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\x00\0\0\0\0.",
        b"\x80\x02T\xff\xff\xff\xff.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x02\x8b\xff\xff\x0f\0.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for program in programs {
        for file in [torch_zip(program, b""), torch_legacy(program, 0, b"")] {
            assert!(StateDict::from_bytes(&file, "x").is_err(), "{}", program.escape_ascii());
        }
    }
    // A frame's length is of no use here, so it may be anything.
    let frame = b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff}.";
    assert!(StateDict::from_bytes(&torch_zip(frame, b""), "x").is_ok());
}

/// Thirty lists, each with the one before it twice: 2³⁰ leaves in a hundred bytes.
#[test]
fn a_billion_laughs_end_early() {
    let mut program = b"\x80\x02]K\x01aq\x00".to_vec();
    for level in 1u8..=30 {
        program.extend_from_slice(&[
            b']',
            b'(',
            b'h',
            level - 1,
            b'h',
            level - 1,
            b'e',
            b'q',
            level,
        ]);
    }
    program.push(b'.');
    refused(&torch_zip(&program, b""), &["at most 16777216"]);
    // The same with a long name on each level.
    let mut program = b"\x80\x02}X\x00\x04\0\0".to_vec();
    program.extend([b'k'; 1024]);
    program.extend_from_slice(b"q\x01K\x01sq\x02");
    program.extend(b"}(h\x01h\x02X\x01\0\0\0bh\x02uq\x02".repeat(60));
    program.push(b'.');
    refused(&torch_zip(&program, b""), &["at most 16777216"]);
}

#[test]
fn a_list_that_contains_itself_ends() {
    let cycles: [(&[u8], &[&str]); 3] = [
        (b"\x80\x02]q\x00h\x00a.", &["0"]),
        (b"\x80\x02]q\x00(h\x00h\x00e.", &["0", "1"]),
        (b"\x80\x02}q\x00X\x01\0\0\0ah\x00s.", &["a"]),
    ];
    for (program, skipped) in cycles {
        let weights = StateDict::from_bytes(&torch_zip(program, b""), "x").unwrap();
        assert_eq!(weights.skipped(), skipped, "a container within itself");
    }
}

/// A million tuples within each other neither overflow the stack nor take much memory.
#[test]
fn deep_nesting_is_refused_without_recursion() {
    let deep = [&b"\x80\x02)"[..], &b"\x85".repeat(100_000), b"."].concat();
    refused(&torch_zip(&deep, b""), &["deeper than 64"]);
    let wide = [&b"\x80\x02"[..], &b"}".repeat(3_000_000), b"."].concat();
    refused(&torch_zip(&wide, b""), &["objects of"]);
    let marks = [&b"\x80\x02"[..], &b"(".repeat(3_000_000), b"."].concat();
    refused(&torch_zip(&marks, b""), &["damaged"]);
}

#[test]
fn two_entries_of_one_name_in_an_archive_are_refused() {
    let mut file = zip(Stored, &[("a/data.pkl", b"\x80\x02}."), ("b/data.pkl", b"\x80\x02].")]);
    for at in 0..file.len() - 10 {
        if file[at..].starts_with(b"b/data.pkl") {
            file[at] = b'a';
        }
    }
    refused(&file, &["share a name"]);
}

/// One byte of a program takes more memory in the memo, or in a list, than the budget grants it.
#[test]
fn memory_of_the_memo_and_of_lists_counts() {
    let memo = [&b"\x80\x04}"[..], &[0x94; 600_000], b"."].concat();
    let list = [&b"\x80\x04]("[..], &[b'N'; 700_000], b"e."].concat();
    for program in [memo, list] {
        refused(&torch_zip(&program, b""), &["objects", "exhaust the memory"]);
    }
}

/// Files with very many prefixes: the search for a network takes time in proportion to the keys.
#[test]
fn a_search_in_many_prefixes_ends_soon() {
    let mut weights = StateDict::default();
    for index in 0..100_000 {
        weights.insert(format!("{index}.a.b.c.d"), Tensor::from(1.0));
    }
    let started = std::time::Instant::now();
    assert!(weights.parts_where(&|part| part.get("weight").is_some()).is_empty());
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
