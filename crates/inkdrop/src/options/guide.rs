//! How strongly images are pulled towards what is asked.

use anyhow::{Context, Result, bail, ensure};
use inkdrop_sampler::Interval;
use serde::Serialize;
use serde_json::Value;

use super::ModelOptions;
use crate::making::guide::{Against, Guide};
use crate::model::card::{Build, Card};
use crate::model::context::Row;
use crate::model::identity;

#[derive(Debug, clap::Args, Serialize)]
pub struct GuideOptions {
    /// Guide with this scale: 1 is the model itself, 2 to 8 are usual. Against the model without
    /// a condition (classifier-free), or against a weaker model (--autoguide)
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true, help_heading = "Guidance")]
    guidance: Option<f64>,
    /// The class that the model was trained with in place of no class
    #[arg(
        long,
        value_name = "N",
        requires = "guidance",
        conflicts_with = "autoguide",
        help_heading = "Guidance"
    )]
    null_class: Option<i64>,
    /// Guide away from this weaker model of the same kind, such as an early checkpoint
    #[serde(skip)]
    #[arg(long, value_name = "MODEL", requires = "guidance", help_heading = "Guidance")]
    autoguide: Option<String>,
    /// Guide only where the noise per signal is in LOW,HIGH
    #[arg(long, value_name = "LOW,HIGH", requires = "guidance", help_heading = "Guidance")]
    guidance_interval: Option<String>,
    /// Share of the conditional spread that guidance is scaled back to, 0 to 1
    #[arg(long, value_name = "SHARE", requires = "guidance", help_heading = "Guidance")]
    guidance_rescale: Option<f64>,
    /// Hold the predicted image in what this share of its pixels spans, such as 0.995
    #[arg(long, value_name = "SHARE", help_heading = "Guidance")]
    threshold: Option<f64>,
}

impl GuideOptions {
    /// The guidance, with the weaker model built if there is one; and what it changes in a request.
    ///
    /// - row: what is asked
    pub fn guide(
        &self,
        card: &Card,
        row: &Row,
        options: &ModelOptions,
        build: &Build,
    ) -> Result<(Guide, Value)> {
        let (interval, threshold) = (self.interval()?, share("threshold", self.threshold)?);
        let rescale = share("guidance-rescale", self.guidance_rescale)?.unwrap_or(0.0);
        let Some(scale) = self.guidance else {
            let scale = 1.0;
            let against = Against::Nothing;
            return Ok((Guide { scale, interval, rescale, threshold, against }, Value::Null));
        };
        ensure!(scale.is_finite() && scale >= 0.0, "--guidance {scale}: expected 0 or more");
        let (against, identity) = match &self.autoguide {
            None => (Against::Null(self.null(card, row)?), Value::Null),
            Some(name) => {
                let weaker = options.find_other(name)?;
                ensure!(
                    weaker.card.process == card.process,
                    "--autoguide {name}: it was trained for another process than the model that it guides"
                );
                let identity = identity::of(&weaker)?;
                (Against::Weaker(weaker.build(build)?.0), identity)
            }
        };
        Ok((Guide { scale, interval, rescale, threshold, against }, identity))
    }

    /// What the model takes for no condition.
    fn null(&self, card: &Card, row: &Row) -> Result<Row> {
        ensure!(
            !row.is_none(card),
            "--guidance {}: nothing is asked to guide towards; {}",
            self.guidance.unwrap_or_default(),
            match (card.model.classes(), card.model.contexts()) {
                (None, 0) => "this model knows no conditions (--autoguide guides any model)",
                (None, _) => "name it with --class or --context",
                _ => "name it with --class",
            }
        );
        match (card.model.classes(), self.null_class.or(card.classes.null)) {
            (None, None) => Ok(Row::none(card)),
            (None, Some(_)) => bail!("--null-class: this model's null condition is no context"),
            (Some(_), Some(class)) => {
                ensure!(
                    row.class != Some(class),
                    "--null-class {class}: it is the class that is asked for"
                );
                Row::class(card, &class.to_string()).context("--null-class")
            }
            (Some(count), None) => bail!(
                "--guidance: this model draws images of {count} classes, and its file does not say that one of them means no class; name it with --null-class N if it was trained so, or guide with --autoguide MODEL"
            ),
        }
    }

    fn interval(&self) -> Result<Interval> {
        let Some(text) = &self.guidance_interval else { return Ok(Interval::ALL) };
        let parts = text.split_once(',');
        let numbers =
            parts.and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
        match numbers {
            Some((low, high)) if low >= 0.0 && low < high => Ok(Interval { low, high }),
            _ => bail!(
                "--guidance-interval {text}: expected LOW,HIGH in noise per signal, such as 0.3,5"
            ),
        }
    }
}

/// A share of 0 to 1.
fn share(name: &str, given: Option<f64>) -> Result<Option<f64>> {
    if let Some(share) = given {
        ensure!((0.0..=1.0).contains(&share), "--{name} {share}: expected 0 to 1");
    }
    Ok(given)
}
