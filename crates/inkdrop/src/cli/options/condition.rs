//! The condition of the images: `--class` or `--context`.

use anyhow::Result;
use inkdrop::Pipeline;
use inkdrop::model::Condition;

#[derive(Debug, clap::Args)]
pub struct ConditionArgs {
    /// Context weights, such as hero=1,food=0.6
    #[arg(long, conflicts_with = "class", value_name = "NAME=W,…")]
    context: Option<String>,
    /// Class: a number or a name; for models with contexts, short for --context NAME=1. a,b,c and
    /// each (all classes) go round the classes image by image
    #[arg(long, value_name = "N|NAME|each")]
    class: Option<String>,
}

impl ConditionArgs {
    /// Sets the condition of a pipeline.
    pub fn apply(&self, pipeline: Pipeline) -> Result<Pipeline> {
        Ok(match (&self.context, &self.class) {
            (Some(text), _) => {
                let condition = Condition::parse(pipeline.metadata(), text)?;
                pipeline.conditions([condition])
            }
            (None, Some(name)) => pipeline.class(name),
            (None, None) => pipeline,
        })
    }
}
