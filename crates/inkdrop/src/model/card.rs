//! Model cards, and the default sampler of a model file.

use std::collections::BTreeMap;

use inkdrop_sampler::Sampler;
use inkdrop_schedule::LevelSpacing;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::Context;

/// A model card (Mitchell et al. 2019): what a model is, and how it was made. `inkdrop convert --card FILE`
/// stores it in a model file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// What it generates, in a line.
    pub about: String,
    /// Training data.
    pub data: String,
    /// Training recipe.
    pub recipe: String,
    /// Licence of the weights.
    pub licence: String,
    /// Measured figures by name.
    #[serde(default)]
    pub figures: BTreeMap<String, String>,
    /// Names of the classes, from class 0; stored as an entry of their own.
    #[serde(default, skip_serializing)]
    pub classes: Vec<String>,
    /// How it is sampled unless told otherwise; stored as an entry of its own.
    #[serde(default, skip_serializing)]
    pub sampling: SamplingDefaults,
}

impl ModelCard {
    /// Reads a card in TOML.
    ///
    /// # Errors
    /// A field is missing or unknown, or there is no such sampler or spacing.
    pub fn read(text: &str) -> Result<Self> {
        let card: Self = toml::from_str(text)?;
        card.sampling.check()?;
        Ok(card)
    }
}

/// How a model is sampled unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingDefaults {
    /// The sampler by name, such as `consistency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// The spacing of that sampler with its number of steps, such as `sigmas:80,0.8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<String>,
}

impl SamplingDefaults {
    /// # Errors
    /// There is no such sampler or spacing.
    pub(crate) fn check(&self) -> Result<()> {
        self.sampler()?;
        let spacing = self.spacing.as_deref().map(str::parse::<LevelSpacing>);
        spacing.transpose().context("sampling.spacing")?;
        Ok(())
    }

    /// The sampler, if there is a name.
    ///
    /// # Errors
    /// There is no such sampler.
    pub fn sampler(&self) -> Result<Option<Sampler>> {
        self.sampler.as_deref().map(str::parse).transpose().context("sampling.sampler")
    }
}
