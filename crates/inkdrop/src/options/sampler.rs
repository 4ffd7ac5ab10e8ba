//! Sampler options.

use anyhow::Result;
use inkdrop_sampler::{Churn, Sampler, SamplerError};
use inkdrop_schedule::{LevelSpacing, SamplingSchedule, TimestepSpacing};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::model::metadata::ModelMetadata;

/// Default number of steps: of first-order samplers with one network call per step, and of all others.
const STEPS: (usize, usize) = (50, 25);

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

/// A sampler with its noise levels for one model.
pub struct ResolvedSampler {
    pub sampler: Sampler,
    pub spacing: LevelSpacing,
    pub schedule: SamplingSchedule,
}

impl SamplerArgs {
    /// True if no option was given.
    pub fn is_default(&self) -> bool {
        let Self { sampler, steps, spacing, eta, churn } = self;
        let default = sampler == SAMPLER && spacing == SPACING;
        default && steps.is_none() && eta.is_none() && churn.is_none()
    }

    /// The sampler, its noise levels by name, and the sampling schedule for a model.
    pub fn resolve(&self, metadata: &ModelMetadata) -> Result<ResolvedSampler> {
        let noise_schedule = metadata.process.schedule.build()?;
        let sampler = self.sampler()?;
        let spacing = self.spacing(sampler, noise_schedule.num_timesteps())?;
        let schedule = spacing.sampling_schedule(&noise_schedule)?;
        Ok(ResolvedSampler { sampler, spacing, schedule })
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

    /// The noise levels, for a process with `available` timesteps.
    fn spacing(&self, sampler: Sampler, available: usize) -> Result<LevelSpacing> {
        if self.spacing.contains(|letter: char| letter.is_ascii_digit()) {
            let whole: LevelSpacing = self.spacing.parse()?;
            anyhow::ensure!(
                self.steps.is_none(),
                "--spacing {} contains the number of steps: leave --steps out",
                self.spacing
            );
            return Ok(whole);
        }
        let default = match sampler {
            Sampler::Ddpm => available,
            Sampler::Ddim { .. } | Sampler::Euler | Sampler::EulerAncestral { .. } => STEPS.0,
            _ => STEPS.1,
        };
        let steps = self.steps.unwrap_or(default.min(available));
        let name = if self.spacing == "sections" { "" } else { &self.spacing };
        Ok(match name {
            "trailing" if steps == available => LevelSpacing::Timesteps(TimestepSpacing::All),
            _ => format!("{name}{steps}").parse()?,
        })
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
