//! Guidance options.

use anyhow::{Result, bail};
use inkdrop::Pipeline;
use inkdrop::sampler::GuidanceInterval;
use serde::Serialize;

use super::ModelArgs;

#[derive(Debug, clap::Args, Serialize)]
pub struct GuidanceArgs {
    /// Guidance scale: 1 is no guidance, 2 to 8 are usual. Guides away from the unconditional
    /// model (classifier-free guidance) or from a weaker model (--autoguide)
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true, help_heading = "Guidance")]
    guidance: Option<f64>,
    /// Guidance scale of the image condition: guides away from a condition of zeros. For models that were
    /// trained with `condition.dropout`
    #[arg(
        long,
        value_name = "SCALE",
        allow_negative_numbers = true,
        conflicts_with_all = ["guidance", "autoguide"],
        help_heading = "Guidance"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    condition_guidance: Option<f64>,
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
    #[arg(long, value_name = "LOW,HIGH", help_heading = "Guidance")]
    guidance_interval: Option<String>,
    /// Guidance rescale φ, 0 to 1: restores the standard deviation of the conditional prediction
    #[arg(long, value_name = "PHI", help_heading = "Guidance")]
    guidance_rescale: Option<f64>,
    /// Fraction, 0 to 1, that is kept of guidance parallel to the prediction; 1 is plain guidance, less
    /// prevents saturation (adaptive projected guidance)
    #[arg(long, value_name = "FRACTION", help_heading = "Guidance")]
    #[serde(skip_serializing_if = "Option::is_none")]
    guidance_parallel: Option<f64>,
    /// Dynamic thresholding: quantile of the predicted pixels, such as 0.995
    #[arg(long, value_name = "QUANTILE", help_heading = "Guidance")]
    threshold: Option<f64>,
}

impl GuidanceArgs {
    /// Sets the guidance of a pipeline.
    ///
    /// - model, seed: options of the weaker model
    pub fn apply(&self, pipeline: Pipeline, model: &ModelArgs, seed: u64) -> Result<Pipeline> {
        let mut pipeline = pipeline;
        if let Some(interval) = self.interval()? {
            pipeline = pipeline.guidance_interval(interval);
        }
        if let Some(scale) = self.guidance {
            pipeline = pipeline.guidance(scale);
        }
        if let Some(scale) = self.condition_guidance {
            pipeline = pipeline.condition_guidance(scale);
        }
        if let Some(class) = self.null_class {
            pipeline = pipeline.null_class(class);
        }
        if let Some(phi) = self.guidance_rescale {
            pipeline = pipeline.guidance_rescale(phi);
        }
        if let Some(fraction) = self.guidance_parallel {
            pipeline = pipeline.guidance_parallel(fraction);
        }
        if let Some(quantile) = self.threshold {
            pipeline = pipeline.threshold(quantile);
        }
        match &self.autoguide {
            Some(name) => Ok(pipeline.autoguide(model.open_other(name, seed)?)),
            None => Ok(pipeline),
        }
    }

    /// The weaker model as given, if there is one.
    pub fn weaker(&self) -> Option<&str> {
        self.autoguide.as_deref()
    }

    fn interval(&self) -> Result<Option<GuidanceInterval>> {
        let Some(text) = &self.guidance_interval else { return Ok(None) };
        let parts = text.split_once(',');
        let numbers =
            parts.and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
        match numbers {
            Some((low, high)) => Ok(Some(GuidanceInterval { low, high })),
            None => bail!(
                "--guidance-interval {text}: expected LOW,HIGH in units of sigma, such as 0.3,5"
            ),
        }
    }
}
