//! Sampler options.

use anyhow::Result;
use inkdrop::Pipeline;
use inkdrop::sampler::{Churn, Sampler, SamplerError};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Default sampler and spacing.
const SAMPLER: &str = "ddim";
const SPACING: &str = "trailing";

#[derive(Debug, clap::Args)]
pub struct SamplerArgs {
    /// ddpm, ddim, euler, euler-ancestral, heun, edm, lms, dpm-solver-2, dpm++2m, dpm++3m,
    /// dpm++2m-sde, dpm++3m-sde, unipc, unipc-1 to unipc-3, unipc-2-bh1, unipc-3-bh1, plms or pndm
    #[arg(long, default_value = SAMPLER, help_heading = "Sampler")]
    sampler: String,
    /// Sampling steps, 1 to the number of timesteps of the model; heun, edm and dpm-solver-2 call
    /// the network twice per step [default: all for ddpm, 50 for ddim and euler, 25 for others]
    #[arg(long, help_heading = "Sampler")]
    steps: Option<usize>,
    /// Timestep spacing or sigma grid: trailing, leading, linspace, quadratic, ddim, sections,
    /// karras, exponential, polyexponential or vp; or with its number of steps, such as
    /// sections10,15,20, karras20:5 (rho 5), leading20+1 or at:0,10,500
    #[arg(long, default_value = SPACING, value_name = "NAME", help_heading = "Sampler")]
    spacing: String,
    /// Eta, the scale of the fresh noise, 0 to 1 [default: 0 for ddim, 1 for euler-ancestral]
    #[arg(long, allow_negative_numbers = true, help_heading = "Sampler")]
    eta: Option<f64>,
    /// Stochasticity of the edm sampler (S_churn of Karras et al. 2022) [default: 40]
    #[arg(long, allow_negative_numbers = true, help_heading = "Sampler")]
    churn: Option<f64>,
}

impl SamplerArgs {
    /// True if no option was given.
    pub fn is_default(&self) -> bool {
        let Self { sampler, steps, spacing, eta, churn } = self;
        let default = sampler == SAMPLER && spacing == SPACING;
        default && steps.is_none() && eta.is_none() && churn.is_none()
    }

    /// Sets the sampler of a pipeline.
    pub fn apply(&self, pipeline: Pipeline) -> Result<Pipeline> {
        let pipeline = pipeline.sampler(self.sampler()?).spacing(&self.spacing);
        Ok(match self.steps {
            Some(steps) => pipeline.steps(steps),
            None => pipeline,
        })
    }

    /// The sampler with its settings.
    fn sampler(&self) -> Result<Sampler, SamplerError> {
        let named: Sampler = self.sampler.parse()?;
        let churned = match (named, self.churn) {
            (Sampler::Edm(default), Some(churn)) => Sampler::Edm(Churn { churn, ..default }),
            (other, None) => other,
            (other, Some(churn)) => {
                return Err(SamplerError::Request {
                    field: "churn",
                    given: format!("{churn} with {other}"),
                    expected: "the sampler edm".into(),
                });
            }
        };
        self.eta.map_or(Ok(churned), |eta| churned.with_eta(eta))
    }
}

/// The resolved sampler, however it was spelled. The noise levels depend on the model.
impl Serialize for SamplerArgs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sampler = self.sampler().map_or_else(|_| self.sampler.clone(), |s| s.to_string());
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("sampler", &sampler)?;
        map.end()
    }
}
