//! Config tables in .toml or .json files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// True if a text is the name of a .toml or .json file.
pub fn names(text: &str) -> bool {
    is(text, "toml") || is(text, "json")
}

fn is(text: &str, ending: &str) -> bool {
    Path::new(text).extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// Reads the table of a file, if the text names one.
pub fn open(text: &str) -> Result<Option<Map<String, Value>>> {
    if !names(text) {
        return Ok(None);
    }
    let contents = fs::read_to_string(text).with_context(|| format!("cannot read {text}"))?;
    let table = if is(text, "toml") {
        toml::from_str(&contents).with_context(|| format!("{text}: invalid TOML"))?
    } else {
        serde_json::from_str(&contents).with_context(|| format!("{text}: invalid JSON"))?
    };
    Ok(Some(table))
}
