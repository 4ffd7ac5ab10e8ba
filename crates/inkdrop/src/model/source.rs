//! Where weights come from: built in, a file of any format, or a folder of diffusers.

use std::path::Path;

use anyhow::{Context, Result, bail};
use inkdrop_checkpoint::{DiffusersFolder, StateDict};
use serde_json::Value;

/// The models that are compiled into the binary.
const BUILT_IN: [(&str, &[u8]); 1] =
    [("sprites", include_bytes!("../../assets/sprites.safetensors"))];

/// Weights as they were found.
pub struct Source {
    /// What the user called it.
    pub name: String,
    /// All tensors of the file.
    pub whole: StateDict,
    /// A diffusers network's config.json.
    pub config: Option<Value>,
    /// A diffusers pipeline's scheduler_config.json.
    pub scheduler: Option<Value>,
}

impl Source {
    /// A built-in name or a path; `./sprites` is always a path.
    pub fn open(name: &str) -> Result<Self> {
        let path = Path::new(name);
        let (whole, config, scheduler) = match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, bytes)) => (StateDict::from_bytes(bytes, name)?, None, None),
            None if !path.exists() => {
                let names = BUILT_IN.map(|(name, _)| name).join(", ");
                bail!(
                    "there is no file {name}, and no built-in model of that name (built in: {names})"
                )
            }
            None if path.is_dir() => {
                let folder = DiffusersFolder::open(path)?;
                (folder.weights, Some(folder.config), folder.scheduler)
            }
            None => (StateDict::open(path)?, None, None),
        };
        Ok(Self { name: name.to_string(), whole, config, scheduler })
    }

    /// One network of the file, without wrappers.
    pub fn part(&self, name: Option<&str>) -> Result<StateDict> {
        self.whole.part(name).with_context(|| self.name.clone())
    }
}
