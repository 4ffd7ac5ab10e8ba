//! Network configs of the command line: presets, files, flags, single fields.

use anyhow::{Context, Result, anyhow, bail};
use inkdrop_unet::{ImageSize, ImprovedFlags, ModelConfig};
use serde_json::{Map, Value};

use crate::model::tables;

/// True if a text is the name of a preset or of a .toml or .json file.
pub fn names(text: &str) -> bool {
    ModelConfig::preset(text).is_some() || tables::names(text)
}

/// A network config of the command line.
pub struct ModelSpec {
    /// The network.
    pub config: ModelConfig,
    /// True if it is a preset.
    pub preset: bool,
    /// True if it sets the image size, which configs of PyTorch programs may omit.
    pub sized: bool,
}

/// Parses the name of a preset, or of a .toml or .json file.
pub fn parse(text: &str) -> Result<ModelSpec> {
    if let Some(config) = ModelConfig::preset(text) {
        return Ok(ModelSpec { config, preset: true, sized: true });
    }
    let table = tables::open(text)?.with_context(|| {
        format!("no preset `{text}` (`inkdrop plan --list` shows them); a config file ends in .toml or .json")
    })?;
    let (config, sized) = table_config(table).with_context(|| text.to_string())?;
    Ok(ModelSpec { config, preset: false, sized })
}

/// Parses a table with the keys of inkdrop or of the PyTorch program, or a run config with `model`; the
/// flag is true if it sets the image size.
fn table_config(mut table: Map<String, Value>) -> Result<(ModelConfig, bool)> {
    if let Some(Value::Object(model)) = table.remove("model") {
        table = model;
    }
    let diffusers = table.get("_class_name").is_some();
    let family = match table.get("family") {
        Some(Value::String(family)) => family.clone(),
        None if diffusers => "unet2d".to_string(),
        _ => bail!("expected a `family`: context, ddpm, improved, improved-super-res or unet2d"),
    };
    // All families of inkdrop have `features`; no PyTorch program has such an argument.
    if table.contains_key("features") {
        let config: ModelConfig = serde_json::from_value(Value::Object(table))
            .map_err(|error| anyhow!("family {family}: {error}"))?;
        config.check()?;
        return Ok((config, true));
    }
    table.remove("family");
    let set = |key: &str| table.get(key).is_some_and(|value| !value.is_null());
    let sized = family == "context" || set("image_size") || set("sample_size");
    let size = match table.get("image_size") {
        None => ImageSize::square(32),
        Some(_) if family.starts_with("improved") => ImageSize::square(64), // its own argument
        Some(_) => serde_json::from_value(table.remove("image_size").unwrap_or_default())?,
    };
    Ok((from_arguments(&family, Value::Object(table), size)?, sized))
}

/// Converts the arguments of a PyTorch program.
pub fn from_arguments(family: &str, arguments: Value, size: ImageSize) -> Result<ModelConfig> {
    let class = arguments.get("_class_name").and_then(Value::as_str);
    if let Some(class) = class.filter(|class| *class != "UNet2DModel") {
        bail!("class {class}: expected UNet2DModel");
    }
    Ok(ModelConfig::from_arguments(family, arguments, size)?)
}

/// MODEL_FLAGS of the improved-diffusion and guided-diffusion scripts.
pub fn flags(text: &str) -> Result<ModelConfig> {
    let model = ImprovedFlags::parse(text.split_whitespace()).and_then(|flags| flags.model());
    let model = model.context("--flags")?;
    model.check().context("--flags")?;
    Ok(model)
}

/// Sets one field of a config; returns it with the name of the field.
pub fn set(config: &ModelConfig, setting: &str) -> Result<(ModelConfig, String)> {
    let (key, text) = setting
        .split_once('=')
        .with_context(|| format!("--set {setting}: expected key=value, such as heads=4"))?;
    let (key, text) = (key.trim(), text.trim());
    let mut json = serde_json::to_value(config)?;
    json[key] = match text {
        "none" => Value::Null,
        _ => size(key, text).unwrap_or_else(|| {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()))
        }),
    };
    let family = config.family();
    let changed = serde_json::from_value(json)
        .map_err(|error| anyhow!("--set {setting}: family {family}: {error}"))?;
    Ok((changed, key.to_string()))
}

/// Parses `32x48` for the key `size`.
fn size(key: &str, text: &str) -> Option<Value> {
    let size: ImageSize = (key == "size").then(|| text.parse().ok())??;
    serde_json::to_value(size).ok()
}
