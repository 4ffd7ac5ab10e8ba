//! Event files, read back by hand.

use std::fs;
use std::path::{Path, PathBuf};

use inkdrop_report::{EventWriter, ReportError};

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn check(bytes: &[u8], sum: &[u8]) {
    let masked = crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(masked.to_le_bytes(), sum);
}

/// The records of a file, each checksum checked.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut records) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(*rest.first_chunk().unwrap()) as usize;
        check(&rest[..8], &rest[8..12]);
        let record = &rest[12..12 + length];
        check(record, &rest[12 + length..16 + length]);
        records.push(record.to_vec());
        rest = &rest[16 + length..];
    }
    records
}

/// A field of a message: its number, and its bytes or its value.
#[derive(Debug, PartialEq)]
enum Field {
    Number(u64, u64),
    Fixed(u64, Vec<u8>),
    Bytes(u64, Vec<u8>),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<Field> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                all.push(Field::Number(key >> 3, varint(&mut bytes)));
                continue;
            }
            1 => 8,
            5 => 4,
            2 => varint(&mut bytes) as usize,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        bytes = rest;
        let make = if key & 7 == 2 { Field::Bytes } else { Field::Fixed };
        all.push(make(key >> 3, value.to_vec()));
    }
    all
}

fn inner(fields: &[Field], wanted: u64) -> Vec<Field> {
    let found = fields.iter().find_map(|field| match field {
        Field::Bytes(number, bytes) if *number == wanted => Some(bytes),
        _ => None,
    });
    self::fields(found.unwrap())
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("new/events");
    (place, folder)
}

#[test]
fn a_file_begins_with_its_version() {
    let (_place, folder) = place();
    let events = EventWriter::open(&folder, 0).unwrap();
    let records = records(events.path());
    assert_eq!(records.len(), 1);
    assert_eq!(fields(&records[0])[1], Field::Bytes(3, b"brain.Event:2".to_vec()));
    let name = events.path().file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
}

#[test]
fn a_number_has_its_step_and_name() {
    let (_place, folder) = place();
    let mut events = EventWriter::open(&folder, 0).unwrap();
    events.scalar("train/loss", 300, 0.25).unwrap();
    events.flush().unwrap();
    let event = fields(&records(events.path())[1]);
    assert!(event.contains(&Field::Number(2, 300)));
    let value = inner(&inner(&event, 5), 1);
    assert_eq!(value[0], Field::Bytes(1, b"train/loss".to_vec()));
    assert_eq!(value[1], Field::Fixed(2, 0.25f32.to_le_bytes().to_vec()));
}

#[test]
fn a_picture_has_its_size_and_bytes() {
    let (_place, folder) = place();
    let mut events = EventWriter::open(&folder, 0).unwrap();
    let png = super::page::png(7, 5);
    events.image("samples", 1, &png).unwrap();
    events.flush().unwrap();
    let image = inner(&inner(&inner(&fields(&records(events.path())[1]), 5), 1), 4);
    assert_eq!(image[..3], [Field::Number(1, 5), Field::Number(2, 7), Field::Number(3, 3)]);
    assert_eq!(image[3], Field::Bytes(4, png));

    let error = events.image("samples", 2, b"GIF89a").unwrap_err();
    assert!(matches!(&error, ReportError::InvalidPng { len: 6, .. }), "{error}");
}

#[test]
fn a_text_is_a_tensor_for_the_plugin() {
    let (_place, folder) = place();
    let mut events = EventWriter::open(&folder, 0).unwrap();
    let long = "ü".repeat(200); // its length takes two bytes
    events.text("config", 0, &long).unwrap();
    events.flush().unwrap();
    let value = inner(&inner(&fields(&records(events.path())[1]), 5), 1);
    assert!(inner(&value, 8).contains(&Field::Bytes(8, long.into_bytes())));
    assert_eq!(inner(&inner(&value, 9), 1), [Field::Bytes(1, b"text".to_vec())]);
}

#[test]
fn a_run_that_goes_on_takes_back_what_is_later() {
    let (_place, folder) = place();
    let paths: Vec<PathBuf> = [0, 50, 70]
        .into_iter()
        .map(|step| EventWriter::open(&folder, step).unwrap().path().to_path_buf())
        .collect();
    assert!(paths.is_sorted() && paths[0] != paths[1] && paths[1] != paths[2], "{paths:?}");
    assert_eq!(records(&paths[0]).len(), 1, "a new run takes nothing back");
    let restart = fields(&records(&paths[1])[1]);
    assert!(restart.contains(&Field::Number(2, 51)), "{restart:?}");
    assert_eq!(inner(&restart, 7), [Field::Number(1, 1)]);
}

/// Killed before its first checkpoint, a run begins at step 0 once more.
#[test]
fn a_run_that_begins_again_takes_everything_back() {
    let (_place, folder) = place();
    assert!(EventWriter::open(&folder, 0).unwrap().is_first());
    let again = EventWriter::open(&folder, 0).unwrap();
    assert!(!again.is_first());
    let restart = fields(&records(again.path())[1]);
    assert!(restart.contains(&Field::Number(2, 1)), "{restart:?}");
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let (place, _) = place();
    fs::write(place.path().join("file"), "").unwrap();
    let error = EventWriter::open(place.path().join("file"), 0).unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("file"), "{error}");
}
