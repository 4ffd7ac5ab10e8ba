//! What a training run is: built-in or from a file, with what was set on the command line.

mod data;

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
pub use data::{DataConfig, Loaded, SPRITES};
use inkdrop_data::{Dataset, Labels};
use inkdrop_process::ProcessConfig;
use inkdrop_train::TrainConfig;
use inkdrop_unet::ModelConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The configs that are compiled into the binary.
pub const BUILT_IN: [(&str, &str); 1] = [("sprites", include_str!("../assets/sprites.toml"))];

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Which network.
    pub model: ModelConfig,
    /// Which process.
    pub process: ProcessConfig,
    /// Which images.
    pub data: DataConfig,
    /// How they are learned.
    #[serde(default)]
    pub train: TrainConfig,
}

impl RunConfig {
    /// The config of a built-in name or a .toml file, with `key=value` settings over it.
    pub fn load(name: &str, settings: &[String]) -> Result<Self> {
        let text = text(name)?;
        let mut table: Table = text.parse().with_context(|| format!("{name} is no valid TOML"))?;
        for setting in settings {
            set(&mut table, setting)?;
        }
        let config: Result<Self, _> = Value::Table(table).try_into();
        config.map_err(|error| {
            anyhow!("{name}: the config cannot be used: {}", error.to_string().trim())
        })
    }

    /// The config as TOML.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// What differs from another config in a way that makes it another run, as `key: there → here`.
    pub fn drift(&self, saved: &Self) -> Vec<String> {
        const FREE: [&str; 5] = [
            "train.steps",
            "train.checkpoint_every",
            "train.checkpoints_kept",
            "train.sample_every",
            "train.log_every",
        ];
        let (here, there) = (flat(self), flat(saved));
        let keys: std::collections::BTreeSet<_> = here.keys().chain(there.keys()).collect();
        let shown = |value: Option<&String>| value.map_or("nothing", String::as_str).to_string();
        keys.into_iter()
            .filter(|key| !FREE.contains(&key.as_str()) && here.get(*key) != there.get(*key))
            .map(|key| format!("{key}: {} → {}", shown(there.get(key)), shown(here.get(key))))
            .collect()
    }
}

/// Makes sure that the images are those that the network takes.
pub fn fit(config: &RunConfig, mut data: Dataset, names: &[String]) -> Result<Dataset> {
    let model = &config.model;
    let images = &data.images;
    ensure!(!images.is_empty(), "the data has no images");
    let given = [images.channels(), images.height(), images.width()].map(|axis| axis as i64);
    let expected = model.image_shape();
    ensure!(
        given == expected,
        "the images have shape {given:?} (channels, height, width), the network takes {expected:?}; change [model] or the data"
    );
    trainable(config)?;
    let contexts = model.contexts() as usize;
    if contexts == 0 {
        data.labels = Labels::None; // an unconditional network
        return Ok(data);
    }
    ensure!(
        names.is_empty() || names.len() == contexts,
        "the data names {} classes, the network takes {contexts} contexts; set model.contexts={}",
        names.len(),
        names.len()
    );
    let width = match &mut data.labels {
        Labels::None => contexts,
        // The highest id that is there says only that there are at least so many classes.
        Labels::Classes { count, .. } => {
            *count = (*count).max(contexts);
            *count
        }
        Labels::Context(rows) => rows.ncols(),
    };
    ensure!(
        width == contexts,
        "the labels have {width} classes, the network takes {contexts} contexts; set model.contexts={width}"
    );
    Ok(data)
}

/// Refuses networks that cannot be trained yet, or not for this process.
fn trainable(RunConfig { model, process, .. }: &RunConfig) -> Result<()> {
    let channels = model.image_shape()[0];
    ensure!(
        !matches!(model, ModelConfig::ImprovedSuperRes(_)),
        "a super-resolution network cannot be trained yet"
    );
    ensure!(
        model.classes().is_none(),
        "a network that is told classes cannot be trained yet; leave model.classes out"
    );
    let (variance, outputs) = (process.variance, model.outputs());
    let expected = if variance.is_learned() { 2 * channels } else { channels };
    ensure!(
        outputs == expected,
        "the network gives {outputs} channels, for images of {channels} and a variance of type {variance:?} expected {expected}: set model.outputs={expected}, or process.variance"
    );
    Ok(())
}

fn text(name: &str) -> Result<String> {
    let path = Path::new(name);
    match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        Some((_, text)) => Ok(text.to_string()),
        None if path.extension().is_some_and(|ending| ending == "toml") => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))
        }
        None => {
            let names = BUILT_IN.map(|(name, _)| name).join(", ");
            bail!(
                "there is no built-in config `{name}` (built in: {names}); a file's name ends in .toml"
            )
        }
    }
}

/// Sets `a.b.c=value`; what is no TOML value is taken as text.
fn set(table: &mut Table, setting: &str) -> Result<()> {
    let (key, text) = setting
        .split_once('=')
        .with_context(|| format!("--set {setting}: expected key=value, such as train.lr=5e-4"))?;
    let value = match format!("value = {text}").parse::<Table>() {
        Ok(mut parsed) => parsed.remove("value"),
        Err(_) => None,
    };
    let value = value.unwrap_or_else(|| Value::String(text.to_string()));
    let mut parts: Vec<&str> = key.trim().split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let mut at = table;
    for part in parts {
        let entry = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        at = entry.as_table_mut().with_context(|| format!("--set {key}: {part} is no section"))?;
    }
    at.insert(last.to_string(), value);
    Ok(())
}

/// All values by dotted key, as text.
fn flat(config: &RunConfig) -> std::collections::BTreeMap<String, String> {
    fn walk(prefix: &str, value: &Value, out: &mut std::collections::BTreeMap<String, String>) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    walk(&format!("{prefix}.{key}"), value, out);
                }
            }
            other => {
                out.insert(prefix.trim_start_matches('.').to_string(), other.to_string());
            }
        }
    }
    let mut out = std::collections::BTreeMap::new();
    if let Ok(value) = Value::try_from(config) {
        walk("", &value, &mut out);
    }
    out
}
