//! Sampler options.

use anyhow::Result;
use inkdrop::Pipeline;
use inkdrop::sampler::{Churn, Sampler, SamplerError};
use serde::ser::{Serialize, SerializeMap, Serializer};

#[derive(Debug, clap::Args)]
pub struct SamplerArgs {
    /// ddpm, ddim, euler, euler-ancestral, heun, flow-heun, edm, edm-euler, lms, dpm-solver-2,
    /// dpm2-ancestral, dpm-adaptive, dpm++2s, dpm++3s, dpm++2m, dpm++3m, dpm++2m-sde, dpm++3m-sde,
    /// deis, deis-1 to deis-3, sa-solver, unipc, unipc-1 to unipc-3, unipc-2-bh1, unipc-3-bh1, plms,
    /// pndm, ipndm; for distilled models consistency, lcm or tcd
    /// [default: that of the model file, the scheduler of a diffusers directory, consistency for
    /// consistency models, ddim for other models]
    #[arg(long, help_heading = "Sampler")]
    sampler: Option<String>,
    /// Sampling steps, 1 to the number of timesteps of the model; heun, flow-heun, edm,
    /// dpm-solver-2 and dpm2-ancestral call the network twice per step; dpm-adaptive chooses steps
    /// between those of the spacing [default: that of the model file or of the scheduler of a diffusers
    /// directory; else all for ddpm, 50 for ddim, euler, euler-ancestral and edm-euler, 4 for
    /// consistency, lcm, tcd and mean velocities, 2 for dpm-adaptive, 25 for others]
    #[arg(long, help_heading = "Sampler")]
    steps: Option<usize>,
    /// Timestep spacing or sigma grid: trailing, leading, linspace, quadratic, ddim, sections,
    /// truncated, karras, exponential, polyexponential, vp or flow; or with its number of steps, such as
    /// sections10,15,20, karras20:5 (rho 5), flow20:3 (shift 3), leading20+1, at:0,10,500 or
    /// sigmas:80,2.5,0.8
    /// [default: that of the model file; else trailing; karras for consistency models, karras or flow for
    /// continuous noise levels, exponential for dpm-adaptive]
    #[arg(long, value_name = "NAME", help_heading = "Sampler")]
    spacing: Option<String>,
    /// Eta, the scale of the fresh noise, 0 to 1 [default: 0 for ddim, 1 for
    /// euler-ancestral and dpm2-ancestral, 0.3 for tcd (gamma)]
    #[arg(long, allow_negative_numbers = true, help_heading = "Sampler")]
    eta: Option<f64>,
    /// DDIM: recompute the noise from the clipped prediction in every step [default: false with the DDIMScheduler of
    /// a diffusers directory, true with the sampler ddim; false is lucidrains' DDIM with classes and pred_noise]
    #[arg(
        long,
        help_heading = "Sampler",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    use_clipped_model_output: Option<bool>,
    /// Stochasticity of the samplers edm and edm-euler (S_churn of Karras et al. 2022) [default: 40]
    #[arg(long, allow_negative_numbers = true, help_heading = "Sampler")]
    churn: Option<f64>,
}

impl SamplerArgs {
    /// True if the sampler is the model's own; it may have other steps.
    pub fn is_default(&self) -> bool {
        let Self { sampler, steps: _, spacing: _, eta, use_clipped_model_output, churn } = self;
        (sampler.is_none() && eta.is_none() && churn.is_none())
            && use_clipped_model_output.is_none()
    }

    /// Sets the sampler of a pipeline.
    pub fn apply(&self, pipeline: Pipeline) -> Result<Pipeline> {
        let mut pipeline = pipeline;
        if let Some(recompute) = self.use_clipped_model_output {
            pipeline = pipeline.use_clipped_model_output(recompute);
        }
        if self.sampler.is_some() || self.churn.is_some() {
            let own = pipeline.metadata().sampling.sampler()?;
            pipeline = pipeline.sampler(self.named(own)?);
        }
        if let Some(spacing) = &self.spacing {
            pipeline = pipeline.spacing(spacing);
        }
        if let Some(eta) = self.eta {
            pipeline = pipeline.eta(eta);
        }
        if let Some(steps) = self.steps {
            pipeline = pipeline.steps(steps);
        }
        Ok(pipeline)
    }

    /// The sampler without eta.
    ///
    /// - own: that of the model file
    fn named(&self, own: Option<Sampler>) -> Result<Sampler, SamplerError> {
        let named = match &self.sampler {
            Some(name) => name.parse()?,
            None => own.unwrap_or(Sampler::DDIM),
        };
        match (named, self.churn) {
            (Sampler::Edm(default), Some(churn)) => Ok(Sampler::Edm(Churn { churn, ..default })),
            (Sampler::EdmEuler(default), Some(churn)) => {
                Ok(Sampler::EdmEuler(Churn { churn, ..default }))
            }
            (other, None) => Ok(other),
            (other, Some(churn)) => Err(SamplerError::Request {
                field: "churn",
                given: format!("{churn} with {other}"),
                expected: "the sampler edm or edm-euler".into(),
            }),
        }
    }
}

/// The sampler and its noise levels depend on the model: the plan of the run has them.
impl Serialize for SamplerArgs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sampler", &self.sampler)?;
        if self.use_clipped_model_output == Some(false) {
            map.serialize_entry("use_clipped_model_output", &false)?;
        }
        map.end()
    }
}
