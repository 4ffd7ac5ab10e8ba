//! The condition of the images: `--class` or `--context`.

use anyhow::{Result, ensure};

use crate::model::condition::Condition;
use crate::model::metadata::ModelMetadata;

#[derive(Debug, clap::Args)]
pub struct ConditionArgs {
    /// Context weights, such as hero=1,food=0.6
    #[arg(long, conflicts_with = "class", value_name = "NAME=W,…")]
    context: Option<String>,
    /// Class: a number or a name; for models with contexts, short for --context NAME=1
    #[arg(long, value_name = "N|NAME")]
    class: Option<String>,
}

impl ConditionArgs {
    /// The condition that the arguments give.
    pub fn condition(&self, metadata: &ModelMetadata) -> Result<Condition> {
        match (&self.context, &self.class) {
            (Some(text), _) => Condition::parse(metadata, text),
            (None, Some(name)) => Condition::class(metadata, name),
            (None, None) if metadata.classes.null.is_some() => Ok(Condition::none(metadata)),
            (None, None) => {
                let count = metadata.model.classes().unwrap_or(0);
                ensure!(
                    count == 0,
                    "this model needs one of its {count} classes: give --class N, from 0 to {}",
                    count - 1
                );
                Ok(Condition::none(metadata))
            }
        }
    }
}
