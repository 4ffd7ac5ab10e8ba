//! `inkdrop models`: the built-in models.

use anyhow::Result;
use inkdrop::model::{BUILT_IN_MODELS, BuiltInModel, Model, ModelOverrides};
use serde_json::{Value, json};

use crate::stdout::{entry, print_line};

/// List the built-in models, with data, recipe, figures and licence
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let described = |model: &BuiltInModel| match arguments.json {
        true => Ok(serde_json::to_string_pretty(&json(model)?)?),
        false => text(model),
    };
    let models = BUILT_IN_MODELS.iter().map(described).collect::<Result<Vec<String>>>()?;
    print_line(&match (arguments.json, models.is_empty()) {
        (true, _) => format!("[{}]", models.join(",")),
        (false, true) => "this program was built without models (feature `models`)".to_string(),
        (false, false) => models.join("\n\n"),
    })?;
    Ok(0)
}

fn text(model: &BuiltInModel) -> Result<String> {
    let card = model.card()?;
    let opened = Model::open(model.name, &ModelOverrides::default())?;
    let [channels, height, width] = opened.metadata.model.image_shape();
    let mut lines = vec![format!("{}: {}", model.name, card.about)];
    lines.push(entry("images", &format!("{height} x {width} x {channels}")));
    let conditions = opened.metadata.conditions();
    if !conditions.is_empty() {
        lines.push(entry("classes", &conditions.join(", ")));
    }
    lines.push(entry("data", &card.data));
    lines.push(entry("recipe", &card.recipe));
    for (name, value) in &card.figures {
        lines.push(entry("figures", &format!("{name}: {value}")));
    }
    lines.push(entry("licence", &card.licence));
    lines.push(entry("size", &format!("{:.1} MB", model.bytes.len() as f64 / 1e6)));
    Ok(lines.join("\n"))
}

fn json(model: &BuiltInModel) -> Result<Value> {
    let opened = Model::open(model.name, &ModelOverrides::default())?;
    Ok(json!({
        "name": model.name,
        "card": model.card()?,
        "sampling": opened.metadata.sampling,
        "image_shape": opened.metadata.model.image_shape(),
        "conditions": opened.metadata.conditions(),
        "bytes": model.bytes.len(),
    }))
}
