//! `key=value` over a config.

use anyhow::{Context, Result};
use toml::{Table, Value};

/// Sets `a.b.c=value`; what is no TOML value is taken as text, and `none` leaves the key out.
pub fn set(table: &mut Table, setting: &str) -> Result<()> {
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
    match text.trim() {
        "none" => drop(at.remove(last)),
        _ => drop(at.insert(last.to_string(), value)),
    }
    Ok(())
}
