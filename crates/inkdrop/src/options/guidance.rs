//! Guidance options.

use anyhow::{Context, Result, bail, ensure};
use inkdrop_sampler::GuidanceInterval;
use serde::Serialize;

use super::ModelArgs;
use crate::model::condition::Condition;
use crate::model::metadata::{Build, Model, ModelMetadata};
use crate::sampling::guidance::{Guidance, GuidanceTarget};

#[derive(Debug, clap::Args, Serialize)]
pub struct GuidanceArgs {
    /// Guidance scale: 1 is no guidance, 2 to 8 are usual. Guides away from the unconditional
    /// model (classifier-free guidance) or from a weaker model (--autoguide)
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true, help_heading = "Guidance")]
    guidance: Option<f64>,
    /// Null class: the class of dropped labels in training, for classifier-free guidance
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
    /// Guide only at noise levels σ in LOW,HIGH (guidance interval)
    #[arg(long, value_name = "LOW,HIGH", requires = "guidance", help_heading = "Guidance")]
    guidance_interval: Option<String>,
    /// Guidance rescale φ, 0 to 1: restores the standard deviation of the conditional prediction
    #[arg(long, value_name = "PHI", requires = "guidance", help_heading = "Guidance")]
    guidance_rescale: Option<f64>,
    /// Dynamic thresholding: quantile of the predicted pixels, such as 0.995
    #[arg(long, value_name = "QUANTILE", help_heading = "Guidance")]
    threshold: Option<f64>,
}

impl GuidanceArgs {
    /// The guidance, and the weaker model if there is one.
    pub fn guidance(
        &self,
        metadata: &ModelMetadata,
        condition: &Condition,
        options: &ModelArgs,
        build: &Build,
    ) -> Result<(Guidance, Option<Model>)> {
        let (interval, threshold) = (self.interval()?, fraction("threshold", self.threshold)?);
        let rescale = fraction("guidance-rescale", self.guidance_rescale)?.unwrap_or(0.0);
        let scale = self.guidance.unwrap_or(1.0);
        ensure!(scale.is_finite() && scale >= 0.0, "--guidance {scale}: expected 0 or more");
        let (target, weaker) = match (self.guidance, &self.autoguide) {
            (None, _) => (GuidanceTarget::None, None),
            (Some(_), None) => (GuidanceTarget::Uncond(self.uncond(metadata, condition)?), None),
            (Some(_), Some(name)) => {
                let weaker = options.find_other(name)?;
                ensure!(
                    weaker.metadata.process == metadata.process,
                    "--autoguide {name}: its diffusion process differs from that of the guided model"
                );
                (GuidanceTarget::Weaker(weaker.build(build)?.0), Some(weaker))
            }
        };
        Ok((Guidance { scale, interval, rescale, threshold, target }, weaker))
    }

    /// The condition of the unconditional pass.
    fn uncond(&self, metadata: &ModelMetadata, condition: &Condition) -> Result<Condition> {
        ensure!(
            !condition.is_none(metadata),
            "--guidance {}: expected a condition to guide towards; {}",
            self.guidance.unwrap_or_default(),
            match (metadata.model.classes(), metadata.model.contexts()) {
                (None, 0) => "this model has no conditions (--autoguide guides any model)",
                (None, _) => "give --class or --context",
                _ => "give --class",
            }
        );
        match (metadata.model.classes(), self.null_class.or(metadata.classes.null)) {
            (None, None) => Ok(Condition::none(metadata)),
            (None, Some(_)) => bail!("--null-class: this model has contexts, not classes"),
            (Some(_), Some(class)) => {
                ensure!(
                    condition.class != Some(class),
                    "--null-class {class}: it equals --class; expected another class"
                );
                Condition::class(metadata, &class.to_string()).context("--null-class")
            }
            (Some(count), None) => bail!(
                "--guidance: this model has {count} classes, and its file names no null class; give --null-class N if it was trained with one, or guide with --autoguide MODEL"
            ),
        }
    }

    fn interval(&self) -> Result<GuidanceInterval> {
        let Some(text) = &self.guidance_interval else { return Ok(GuidanceInterval::ALL) };
        let parts = text.split_once(',');
        let numbers =
            parts.and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
        match numbers {
            Some((low, high)) if low >= 0.0 && low < high => Ok(GuidanceInterval { low, high }),
            _ => bail!(
                "--guidance-interval {text}: expected LOW,HIGH in units of sigma, such as 0.3,5"
            ),
        }
    }
}

/// A number from 0 to 1.
fn fraction(name: &str, given: Option<f64>) -> Result<Option<f64>> {
    if let Some(value) = given {
        ensure!((0.0..=1.0).contains(&value), "--{name} {value}: expected 0 to 1");
    }
    Ok(given)
}
