//! Entry points of the fuzzers and property tests: readers on arbitrary input, which must not panic.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::arrays::arrays;
use crate::assemble::{Storages, assemble};
use crate::error::Fault;
use crate::limits::Budget;
use crate::{Constructor, Format, StateDict, pickle, pickle_dump};

/// Size in bytes of every storage, and of the values of every file.
const VALUES: usize = 256;

/// Reads a pickle; every storage exists.
pub fn pickle(program: &[u8]) {
    let len = (program.len() + VALUES) as u64;
    let mut objects = Budget::new("objects", len);
    let Ok(pickle) = pickle::read(&mut &*program, &mut objects) else { return };
    let _ = arrays(&pickle, len);
    let weights = assemble(&pickle, &mut Zeros, &mut objects, Format::TorchZip, len);
    weights.iter().for_each(look);
}

/// Reads a pickle of pickle.dump, such as a network snapshot; returns the calls that it records.
pub fn snapshot(program: &[u8]) -> Vec<Constructor> {
    let len = program.len() as u64;
    let mut objects = Budget::new("objects", len);
    let Ok(pickle) = pickle::read_dump(&mut &*program, &mut objects) else { return Vec::new() };
    let Ok(weights) = pickle_dump::read(&pickle, &mut objects, len) else { return Vec::new() };
    look(&weights);
    let parts = weights.parts().into_iter().filter_map(|part| weights.part(Some(&part)).ok());
    parts.flat_map(|part| part.constructors().cloned().collect::<Vec<_>>()).collect()
}

/// Reads a file of any format.
pub fn file(bytes: &[u8]) {
    StateDict::from_bytes(bytes, "fuzzed").iter().for_each(look);
}

/// Reads the header of a safetensors file.
pub fn safetensors(header: &[u8]) {
    let length = (header.len() as u64).to_le_bytes();
    for values in [0, VALUES] {
        file(&[&length, header, &[0; VALUES][..values]].concat());
    }
}

/// Reads an array in an archive with valid checksums.
pub fn npz(array: &[u8]) {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let written = zip.start_file("x.npy", stored).is_ok() && zip.write_all(array).is_ok();
    if let (true, Ok(archive)) = (written, zip.finish()) {
        file(archive.get_ref());
    }
}

/// Uses the weights as a program does.
fn look(weights: &StateDict) {
    for part in weights.parts() {
        let _ = weights.part(Some(&part)).map(|part| part.iter().count());
    }
    let _ = weights.part(None);
    let is_network = |part: &StateDict| part.get("weight").is_some();
    for part in weights.parts_where(&is_network) {
        let _ = weights.part_where(Some(&part), &is_network);
    }
    for (key, _) in weights.iter().take(4) {
        let name = key.rsplit_once('.').map_or(key, |(name, _)| name);
        let _ = weights.part_where(Some(name), &is_network); // may be a list without names
    }
    let contiguous = weights.iter().all(|(_, tensor)| tensor.is_contiguous());
    assert!(contiguous, "tensors are what their names say, and nothing more");
}

/// Storages of zeros with every name.
struct Zeros;

impl Storages for Zeros {
    fn size(&self, _: &str) -> Option<u64> {
        Some(VALUES as u64)
    }

    fn read(&mut self, _: &str) -> Result<Vec<u8>, Fault> {
        Ok(vec![0; VALUES])
    }
}
