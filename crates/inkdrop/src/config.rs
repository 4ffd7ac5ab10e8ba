//! The config of a training run: a built-in one or a file, with overrides of the command line.

mod data;
mod overrides;
mod pickles;
mod validate;
mod values;

use std::path::Path;

pub use data::{DataConfig, Loaded, LoadedInMemory, SPRITES};
use inkdrop_process::{DiffusionConfig, ImageCondition, LossType};
use inkdrop_train::TrainConfig;
use inkdrop_unet::ModelConfig;
pub use overrides::ConfigOverride;
pub use pickles::load as load_layout;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
pub(crate) use validate::{ValidatedData, validate};
pub use values::{Difference, diff, parse_value, split_assignment};

use crate::Result;
use crate::error::{Context, invalid};
use crate::model::conditioned;

/// The config of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The network.
    pub model: ModelConfig,
    /// The diffusion process.
    pub process: DiffusionConfig,
    /// The image that the network is conditioned on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ImageCondition>,
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
    /// Config of the network with the channels of its condition.
    ///
    /// # Errors
    /// The condition is invalid, or the family takes none.
    pub fn network(&self) -> Result<ModelConfig> {
        conditioned(&self.model, self.condition)
    }

    /// Reads a config from a .toml file.
    ///
    /// # Errors
    /// The file cannot be read, or is no config.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        Self::read(&name, Self::table(&name, &text)?)
    }

    /// Reads a config from a table.
    ///
    /// - name: for errors
    ///
    /// # Errors
    /// The table is no config.
    pub fn read(name: &str, table: Table) -> Result<Self> {
        let config: Result<Self, _> = Value::Table(table).try_into();
        config.map_err(|error| {
            invalid!("{name}: the config is invalid: {}", error.to_string().trim())
        })
    }

    /// Parses a config that may be incomplete; keys of earlier versions get their names of today.
    ///
    /// - name: for errors
    ///
    /// # Errors
    /// The text is no TOML.
    pub fn table(name: &str, text: &str) -> Result<Table> {
        let mut table: Table = text.parse().with_context(|| format!("{name}: invalid TOML"))?;
        overrides::rename_old_keys(&mut table);
        Ok(table)
    }

    /// The config as TOML.
    ///
    /// # Errors
    /// A value has no form in TOML.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// The differences to a saved config that make this one another run, as `key: there → here`.
    ///
    /// # Errors
    /// A value has no form in JSON.
    pub fn diff(&self, saved: &Self) -> Result<Vec<String>> {
        let (there, here) = (serde_json::to_value(saved)?, serde_json::to_value(self)?);
        // The phases of these losses are fractions of the whole run.
        let phased = matches!(
            saved.train.loss,
            LossType::ConsistencyPhases(_) | LossType::ConsistencyTraining(_)
        );
        let free = |key: &str| {
            (FREE.contains(&key) && !(phased && key == "train.steps"))
                || key.split('.').next() == Some("validation")
        };
        let shown = |value: serde_json::Value| match value {
            serde_json::Value::Null => "nothing".to_string(),
            value => value.to_string(),
        };
        // Runs before `fail-damaged` was the default have `fail` in its place. If the images differ
        // for that, restoring a checkpoint finds it.
        let renamed = |found: &Difference| {
            let values = [&found.there, &found.here].map(|value| value.as_str());
            found.key == "data.broken" && !values.contains(&Some("skip"))
        };
        let found = diff(&there, &here).into_iter();
        let differences = found.filter(|found| !free(&found.key) && !renamed(found));
        Ok(differences
            .map(|Difference { key, there, here }| {
                format!("{key}: {} → {}", shown(there), shown(here))
            })
            .collect())
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
pub static BUILT_IN: [BuiltIn; 13] = [
    built_in!("sprites"),
    built_in!("sprites-notebook"),
    built_in!("sprites-classes"),
    built_in!("sprites-edm"),
    built_in!("sprites-flow"),
    built_in!("sprites-dit"),
    built_in!("sprites-inpaint"),
    built_in!("sprites-upscale"),
    built_in!("digits"),
    built_in!("fashion"),
    built_in!("folder"),
    built_in!("cifar10-ddpm"),
    built_in!("cifar10-improved"),
];

impl BuiltIn {
    /// The config of a name.
    ///
    /// # Errors
    /// Another name.
    pub fn find(name: &str) -> Result<&'static Self> {
        BUILT_IN.iter().find(|built_in| built_in.name == name).with_context(|| {
            let names: Vec<&str> = BUILT_IN.iter().map(|built_in| built_in.name).collect();
            format!(
                "there is no built-in config `{name}` (built in: {}); the name of a config file ends in .toml",
                names.join(", ")
            )
        })
    }

    /// Its description: the comment in its first line.
    pub fn about(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }
}
