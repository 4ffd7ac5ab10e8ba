//! Conditions of images: context weights or a class.

use anyhow::{Context, Result, bail, ensure};

use crate::model::metadata::ModelMetadata;

/// The condition of one image: one weight per context, or a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Context weights; empty if the model has none.
    pub contexts: Vec<f32>,
    /// The class, if the model has classes.
    pub class: Option<i64>,
}

impl Condition {
    /// No condition: zero weights, and the null class if there is one.
    pub fn none(metadata: &ModelMetadata) -> Self {
        Self {
            contexts: vec![0.0; metadata.model.contexts() as usize],
            class: metadata.classes.null,
        }
    }

    /// The condition of a class: a context by name, or a class by name or number.
    pub fn class(metadata: &ModelMetadata, name: &str) -> Result<Self> {
        let mut row = Self::none(metadata);
        let Some(count) = metadata.model.classes() else {
            row.contexts[index(metadata, name)?] = 1.0;
            return Ok(row);
        };
        let names = &metadata.classes.names;
        let named = names.iter().position(|known| known == name).map(|at| at as i64);
        let numbered = || name.parse().ok().filter(|class| (0..count).contains(class));
        row.class = Some(named.or_else(numbered).with_context(|| {
            let numbers = format!("a number from 0 to {}", count - 1);
            match names.is_empty() {
                true => format!("unknown class `{name}`: expected {numbers}"),
                false => {
                    format!("unknown class `{name}`: expected {numbers}, or {}", names.join(", "))
                }
            }
        })?);
        Ok(row)
    }

    /// Parses `hero=1,food=0.6`; other contexts are 0.
    pub fn parse(metadata: &ModelMetadata, text: &str) -> Result<Self> {
        let mut row = Self::none(metadata);
        let mut given = vec![false; row.contexts.len()];
        for part in text.split(',').map(str::trim) {
            let Some((name, weight)) = part.split_once('=') else {
                bail!("context `{part}`: expected name=weight, such as {}=1", metadata.example());
            };
            let value: f32 = match weight.trim().parse() {
                Ok(value) => value,
                Err(_) => bail!("context `{part}`: expected a number instead of `{weight}`"),
            };
            ensure!(value.is_finite(), "context `{part}`: expected a finite weight");
            let at = index(metadata, name.trim())?;
            ensure!(!given[at], "context `{text}`: {} is given twice", name.trim());
            given[at] = true;
            row.contexts[at] = value;
        }
        Ok(row)
    }

    /// The class, if there is one or the weights are one-hot.
    pub fn one_hot(&self) -> Option<i64> {
        if self.class.is_some() {
            return self.class;
        }
        let ones = self.contexts.iter().filter(|&&weight| weight == 1.0).count();
        let zeros = self.contexts.iter().filter(|&&weight| weight == 0.0).count();
        let at = self.contexts.iter().position(|&weight| weight == 1.0)?;
        (ones == 1 && ones + zeros == self.contexts.len()).then_some(at as i64)
    }

    /// True for no condition.
    pub fn is_none(&self, metadata: &ModelMetadata) -> bool {
        *self == Self::none(metadata)
    }
}

/// Index of a context: by name, or by number if the model has no names.
fn index(metadata: &ModelMetadata, name: &str) -> Result<usize> {
    let count = metadata.model.contexts() as usize;
    match metadata.model.classes() {
        _ if count > 0 => {}
        Some(_) => {
            bail!("context `{name}`: this model has classes, not contexts: expected --class N")
        }
        None => bail!("`{name}`: this model has no classes and no contexts: leave it out"),
    }
    if let Some(at) = metadata.contexts.iter().position(|known| known == name) {
        return Ok(at);
    }
    match name.parse::<usize>() {
        Ok(at) if at < count => Ok(at),
        _ if metadata.contexts.is_empty() => {
            bail!(
                "unknown context `{name}`: this model's {count} contexts have no names, expected a number from 0 to {}",
                count - 1
            )
        }
        _ => bail!("unknown context `{name}`: expected one of {}", metadata.contexts.join(", ")),
    }
}
