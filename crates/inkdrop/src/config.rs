//! The config of a training run: a built-in one or a file, with overrides of the command line.

mod data;
mod overrides;
mod validate;

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
pub use data::{DataConfig, Loaded, LoadedInMemory, SPRITES};
use inkdrop_process::ProcessConfig;
use inkdrop_train::TrainConfig;
use inkdrop_unet::ModelConfig;
pub use overrides::ConfigOverride;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
pub use validate::{ValidatedData, validate};

use crate::values::{Difference, diff};

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

/// Keys that change neither the weights nor the data of a run.
const FREE: [&str; 9] = [
    "train.steps",
    "train.checkpoint_every",
    "train.checkpoints_kept",
    "train.keep_every",
    "train.sample_every",
    "train.validate_every",
    "train.validation_images",
    "train.log_every",
    "train.workers",
];

impl RunConfig {
    /// Loads the config of a built-in name or a .toml file, and applies overrides to it.
    pub fn load(name: &str, overrides: &[ConfigOverride]) -> Result<Self> {
        let config: Result<Self, _> = Value::Table(table(name, overrides)?).try_into();
        config
            .map_err(|error| anyhow!("{name}: the config is invalid: {}", error.to_string().trim()))
    }

    /// The kind of the training data; empty if the config has none. The rest of the config may be
    /// invalid.
    pub fn data_kind(name: &str, overrides: &[ConfigOverride]) -> Result<String> {
        let table = table(name, overrides)?;
        let kind = table.get("data").and_then(|data| data.get("kind")?.as_str());
        Ok(kind.unwrap_or_default().to_string())
    }

    /// The config as TOML.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// The differences to a saved config that make this one another run, as `key: there → here`.
    pub fn diff(&self, saved: &Self) -> Result<Vec<String>> {
        let (there, here) = (serde_json::to_value(saved)?, serde_json::to_value(self)?);
        let free = |key: &str| FREE.contains(&key) || key.split('.').next() == Some("validation");
        let shown = |value: serde_json::Value| match value {
            serde_json::Value::Null => "nothing".to_string(),
            value => value.to_string(),
        };
        let differences = diff(&there, &here).into_iter().filter(|found| !free(&found.key));
        Ok(differences
            .map(|Difference { key, there, here }| {
                format!("{key}: {} → {}", shown(there), shown(here))
            })
            .collect())
    }
}

/// A config with overrides applied.
fn table(name: &str, overrides: &[ConfigOverride]) -> Result<Table> {
    let text = text(name)?;
    let mut table: Table = text.parse().with_context(|| format!("{name}: invalid TOML"))?;
    overrides::rename_old_keys(&mut table);
    for change in overrides {
        change.apply(&mut table)?;
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
                "there is no built-in config `{name}` (built in: {}); the name of a config file ends in .toml",
                names.join(", ")
            )
        }
    }
}

/// A config that is compiled into the binary.
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// The whole file, as TOML.
    pub text: &'static str,
}

macro_rules! built_in {
    ($name:literal) => {
        BuiltIn { name: $name, text: include_str!(concat!("../assets/", $name, ".toml")) }
    };
}

/// All built-in configs.
pub const BUILT_IN: [BuiltIn; 6] = [
    built_in!("sprites"),
    built_in!("sprites-classes"),
    built_in!("digits"),
    built_in!("folder"),
    built_in!("cifar10-ddpm"),
    built_in!("cifar10-improved"),
];

impl BuiltIn {
    /// Its description: the comment in its first line.
    pub fn about(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }
}
