//! A network as a user names it: a preset, a file, flags, or single fields.

use anyhow::{Context, Result, anyhow, bail};
use inkdrop_unet::{ImageSize, ImprovedFlags, ModelConfig};
use serde_json::{Map, Value};

use crate::model::tables;

/// Whether a text is a preset's name, or that of a .toml or .json file.
pub fn names(text: &str) -> bool {
    ModelConfig::preset(text).is_some() || tables::names(text)
}

/// A network that was named.
pub struct Spec {
    /// The network.
    pub config: ModelConfig,
    /// Whether a preset was named.
    pub preset: bool,
    /// Whether the size of the images was said; the originals' constructors need not know it.
    pub sized: bool,
}

/// A preset's name, or a .toml or .json file.
pub fn parse(text: &str) -> Result<Spec> {
    if let Some(config) = ModelConfig::preset(text) {
        return Ok(Spec { config, preset: true, sized: true });
    }
    let table = tables::open(text)?.with_context(|| {
        format!("there is no preset `{text}` (`inkdrop plan --list` shows them), and a config's name ends in .toml or .json")
    })?;
    let (config, sized) = table_config(table).with_context(|| text.to_string())?;
    Ok(Spec { config, preset: false, sized })
}

/// A table in our names or in the original's, perhaps the `model` of a whole run; and whether
/// it says the size of the images.
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
    // Each of our families counts `features`; none of the originals has such an argument.
    if table.contains_key("features") {
        let config: ModelConfig = serde_json::from_value(Value::Object(table))
            .map_err(|error| anyhow!("family {family}: {error}"))?;
        config.check()?;
        return Ok((config, true));
    }
    table.remove("family");
    let said = |key: &str| table.get(key).is_some_and(|value| !value.is_null());
    let sized = family == "context" || said("image_size") || said("sample_size");
    let size = match table.get("image_size") {
        None => ImageSize::square(32),
        Some(_) if family.starts_with("improved") => ImageSize::square(64), // its own argument
        Some(_) => serde_json::from_value(table.remove("image_size").unwrap_or_default())?,
    };
    Ok((original(&family, Value::Object(table), size)?, sized))
}

/// A network in its original's own arguments.
pub fn original(family: &str, arguments: Value, size: ImageSize) -> Result<ModelConfig> {
    let class = arguments.get("_class_name").and_then(Value::as_str);
    if let Some(class) = class.filter(|class| *class != "UNet2DModel") {
        bail!("it is a {class}, expected a UNet2DModel");
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

/// The config with one field set, and the field's name.
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

/// `32x48` where a size is meant.
fn size(key: &str, text: &str) -> Option<Value> {
    let size: ImageSize = (key == "size").then(|| text.parse().ok())??;
    serde_json::to_value(size).ok()
}
