//! Fixtures, and files made by hand: pickles, zip archives, old torch files, arrays.

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A committed file.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn fixture_bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

/// The error of a file that must not be read.
pub fn error(bytes: &[u8]) -> String {
    StateDict::from_bytes(bytes, "file.pt").unwrap_err().to_string()
}

/// Checks that a file is refused with all these words.
pub fn refused(bytes: &[u8], words: &[&str]) {
    let error = error(bytes);
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

/// Checks that names, types, shapes and bits are the same.
pub fn assert_same(given: &StateDict, expected: &StateDict) {
    let names = |weights: &StateDict| weights.iter().map(|(key, _)| key.to_string()).collect();
    let (ours, theirs): (Vec<String>, Vec<String>) = (names(given), names(expected));
    assert_eq!(ours, theirs);
    for (key, tensor) in expected.iter() {
        let other = given.get(key).unwrap();
        assert_eq!((other.kind(), other.size()), (tensor.kind(), tensor.size()), "{key}");
        assert_eq!(other, tensor, "{key}");
    }
}

/// A zip archive of entries.
pub fn zip(method: CompressionMethod, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(name.to_string(), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A file of torch.save with this pickle and one storage, `0`.
pub fn torch_zip(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let entries: [(&str, &[u8]); 2] = [("a/data.pkl", pickle), ("a/data/0", storage)];
    zip(CompressionMethod::Stored, &entries)
}

/// A file of torch.save's old format with this pickle and storage `0` of `count` values.
pub fn torch_legacy(pickle: &[u8], count: u64, values: &[u8]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    file.extend_from_slice(b"\x80\x02M\xe9\x03.\x80\x02}.");
    file.extend_from_slice(pickle);
    file.extend_from_slice(b"\x80\x02](X\x01\0\0\x000e.");
    file.extend_from_slice(&count.to_le_bytes());
    file.extend_from_slice(values);
    file
}

/// The pickle of one float tensor, `x`.
pub fn tensor_pickle(count: i64, offset: i64, size: &[i64], stride: &[i64]) -> Vec<u8> {
    let mut out = b"\x80\x02}X\x01\0\0\0x".to_vec();
    out.extend(tensor_ops("FloatStorage", count, offset, size, stride));
    out.extend_from_slice(b"s.");
    out
}

/// The operations that put down a tensor of storage `0`.
pub fn tensor_ops(class: &str, count: i64, offset: i64, size: &[i64], stride: &[i64]) -> Vec<u8> {
    let mut out = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n".to_vec();
    out.extend_from_slice(format!("{class}\nX\x01\0\0\x000X\x03\0\0\0cpu").as_bytes());
    long(&mut out, count);
    out.extend_from_slice(b"tQ");
    long(&mut out, offset);
    for numbers in [size, stride] {
        out.push(b'(');
        numbers.iter().for_each(|&number| long(&mut out, number));
        out.push(b't');
    }
    out.extend_from_slice(b"\x89}tR");
    out
}

fn long(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&[0x8a, 8]);
    out.extend_from_slice(&number.to_le_bytes());
}

/// An array in NumPy's format.
pub fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut out = b"\x93NUMPY\x01\0".to_vec();
    out.extend_from_slice(&(header.len() as u16).to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(values);
    out
}

/// A state dict with these keys.
pub fn with_keys(keys: &[&str]) -> StateDict {
    let mut weights = StateDict::default();
    for key in keys {
        weights.insert(*key, Tensor::from(1.0));
    }
    weights
}

/// The keys of a state dict.
pub fn keys(weights: &StateDict) -> Vec<&str> {
    weights.iter().map(|(key, _)| key).collect()
}
