//! What the user asks the images to be.

use anyhow::{Result, bail, ensure};

use crate::card::Card;

/// A context row: one weight per named context.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<f32>);

impl Row {
    /// No condition: all zeros.
    pub fn none(card: &Card) -> Self {
        Self(vec![0.0; card.model.contexts() as usize])
    }

    /// The row of one class.
    pub fn class(card: &Card, name: &str) -> Result<Self> {
        let mut row = Self::none(card);
        row.0[index(card, name)?] = 1.0;
        Ok(row)
    }

    /// The row of `hero=1,food=0.6`; contexts that are not named are 0.
    pub fn parse(card: &Card, text: &str) -> Result<Self> {
        let mut row = Self::none(card);
        let mut given = vec![false; row.0.len()];
        for part in text.split(',').map(str::trim) {
            let Some((name, weight)) = part.split_once('=') else {
                bail!("context `{part}`: expected name=weight, such as {}=1", card.example());
            };
            let value: f32 = match weight.trim().parse() {
                Ok(value) => value,
                Err(_) => bail!("context `{part}`: `{weight}` is no number"),
            };
            ensure!(value.is_finite(), "context `{part}`: expected a finite weight");
            let at = index(card, name.trim())?;
            ensure!(!given[at], "context `{text}`: {} is given twice", name.trim());
            given[at] = true;
            row.0[at] = value;
        }
        Ok(row)
    }

    /// The class, where the row is one-hot.
    pub fn one_hot(&self) -> Option<i64> {
        let ones = self.0.iter().filter(|&&weight| weight == 1.0).count();
        let zeros = self.0.iter().filter(|&&weight| weight == 0.0).count();
        let at = self.0.iter().position(|&weight| weight == 1.0)?;
        (ones == 1 && ones + zeros == self.0.len()).then_some(at as i64)
    }

    /// Whether nothing is asked.
    pub fn is_none(&self) -> bool {
        self.0.iter().all(|&weight| weight == 0.0)
    }
}

/// A context's place: by name, or by number where the model has no names.
fn index(card: &Card, name: &str) -> Result<usize> {
    let count = card.model.contexts() as usize;
    ensure!(count > 0, "context `{name}`: this model takes no contexts");
    if let Some(at) = card.contexts.iter().position(|known| known == name) {
        return Ok(at);
    }
    match name.parse::<usize>() {
        Ok(at) if at < count => Ok(at),
        _ if card.contexts.is_empty() => {
            bail!(
                "unknown context `{name}`: this model's {count} contexts have no names, expected a number from 0 to {}",
                count - 1
            )
        }
        _ => bail!("unknown context `{name}`: expected one of {}", card.contexts.join(", ")),
    }
}
