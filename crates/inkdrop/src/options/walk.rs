//! By which sampler, over which noise levels.

use anyhow::Result;
use inkdrop_sampler::{Churn, Sampler, SamplerError};
use inkdrop_schedule::{Levels, Spacing};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Steps where none are asked for: of samplers that call the network once a step and know no more
/// than the last answer, and of all others.
const STEPS: (usize, usize) = (50, 25);

/// What walks, and over which levels, where nothing is said.
const SAMPLER: &str = "ddim";
const SPACING: &str = "trailing";

#[derive(Debug, clap::Args)]
pub struct WalkOptions {
    /// ddpm, ddim, euler, euler-ancestral, heun, edm, lms, dpm-solver-2, dpm++2m, dpm++3m,
    /// dpm++2m-sde, dpm++3m-sde, unipc, unipc-1 to unipc-3, unipc-2-bh1, unipc-3-bh1, plms or pndm
    #[arg(long, default_value = SAMPLER, help_heading = "Sampler")]
    sampler: String,
    /// Steps of the sampler, 1 to the model's number of steps; heun, edm and dpm-solver-2 call the
    /// network twice in each [default: all for ddpm, 50 for ddim and euler, 25 for the others]
    #[arg(long, help_heading = "Sampler")]
    steps: Option<usize>,
    /// Where the steps lie: trailing, leading, linspace, quadratic, ddim, sections, karras,
    /// exponential, polyexponential or vp; or with the number of steps in it, such as 10,15,20,
    /// karras20:5 (rho 5), leading20+1 or at:0,10,500
    #[arg(long, default_value = SPACING, value_name = "NAME", help_heading = "Sampler")]
    spacing: String,
    /// Share of fresh noise in ddim (0 if not given) and euler-ancestral (1), from 0 to 1
    #[arg(long, allow_negative_numbers = true, help_heading = "Sampler")]
    eta: Option<f64>,
    /// Noise that edm stirs in over the whole way (S_churn)
    #[arg(long, allow_negative_numbers = true, help_heading = "Sampler")]
    churn: Option<f64>,
}

impl WalkOptions {
    /// Whether nothing is said of the sampler and of the levels.
    pub fn is_usual(&self) -> bool {
        let Self { sampler, steps, spacing, eta, churn } = self;
        let named = sampler != SAMPLER || spacing != SPACING;
        !named && steps.is_none() && eta.is_none() && churn.is_none()
    }

    /// The sampler with its settings.
    pub fn sampler(&self) -> Result<Sampler, SamplerError> {
        let named: Sampler = self.sampler.parse()?;
        let churned = match (named, self.churn) {
            (Sampler::Edm(usual), Some(churn)) => Sampler::Edm(Churn { churn, ..usual }),
            (other, None) => other,
            (other, Some(churn)) => {
                return Err(SamplerError::Request {
                    field: "churn",
                    given: format!("{churn} with {other}"),
                    expected: "edm, which stirs noise in".into(),
                });
            }
        };
        self.eta.map_or(Ok(churned), |eta| churned.with_eta(eta))
    }

    /// The noise levels, in a process of `available` steps.
    pub fn levels(&self, sampler: Sampler, available: usize) -> Result<Levels> {
        if self.spacing.contains(|letter: char| letter.is_ascii_digit()) {
            let whole: Levels = self.spacing.parse()?;
            anyhow::ensure!(
                self.steps.is_none(),
                "--spacing {} says itself how many steps there are; leave --steps out",
                self.spacing
            );
            return Ok(whole);
        }
        let usual = match sampler {
            Sampler::Ddpm => available,
            Sampler::Ddim { .. } | Sampler::Euler | Sampler::EulerAncestral { .. } => STEPS.0,
            _ => STEPS.1,
        };
        let steps = self.steps.unwrap_or(usual.min(available));
        let name = if self.spacing == "sections" { "" } else { &self.spacing };
        Ok(match name {
            "trailing" if steps == available => Levels::Steps(Spacing::All),
            _ => format!("{name}{steps}").parse()?,
        })
    }
}

/// What the options stand for, however they were spelled. The levels depend on the model.
impl Serialize for WalkOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sampler = self.sampler().map_or_else(|_| self.sampler.clone(), |s| s.to_string());
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("sampler", &sampler)?;
        map.end()
    }
}
