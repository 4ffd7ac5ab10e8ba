//! Detects the format of a file by its contents.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, SeekFrom};
use std::path::Path;

use crate::archive::Archive;
use crate::error::{Fault, shown};
use crate::source::{EXPECTED, Source};
use crate::{CheckpointError, StateDict, npz, safetensors, torch_legacy, torch_zip};

/// Reads a file of any format.
pub(crate) fn open(path: &Path) -> Result<StateDict, CheckpointError> {
    let read = |source| CheckpointError::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.is_dir() {
        return Err(read(std::io::ErrorKind::IsADirectory.into()));
    }
    dispatch(&mut BufReader::new(file)).map_err(|fault| fault.reading(&path.display().to_string()))
}

/// Reads a file in memory; `name` is used in errors.
pub(crate) fn from_bytes(bytes: &[u8], name: &str) -> Result<StateDict, CheckpointError> {
    dispatch(&mut Cursor::new(bytes)).map_err(|fault| fault.reading(name))
}

/// Reads a file in the format that its first bytes indicate.
fn dispatch(source: &mut dyn Source) -> Result<StateDict, Fault> {
    let len = source.seek(SeekFrom::End(0))?;
    source.rewind()?;
    let mut first = Vec::new();
    source.take(512).read_to_end(&mut first)?;
    source.rewind()?;
    match first.as_slice() {
        first if is_safetensors(first, len) => safetensors::read(source, len),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => archive(source, len),
        [0x80, 1..=5, ..] => torch_legacy::read(source, len),
        _ => match foreign(&first) {
            Some(problem) => Err(Fault::Problem(problem)),
            None => safetensors::read(source, len),
        },
    }
}

/// True if the file starts with a length and a brace, as safetensors does.
///
/// This check comes first, since a header of 640 bytes starts with the two bytes of a pickle.
fn is_safetensors(first: &[u8], len: u64) -> bool {
    let [a, b, c, d, e, f, g, h, b'{', ..] = *first else { return false };
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) < len
}

/// Reads an archive of torch.save or np.savez.
fn archive(source: &mut dyn Source, len: u64) -> Result<StateDict, Fault> {
    let archive = Archive::open(source, len)?;
    if let Some(root) = torch_zip::root(archive.names()) {
        return torch_zip::read(archive, &root, len);
    }
    if archive.names().iter().all(|name| name.ends_with(".npy")) {
        return npz::read(archive, len);
    }
    let some: Vec<String> = archive.names().iter().take(3).map(|name| shown(name)).collect();
    Err(Fault::Problem(format!(
        "it is a zip archive of {} entries ({}, …) without a data.pkl; {EXPECTED}",
        archive.names().len(),
        some.join(", ")
    )))
}

/// The name of a known but unsupported format, by its first bytes.
fn foreign(first: &[u8]) -> Option<String> {
    let what = match first {
        [] => "the file is empty",
        [0x93, b'N', b'U', b'M', ..] => {
            "it is a single NumPy array without a name (save it with np.savez)"
        }
        [0x89, b'P', b'N', b'G', ..] => "it is a PNG image",
        [0x89, b'H', b'D', b'F', ..] => "it is an HDF5 file",
        [b'G', b'G', b'U', b'F', ..] => "it is a GGUF file",
        [0x1f, 0x8b, ..] => "it is compressed with gzip (unpack it)",
        _ if first.get(257..262) == Some(b"ustar") => {
            "it is a tar archive of PyTorch before 0.2 (save it again with torch.save)"
        }
        _ => return None,
    };
    Some(format!("{what}; {EXPECTED}"))
}
