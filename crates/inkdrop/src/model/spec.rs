//! Network configs of the command line: presets, files, flags, single fields.

use std::fs;
use std::path::Path;

use inkdrop_process::ImageCondition;
use inkdrop_unet::{ImageSize, ImprovedFlags, ModelConfig};
use serde_json::{Map, Value};

use crate::Result;
use crate::config::{parse_value, split_assignment};
use crate::error::{Context, bail, invalid};

/// True if a text is the name of a preset or of a .toml or .json file.
pub fn names(text: &str) -> bool {
    ModelConfig::preset(text).is_some() || is_table(text)
}

/// A network config of the command line.
pub struct ModelSpec {
    /// The network.
    pub config: ModelConfig,
    /// The image that it is conditioned on, in the config of a run.
    pub condition: Option<ImageCondition>,
    /// True if it is a preset.
    pub preset: bool,
    /// True if it sets the image size, which configs of PyTorch programs may omit.
    pub sized: bool,
}

/// Parses the name of a preset, or of a .toml or .json file.
pub fn parse(text: &str) -> Result<ModelSpec> {
    if let Some(config) = ModelConfig::preset(text) {
        return Ok(ModelSpec { config, condition: None, preset: true, sized: true });
    }
    let table = read_table(text)?.with_context(|| {
        format!("no preset `{text}` (`inkdrop plan --list` shows them); a config file ends in .toml or .json")
    })?;
    let condition = condition(&table).with_context(|| text.to_string())?;
    let (config, sized) = table_config(table).with_context(|| text.to_string())?;
    Ok(ModelSpec { config, condition, preset: false, sized })
}

/// The image condition of the config of a run.
fn condition(table: &Map<String, Value>) -> Result<Option<ImageCondition>> {
    let Some(condition) = table.get("condition").filter(|_| table.contains_key("model")) else {
        return Ok(None);
    };
    let read = serde_json::from_value(condition.clone());
    read.map(Some).map_err(|error| invalid!("condition: {error}"))
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
        _ => bail!(
            "expected a `family`: context, ddpm, dit, edm, edm2, improved, improved-super-res, unet2d or lucid"
        ),
    };
    // All families of inkdrop have `features`; no PyTorch program has such an argument.
    if table.contains_key("features") {
        let config: ModelConfig = serde_json::from_value(Value::Object(table))
            .map_err(|error| invalid!("family {family}: {error}"))?;
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
    let (key, text) = split_assignment(setting, "heads=4")?;
    let mut json = serde_json::to_value(config)?;
    json[key] = field_value(key, text.trim())?;
    let family = config.family();
    let changed = serde_json::from_value(json)
        .map_err(|error| invalid!("--set {setting}: family {family}: {error}"))?;
    Ok((changed, key.to_string()))
}

/// Parses the value of a field: as in training configs, with `none` and `32x48` for the key `size`.
fn field_value(key: &str, text: &str) -> Result<Value> {
    let size: Option<ImageSize> = if key == "size" { text.parse().ok() } else { None };
    Ok(match (text, size) {
        ("none" | "null", _) => Value::Null,
        (_, Some(size)) => serde_json::to_value(size)?,
        _ => serde_json::to_value(parse_value(text))?,
    })
}

/// True if a text is the name of a .toml or .json file.
fn is_table(text: &str) -> bool {
    has_ending(text, "toml") || has_ending(text, "json")
}

fn has_ending(text: &str, ending: &str) -> bool {
    Path::new(text).extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// Reads a .toml or .json file; `None` if the text does not name one.
pub fn read_table(text: &str) -> Result<Option<Map<String, Value>>> {
    if !is_table(text) {
        return Ok(None);
    }
    let contents = fs::read_to_string(text).with_context(|| format!("cannot read {text}"))?;
    let table = if has_ending(text, "toml") {
        toml::from_str(&contents).with_context(|| format!("{text}: invalid TOML"))?
    } else {
        serde_json::from_str(&contents).with_context(|| format!("{text}: invalid JSON"))?
    };
    Ok(Some(table))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_take_the_values_of_training_configs_and_none_and_sizes() {
        for (key, text, expected) in [
            ("heads", "4", json!(4)),
            ("dropout", "1e-1", json!(0.1)),
            ("attention", "[16, 8]", json!([16, 8])),
            ("classes", "none", Value::Null),
            ("classes", "null", Value::Null),
            ("size", "32x48", json!(ImageSize { height: 32, width: 48 })),
            ("size", "32", json!(ImageSize::square(32))),
            ("norm", "scale-shift", json!("scale-shift")),
            ("norm", r#"{"groups": 8}"#, json!({"groups": 8})),
        ] {
            assert_eq!(field_value(key, text).ok(), Some(expected), "{key}={text}");
        }
    }
}
