//! What the images are asked to be.

use anyhow::{Result, ensure};

use crate::model::card::Card;
use crate::model::context::Row;

#[derive(Debug, clap::Args)]
pub struct Asked {
    /// Weights of the contexts, such as hero=1,food=0.6
    #[arg(long, conflicts_with = "class", value_name = "NAME=W,…")]
    context: Option<String>,
    /// One class: a number where the model knows classes, else short for --context NAME=1
    #[arg(long, value_name = "N|NAME")]
    class: Option<String>,
}

impl Asked {
    /// The row of the contexts or of the class.
    pub fn row(&self, card: &Card) -> Result<Row> {
        match (&self.context, &self.class) {
            (Some(text), _) => Row::parse(card, text),
            (None, Some(name)) => Row::class(card, name),
            (None, None) if card.classes.null.is_some() => Ok(Row::none(card)),
            (None, None) => {
                let count = card.model.classes().unwrap_or(0);
                ensure!(
                    count == 0,
                    "this model draws images of {count} classes: say which with --class N, from 0 to {}",
                    count - 1
                );
                Ok(Row::none(card))
            }
        }
    }
}
