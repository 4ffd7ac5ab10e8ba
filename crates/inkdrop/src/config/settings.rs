//! Single values over a config.

use anyhow::{Context, Result};
use toml::{Table, Value};

/// A change of one key, such as `train.lr`.
pub enum Setting {
    /// It gets this value.
    Set(String, Value),
    /// It is left out.
    Unset(String),
}

impl Setting {
    /// A key and its value.
    pub fn set(key: &str, value: impl Into<Value>) -> Self {
        Self::Set(key.to_string(), value.into())
    }

    /// Reads `a.b.c=value`; what is no TOML value is taken as text.
    pub fn parse(text: &str) -> Result<Self> {
        let (key, value) = text
            .split_once('=')
            .with_context(|| format!("--set {text}: expected key=value, such as train.lr=5e-4"))?;
        let parsed = match format!("value = {value}").parse::<Table>() {
            Ok(mut parsed) => parsed.remove("value"),
            Err(_) => None,
        };
        Ok(Self::set(key.trim(), parsed.unwrap_or_else(|| Value::String(value.to_string()))))
    }

    /// Makes the change.
    pub fn apply(&self, table: &mut Table) -> Result<()> {
        let (Self::Set(key, _) | Self::Unset(key)) = self;
        let mut parts: Vec<&str> = key.trim().split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let mut at = table;
        for part in parts {
            let entry = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
            at = entry.as_table_mut().with_context(|| format!("{key}: {part} is no section"))?;
        }
        match self {
            Self::Set(_, value) => drop(at.insert(last.to_string(), value.clone())),
            Self::Unset(_) => drop(at.remove(last)),
        }
        Ok(())
    }
}
