//! Writes a state_dict in the zip format of torch.save.

mod program;

use std::io::Write;
use std::path::Path;

use inkdrop_torch::tch::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::atomic::write_atomic;
use crate::error::Fault;
use crate::{CheckpointError, StateDict, kinds};

/// Alignment of values, since torch maps files into memory.
const ALIGNMENT: u16 = 64;

/// Entries from this size on need the zip64 format.
const LARGE: usize = 0xffff_ffff;

impl StateDict {
    /// Writes the tensors as an OrderedDict in torch.save's zip format, atomically.
    ///
    /// `torch.load(path, weights_only=True)` reads the file as a state_dict for `load_state_dict`.
    /// The format has no metadata, so that is left out.
    ///
    /// - order: the first keys, in this order; the others follow, sorted
    ///
    /// # Errors
    /// The file cannot be written (an existing file is unchanged), or a dtype is not supported by the
    /// format.
    pub fn save_torch(&self, path: &Path, order: &[&str]) -> Result<(), CheckpointError> {
        let entries = self.ordered(order);
        write_atomic(path, |file| write(file, &entries))
    }

    fn ordered(&self, order: &[&str]) -> Vec<(&str, &Tensor)> {
        let mut entries: Vec<(&str, &Tensor)> = self.iter().collect();
        let place = |key: &str| order.iter().position(|name| *name == key).unwrap_or(order.len());
        entries.sort_by_cached_key(|(key, _)| place(key));
        entries
    }
}

fn write(file: impl Write + std::io::Seek, entries: &[(&str, &Tensor)]) -> Result<(), Fault> {
    let mut zip = ZipWriter::new(file);
    put(&mut zip, "data.pkl", &program::write(entries)?)?;
    put(&mut zip, "byteorder", b"little")?;
    for (index, (_, tensor)) in entries.iter().enumerate() {
        put(&mut zip, &format!("data/{index}"), &kinds::bytes(tensor)?)?;
    }
    put(&mut zip, "version", b"3\n")?;
    zip.finish().map_err(fault)?;
    Ok(())
}

/// Adds an uncompressed entry in the folder that torch expects.
fn put(
    zip: &mut ZipWriter<impl Write + std::io::Seek>,
    name: &str,
    bytes: &[u8],
) -> Result<(), Fault> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT)
        .large_file(bytes.len() >= LARGE);
    zip.start_file(format!("archive/{name}"), options).map_err(fault)?;
    Ok(zip.write_all(bytes)?)
}

fn fault(error: zip::result::ZipError) -> Fault {
    Fault::Io(error.into())
}
