//! Files that are damaged or mean harm: one line, and nothing happens.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::networks::{ddpm, improved, put_weights, together, weights};
use super::support::Place;

/// Every command refuses `model.pt` with these words, in one line.
fn refused(place: &Place, words: &[&str]) {
    let commands: [&[&str]; 4] = [
        &["inspect", "model.pt"],
        &["plan", "model.pt"],
        &["convert", "model.pt", "x.safetensors"],
        &["sample", "model.pt", "--out", "kept.png"],
    ];
    for command in commands {
        let outcome = place.refuses(command, &[&["model.pt"], words].concat());
        assert_eq!(outcome.stderr.lines().count(), 1, "{command:?}: {}", outcome.stderr);
        assert_eq!(outcome.code, Some(1), "{command:?}");
    }
}

fn place_with(bytes: &[u8]) -> Place {
    let place = Place::new();
    place.put("model.pt", bytes);
    place
}

/// A file of torch.save: a pickle, and the bytes of storage `0`.
fn torch_zip(method: CompressionMethod, pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", storage)] {
        zip.start_file(name, options).expect("an entry");
        zip.write_all(bytes).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}

/// The pickle of `{"x": tensor}`: so many floats of storage `0`.
fn floats(count: i64) -> Vec<u8> {
    let count = [&[0x8a, 8], &count.to_le_bytes()[..]].concat();
    let parts: [&[u8]; 7] = [
        b"\x80\x02}X\x01\0\0\0xctorch._utils\n_rebuild_tensor_v2\n(",
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu",
        &count,
        b"tQK\0(",
        &count,
        b"t(K\x01t\x89}tRs",
        b".",
    ];
    parts.concat()
}

#[test]
fn a_sound_file_of_this_make_is_read() {
    let place = place_with(&torch_zip(CompressionMethod::Deflated, &floats(6), &[0; 24]));
    let outcome = place.run(&["inspect", "model.pt"]).succeeds();
    assert!(outcome.stdout.contains("F32   [6]"), "{}", outcome.stdout);
}

#[test]
fn a_pickle_s_command_is_not_run() {
    let call = b"\x80\x02cos\nsystem\nX\x0b\0\0\0touch owned\x85R.";
    let place = place_with(&torch_zip(CompressionMethod::Stored, call, b""));
    refused(&place, &["`os.system`", "not executed"]);
    assert!(!place.path("owned").exists());
    let magic =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let place = place_with(&[&magic[..], call].concat());
    refused(&place, &["`os.system`", "not executed"]);
    assert!(!place.path("owned").exists());
}

#[test]
fn a_zip_bomb_is_not_unpacked() {
    let zeros = vec![0; 64 << 20];
    let pickle = floats(16 << 20);
    let bytes = torch_zip(CompressionMethod::Deflated, &pickle, &zeros);
    assert!(bytes.len() < 1 << 18);
    refused(&place_with(&bytes), &["zip entries", "at most 16777216"]);
}

#[test]
fn a_storage_that_is_too_small_is_named_with_both_sizes() {
    let bytes = torch_zip(CompressionMethod::Stored, &floats(10), &[0; 24]);
    refused(&place_with(&bytes), &["x:", "24 bytes", "10 values of 4 bytes"]);
}

#[test]
fn ten_gigabytes_in_a_kilobyte_are_refused() {
    let bytes = torch_zip(CompressionMethod::Stored, &floats(2_500_000_000), &[0; 1024]);
    refused(&place_with(&bytes), &["10000000000", "at most 16777216"]);
    let header = br#"{"x":{"dtype":"F32","shape":[2500000000],"data_offsets":[0,10000000000]}}"#;
    let mut bytes = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    bytes.resize(1024, 0);
    refused(&place_with(&bytes), &["10000000000", "truncated"]);
}

#[test]
fn a_checkpoint_of_one_byte_is_none() {
    for byte in [0x80, b'P', 0, b'{'] {
        refused(&place_with(&[byte]), &["cannot be read as weights"]);
    }
}

#[test]
fn keys_of_two_families_are_no_network() {
    let place = Place::new();
    put_weights(
        &place,
        "model.pt",
        &together(&[("", &weights(&ddpm())), ("", &weights(&improved()))]),
    );
    for command in [["sample", "model.pt"], ["plan", "model.pt"]] {
        place.refuses(&command, &["model.pt", "mixes", "ddpm, improved"]);
    }
    place.refuses(&["convert", "model.pt", "pipe"], &["model.pt", "mixes", "ddpm, improved"]);
    let outcome = place.run(&["convert", "model.pt", "x.safetensors"]).succeeds();
    assert!(outcome.stdout.contains("mixes"), "{}", outcome.stdout);
}
