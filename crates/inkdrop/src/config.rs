//! The config of a training run: built-in or a file, with settings of the command line.

mod built_in;
mod data;
mod drift;
mod fit;
mod settings;

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
pub use built_in::{BUILT_IN, BuiltIn};
pub use data::{DataConfig, Loaded, LoadedInMemory, SPRITES};
pub use fit::{Fitted, fit};
use inkdrop_process::ProcessConfig;
use inkdrop_train::TrainConfig;
use inkdrop_unet::ModelConfig;
use serde::{Deserialize, Serialize};
pub use settings::Setting;
use toml::{Table, Value};

/// The config of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The network.
    pub model: ModelConfig,
    /// The diffusion process.
    pub process: ProcessConfig,
    /// The training data.
    pub data: DataConfig,
    /// The validation data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<DataConfig>,
    /// Hyperparameters.
    #[serde(default)]
    pub train: TrainConfig,
}

impl RunConfig {
    /// The config of a built-in name or a .toml file, with settings over it.
    pub fn load(name: &str, settings: &[Setting]) -> Result<Self> {
        let config: Result<Self, _> = Value::Table(table(name, settings)?).try_into();
        config.map_err(|error| {
            anyhow!("{name}: the config cannot be used: {}", error.to_string().trim())
        })
    }

    /// The kind of the images that a config asks for, whether or not the rest of it is there.
    pub fn data_kind(name: &str, settings: &[Setting]) -> Result<String> {
        let table = table(name, settings)?;
        let kind = table.get("data").and_then(|data| data.get("kind")?.as_str());
        Ok(kind.unwrap_or_default().to_string())
    }

    /// The config as TOML.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }
}

/// A config with settings over it.
fn table(name: &str, settings: &[Setting]) -> Result<Table> {
    let text = text(name)?;
    let mut table: Table = text.parse().with_context(|| format!("{name} is no valid TOML"))?;
    for setting in settings {
        setting.apply(&mut table)?;
    }
    Ok(table)
}

fn text(name: &str) -> Result<String> {
    let path = Path::new(name);
    match BUILT_IN.iter().find(|built_in| built_in.name == name) {
        Some(built_in) => Ok(built_in.text.to_string()),
        None if path.extension().is_some_and(|ending| ending == "toml") => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))
        }
        None => {
            let names: Vec<&str> = BUILT_IN.iter().map(|built_in| built_in.name).collect();
            bail!(
                "there is no built-in config `{name}` (built in: {}); a file's name ends in .toml",
                names.join(", ")
            )
        }
    }
}
