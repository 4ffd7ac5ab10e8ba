//! `inkdrop models`: the built-in models.

use anyhow::Result;
use inkdrop::model::{
    BUILT_IN_MODELS, BuiltInModel, Model, ModelCard, ModelOverrides, stored_metadata,
};
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
    print_line(&match arguments.json {
        true => serde_json::to_string_pretty(&of_all(json)?)?,
        false if BUILT_IN_MODELS.is_empty() => {
            "this program was built without models (feature `models`)".to_string()
        }
        false => of_all(text)?.join("\n\n"),
    })?;
    Ok(0)
}

/// A description of each built-in model.
fn of_all<T>(describe: impl Fn(&BuiltInModel, &Model, &ModelCard) -> T) -> Result<Vec<T>> {
    let described = |built_in: &BuiltInModel| {
        let model = Model::open(built_in.name, &ModelOverrides::default())?;
        let card: Option<ModelCard> = stored_metadata(&model.weights, "card")?;
        Ok(describe(built_in, &model, &card.unwrap_or_default()))
    };
    BUILT_IN_MODELS.iter().map(described).collect()
}

fn text(built_in: &BuiltInModel, model: &Model, card: &ModelCard) -> String {
    let [channels, height, width] = model.metadata.model.image_shape();
    let mut lines = vec![format!("{}: {}", built_in.name, card.about)];
    let mut add = |key: &str, text: &str| lines.push(entry(key, text));
    add("images", &format!("{height} x {width} x {channels}"));
    let conditions = model.metadata.conditions();
    if !conditions.is_empty() {
        add("classes", &conditions.join(", "));
    }
    add("data", &card.data);
    add("recipe", &card.recipe);
    for (name, value) in &card.figures {
        add("figures", &format!("{name}: {value}"));
    }
    add("licence", &card.licence);
    add("size", &format!("{:.1} MB", built_in.bytes.len() as f64 / 1e6));
    lines.join("\n")
}

fn json(built_in: &BuiltInModel, model: &Model, card: &ModelCard) -> Value {
    json!({
        "name": built_in.name,
        "card": card,
        "sampling": model.metadata.sampling,
        "image_shape": model.metadata.model.image_shape(),
        "conditions": model.metadata.conditions(),
        "bytes": built_in.bytes.len(),
    })
}
