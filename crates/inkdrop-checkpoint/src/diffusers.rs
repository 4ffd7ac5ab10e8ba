//! diffusers folders: config and weights of a network, and the config of its scheduler.

mod files;
mod names;
mod write;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::limits::FLOOR;
use crate::reading::LFS_POINTER;
use crate::{CheckpointError, StateDict};

/// File name of a network's config.
const CONFIG: &str = "config.json";

/// Folder of the U-Net in a pipeline.
const UNET: &str = "unet";

/// Path of the scheduler's config in a pipeline.
const SCHEDULER: [&str; 2] = ["scheduler", "scheduler_config.json"];

/// File of a pipeline that lists its components.
const INDEX: &str = "model_index.json";

/// A network in diffusers' format, alone or in a pipeline.
///
/// ```
/// use inkdrop_checkpoint::{DiffusersFolder, StateDict};
/// use inkdrop_torch::tch::Tensor;
/// use serde_json::json;
///
/// # let place = tempfile::tempdir()?;
/// # let path = &place.path().join("sprites");
/// let mut weights = StateDict::default();
/// weights.insert("conv_in.bias", Tensor::from_slice(&[0f32; 4]));
/// let config = json!({"_class_name": "UNet2DModel", "sample_size": 16});
/// let scheduler = Some(json!({"_class_name": "DDPMScheduler", "num_train_timesteps": 500}));
/// DiffusersFolder { config, scheduler, weights }.write(path)?;
///
/// let read = DiffusersFolder::open(path)?;
/// assert_eq!(read.config["sample_size"], 16);
/// assert_eq!(read.weights.get("conv_in.bias").map(Tensor::size), Some(vec![4]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DiffusersFolder {
    /// The network's `config.json`.
    pub config: Value,
    /// The scheduler's config; `None` if there is none.
    pub scheduler: Option<Value>,
    /// The network's weights, with the names of current diffusers versions.
    pub weights: StateDict,
}

impl DiffusersFolder {
    /// True if [`DiffusersFolder::open`] recognises the folder.
    pub fn is_at(path: &Path) -> bool {
        [INDEX, CONFIG].iter().any(|name| path.join(name).is_file())
            || path.join(UNET).join(CONFIG).is_file()
    }

    /// Paths of the weights written by [`DiffusersFolder::write`], for a pipeline and for a network alone.
    pub fn weights_at(path: &Path) -> [PathBuf; 2] {
        [path.join(UNET), path.to_path_buf()].map(|network| network.join(files::FILE))
    }

    /// Reads the folder of a pipeline (`unet/`, `scheduler/`), or of a network (`config.json`,
    /// weights, `scheduler_config.json`). The scheduler is optional.
    ///
    /// The weights are `diffusion_pytorch_model.safetensors`, shards with an index, or the same
    /// as `.bin`. A variant such as `fp16` is used if there is nothing else. Attention weights of
    /// old versions (`query`, `key`, `value`, `proj_attn`) are renamed, as diffusers does.
    ///
    /// # Errors
    /// The folder has no config or no weights, or only several variants. An index is invalid or
    /// refers to files outside the folder. Errors of [`StateDict::open`].
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let unet = path.join(UNET);
        let network = if unet.is_dir() { &unet } else { path };
        if !network.join(CONFIG).is_file() {
            return Err(no_config(path, network));
        }
        let config = read_json(&network.join(CONFIG))?;
        let scheduler = scheduler_file(path).map(|file| read_json(&file)).transpose()?;
        let weights = names::modern(files::weights(network)?)
            .map_err(|problem| folder_error(network, problem))?;
        Ok(Self { config, scheduler, weights })
    }
}

/// The scheduler's config: in its own folder, or next to the network's config, as in the first
/// published pipelines (google/ddpm-cifar10-32).
fn scheduler_file(path: &Path) -> Option<PathBuf> {
    let [folder, name] = SCHEDULER;
    [path.join(folder).join(name), path.join(name)].into_iter().find(|file| file.is_file())
}

fn folder_error(path: &Path, problem: impl Into<String>) -> CheckpointError {
    CheckpointError::Folder { path: path.to_path_buf(), problem: problem.into() }
}

/// The error for a path without a network's config.
fn no_config(path: &Path, network: &Path) -> CheckpointError {
    if !path.is_dir() {
        let what = if path.exists() { "it is a file" } else { "the folder does not exist" };
        return folder_error(path, format!("{what}, expected a folder of save_pretrained"));
    }
    if network == path && path.join(INDEX).is_file() {
        return folder_error(path, format!("its pipeline has no {UNET} folder, expected a U-Net"));
    }
    folder_error(
        network,
        format!(
            "it has no {CONFIG}, expected a folder of save_pretrained: {CONFIG} beside its weights, or {UNET}/{CONFIG}"
        ),
    )
}

/// Reads a JSON object from a file.
fn read_json(path: &Path) -> Result<Value, CheckpointError> {
    let read = |source| CheckpointError::Read { path: path.to_path_buf(), source };
    let mut text = Vec::new();
    File::open(path).map_err(read)?.take(FLOOR + 1).read_to_end(&mut text).map_err(read)?;
    let wrong =
        |problem: String| CheckpointError::Json { name: path.display().to_string(), problem };
    if text.starts_with(LFS_POINTER) {
        return Err(wrong("it is a Git LFS pointer; fetch the files with `git lfs pull`".into()));
    }
    if text.len() as u64 > FLOOR {
        return Err(wrong(format!("it has more than {FLOOR} bytes")));
    }
    let value: Value =
        serde_json::from_slice(&numbers(text)).map_err(|error| wrong(error.to_string()))?;
    if !value.is_object() {
        return Err(wrong("expected an object in braces".to_string()));
    }
    Ok(value)
}

/// Parses JSON of Python, with null for `Infinity`, `-Infinity` and `NaN`, which are not valid JSON.
/// diffusers' schedulers contain them, e.g. in `lambda_min_clipped`.
fn numbers(text: Vec<u8>) -> Vec<u8> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out = Vec::with_capacity(text.len());
    let (mut rest, mut quoted) = (&text[..], false);
    while let Some((&byte, after)) = rest.split_first() {
        if !quoted && let Some(word) = WORDS.iter().find(|word| rest.starts_with(word)) {
            out.extend_from_slice(b"null");
            rest = &rest[word.len()..];
            continue;
        }
        out.push(byte);
        rest = after;
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                if let Some((&escaped, after)) = rest.split_first() {
                    out.push(escaped);
                    rest = after;
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn words_of_python_become_null_outside_of_strings() {
        let text = r#"{"a": -Infinity, "b": [NaN, Infinity, 1], "NaN \" -Infinity": "NaN\\"}"#;
        let plain = r#"{"a": null, "b": [null, null, 1], "NaN \" -Infinity": "NaN\\"}"#;
        assert_eq!(numbers(text.as_bytes().to_vec()), plain.as_bytes());
    }
}
