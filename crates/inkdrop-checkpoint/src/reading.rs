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
        first => match foreign(first) {
            Some(problem) => Err(Fault::Problem(problem)),
            None if is_old_pickle(first) => torch_legacy::read(source, len),
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

/// True if the file starts like a pickle of protocol 0 or 1: the name of a module, or a container.
fn is_old_pickle(first: &[u8]) -> bool {
    let line = first.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let name = line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(byte));
    match first {
        [b'c', ..] => name && line.len() < first.len(),
        [b'(' | b'}' | b']' | b')', ..] => true,
        _ => false,
    }
}

/// Reads an archive of torch.save or np.savez.
fn archive(source: &mut dyn Source, len: u64) -> Result<StateDict, Fault> {
    let archive = Archive::open(source, len)?;
    if let Some(root) = torch_zip::root(archive.names()) {
        return torch_zip::read(archive, &root, len);
    }
    let names = archive.names();
    if !names.is_empty() && names.iter().all(|name| name.ends_with(".npy")) {
        return npz::read(archive, len);
    }
    Err(Fault::Problem(match foreign_archive(archive.names()) {
        Some(what) => format!("{what}; {EXPECTED}"),
        None => {
            let some: Vec<String> =
                archive.names().iter().take(3).map(|name| shown(name)).collect();
            format!(
                "it is a zip archive of {} entries ({}, …) without a data.pkl; {EXPECTED}",
                archive.names().len(),
                some.join(", ")
            )
        }
    }))
}

/// What another kind of zip archive is, by the names of its entries.
fn foreign_archive(names: &[String]) -> Option<&'static str> {
    let has = |ending: &str| names.iter().any(|name| name.ends_with(ending));
    if names.is_empty() {
        Some("it is a zip archive without entries")
    } else if has("model.weights.h5") {
        Some("it is a Keras model; save its weights with np.savez by the names of the network")
    } else if has(".safetensors") || has(".pt") || has(".pth") || has(".ckpt") || has(".bin") {
        Some("it is a zip archive that contains files of weights; unpack it and give one of them")
    } else {
        None
    }
}

/// First bytes of a file that Git LFS has not fetched.
pub(crate) const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// First bytes of known but unsupported formats, and what they are.
const FOREIGN: [(&[u8], &str); 18] = [
    (
        LFS_POINTER,
        "it is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`",
    ),
    (b"\x93NUMPY", "it is a single NumPy array without a name (save it with np.savez)"),
    (b"\x89PNG", "it is a PNG image"),
    (b"\xff\xd8\xff", "it is a JPEG image"),
    (b"GIF8", "it is a GIF image"),
    (b"%PDF", "it is a PDF document"),
    (b"\x89HDF", "it is an HDF5 file, as Keras writes it (.h5); save the weights with np.savez"),
    (b"GGUF", "it is a GGUF file; fetch the same model as safetensors"),
    (b"ggml", "it is a GGML file; fetch the same model as safetensors"),
    (b"\x1f\x8b", "it is compressed with gzip (unpack it)"),
    (b"BZh", "it is compressed with bzip2 (unpack it)"),
    (b"\xfd7zXZ", "it is compressed with xz (unpack it)"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd (unpack it)"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive (unpack it)"),
    (b"Rar!", "it is a RAR archive (unpack it)"),
    (b"SQLite format 3", "it is an SQLite database"),
    (b"\x7fELF", "it is a program"),
    (b"PAR1", "it is a Parquet file, which holds data and no weights"),
];

/// The name of a known but unsupported format, by its first bytes.
fn foreign(first: &[u8]) -> Option<String> {
    let text = first.trim_ascii_start();
    let page = text.get(..14).is_some_and(|start| start.eq_ignore_ascii_case(b"<!doctype html"))
        || text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"<html"));
    let known = FOREIGN.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, what)| *what);
    let what = if first.is_empty() {
        "the file is empty; fetch it again"
    } else if let Some(what) = known {
        what
    } else if page {
        "it is a web page (HTML), perhaps of a login or an error; download the file itself"
    } else if first.starts_with(b"<") {
        "it is an XML or HTML document; download the file itself"
    } else if text.starts_with(b"{") || text.starts_with(b"[") {
        "it is text, such as JSON or a config, without weights"
    } else if first.iter().all(|&byte| byte == 0) {
        "it begins with zeros only, as after a broken download; fetch it again"
    } else if first.get(257..262) == Some(b"ustar") {
        "it is a tar archive, as of PyTorch before 0.2 (unpack it, or save it again with torch.save)"
    } else if matches!(first, [8, 1..=16, 0x12, ..]) {
        "it is an ONNX model; export the state_dict of its PyTorch model with torch.save"
    } else {
        return None;
    };
    Some(format!("{what}; {EXPECTED}"))
}
