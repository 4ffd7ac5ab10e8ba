//! Finds the weight files of a diffusers folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path};

use serde_json::Value;

use super::{folder_error, read_json};
use crate::error::shown;
use crate::{CheckpointError, StateDict};

/// Prefix of all weight files.
pub(super) const STEM: &str = "diffusion_pytorch_model.";

/// The weight file that diffusers writes by default.
pub(super) const FILE: &str = "diffusion_pytorch_model.safetensors";

/// Reads the weights of a network's folder.
pub(super) fn weights(folder: &Path) -> Result<StateDict, CheckpointError> {
    let name = choose(folder)?;
    let path = folder.join(&name);
    if name.ends_with(".json") { shards(folder, &path) } else { StateDict::open(&path) }
}

/// The names of all weight files and indices.
pub(super) fn names(folder: &Path) -> Result<BTreeSet<String>, CheckpointError> {
    let read = |source| CheckpointError::Read { path: folder.to_path_buf(), source };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name().to_string_lossy().into_owned();
        if name.starts_with(STEM) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Chooses the file: plain before variant, safetensors before pickle, one file before shards.
fn choose(folder: &Path) -> Result<String, CheckpointError> {
    let names = names(folder)?;
    for ending in ["safetensors", "bin"] {
        for plain in [format!("{STEM}{ending}"), format!("{STEM}{ending}.index.json")] {
            if names.contains(&plain) {
                return Ok(plain);
            }
        }
    }
    for ending in ["safetensors", "bin"] {
        let variants: Vec<&String> = names.iter().filter(|name| is_variant(name, ending)).collect();
        match variants.as_slice() {
            [] => {}
            [only] => return Ok((*only).clone()),
            several => {
                let all: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                let all = all.join(", ");
                let problem = format!("it has several variants ({all}) and no {FILE}; keep one");
                return Err(folder_error(folder, problem));
            }
        }
    }
    Err(folder_error(folder, format!("it has no weights, expected {FILE}")))
}

/// True for a variant, `STEM.fp16.safetensors`, or the index of its shards: diffusers has called it
/// `STEM.safetensors.index.fp16.json` and `STEM.safetensors.fp16.index.json`.
fn is_variant(name: &str, ending: &str) -> bool {
    let mut words: Vec<&str> = name.strip_prefix(STEM).unwrap_or_default().split('.').collect();
    let fixed: &[&str] = match words.last() {
        Some(&"json") => &[ending, "index", "json"],
        Some(&last) if last == ending => &[ending],
        _ => return false,
    };
    let all = fixed.iter().all(|word| words.contains(word));
    words.retain(|word| !fixed.contains(word));
    all && matches!(words[..], [variant] if !variant.is_empty() && !variant.contains("-of-"))
}

/// Reads the weights of all shards in an index.
fn shards(folder: &Path, index: &Path) -> Result<StateDict, CheckpointError> {
    let error =
        |problem: String| CheckpointError::Json { name: index.display().to_string(), problem };
    let json = read_json(index)?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| error("it has no `weight_map`".to_string()))?;
    let mut files = BTreeSet::new();
    for (key, file) in map {
        let file = file.as_str().filter(|file| is_plain(file)).ok_or_else(|| {
            let (key, file) = (shown(key), shown(&file.to_string()));
            error(format!("`{key}` is in {file}, expected the name of a file in its own folder"))
        })?;
        files.insert(file);
    }
    let mut all = StateDict::default();
    for file in files {
        let shard = StateDict::open(&folder.join(file))?;
        all.format = shard.format;
        for (key, tensor) in shard.tensors {
            if all.tensors.contains_key(&key) {
                return Err(error(format!("`{}` is in two shards", shown(&key))));
            }
            all.tensors.insert(key, tensor);
        }
        all.unsupported.extend(shard.unsupported);
    }
    let lacks =
        |key: &&String| !all.tensors.contains_key(*key) && !all.unsupported.contains_key(*key);
    match map.keys().find(lacks) {
        None => Ok(all),
        Some(key) => Err(error(format!("`{}` is not in its shard", shown(key)))),
    }
}

/// True for a plain file name, without folders.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    plain && parts.next().is_none() && !name.contains(['/', '\\', '\0', ':'])
}
