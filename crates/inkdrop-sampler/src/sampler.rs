//! Samplers by name.

use std::fmt;
use std::str::FromStr;

use inkdrop_process::Denoiser;
use inkdrop_schedule::solver_coefficients::BKind;
use inkdrop_schedule::{NoiseLevels, SamplingSchedule};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::{
    Churn, Consistency, ConsistencySolver, Ddim, Ddpm, Deis, DeisSolver, DpmAdaptive,
    DpmAdaptiveSolver, DpmSolver, DpmSolver2, DpmSolver2Ancestral, DpmSolverMultistep,
    DpmSolverSinglestep, Edm, EdmEuler, Euler, EulerAncestral, FlowHeun, Heun, Ipndm, Lms, Plms,
    Pndm, SaSolver, SaSolverMultistep, SamplerError, SamplingRun, SamplingSteps, Solver, Tcd,
    UniPc, UniPcSolver,
};

/// A sampler by name, with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// [`Ddpm`].
    Ddpm,
    /// [`Ddim`].
    Ddim {
        /// η, 0 to 1.
        eta: f64,
    },
    /// [`Euler`].
    Euler,
    /// [`EulerAncestral`].
    EulerAncestral {
        /// η, 0 to 1.
        eta: f64,
    },
    /// [`Heun`].
    Heun,
    /// [`FlowHeun`].
    FlowHeun,
    /// [`Edm`].
    Edm(Churn),
    /// [`EdmEuler`].
    EdmEuler(Churn),
    /// [`Lms`].
    Lms {
        /// Number of slopes, 1 to 4.
        order: usize,
    },
    /// [`DpmSolver2`].
    Dpm2,
    /// [`DpmSolver2Ancestral`].
    Dpm2Ancestral {
        /// η, 0 to 1.
        eta: f64,
    },
    /// [`DpmSolverMultistep`].
    Dpm(DpmSolver),
    /// [`DpmSolverSinglestep`].
    DpmSinglestep(DpmSolver),
    /// [`DpmAdaptiveSolver`].
    DpmAdaptive(DpmAdaptive),
    /// [`DeisSolver`].
    Deis(Deis),
    /// [`SaSolverMultistep`].
    SaSolver(SaSolver),
    /// [`UniPcSolver`].
    UniPc(UniPc),
    /// [`Plms`].
    Plms,
    /// [`Pndm`].
    Pndm,
    /// [`Ipndm`].
    Ipndm,
    /// [`ConsistencySolver`].
    Consistency(Consistency),
    /// [`Tcd`].
    Tcd {
        /// γ, 0 to 1.
        gamma: f64,
    },
}

impl Sampler {
    /// Deterministic DDIM.
    pub const DDIM: Self = Self::Ddim { eta: 0.0 };

    /// All names with their default settings.
    pub fn all() -> [(&'static str, Self); 35] {
        let deis = |order| Self::Deis(Deis { order, ..Deis::default() });
        let unipc = |order, b| Self::UniPc(UniPc { order, b, ..UniPc::default() });
        [
            ("ddpm", Self::Ddpm),
            ("ddim", Self::DDIM),
            ("euler", Self::Euler),
            ("euler-ancestral", Self::EulerAncestral { eta: 1.0 }),
            ("heun", Self::Heun),
            ("flow-heun", Self::FlowHeun),
            ("edm", Self::Edm(Churn::default())),
            ("edm-euler", Self::EdmEuler(Churn::default())),
            ("lms", Self::Lms { order: 4 }),
            ("dpm-solver-2", Self::Dpm2),
            ("dpm2-ancestral", Self::Dpm2Ancestral { eta: 1.0 }),
            ("dpm-adaptive", Self::DpmAdaptive(DpmAdaptive::default())),
            ("dpm++2s", Self::DpmSinglestep(DpmSolver::PP_2M)),
            ("dpm++3s", Self::DpmSinglestep(DpmSolver::PP_3S)),
            ("dpm++2m", Self::Dpm(DpmSolver::PP_2M)),
            ("dpm++3m", Self::Dpm(DpmSolver::PP_3M)),
            ("dpm++2m-sde", Self::Dpm(DpmSolver::PP_2M_SDE)),
            ("dpm++3m-sde", Self::Dpm(DpmSolver::PP_3M_SDE)),
            ("deis", deis(2)),
            ("deis-1", deis(1)),
            ("deis-2", deis(2)),
            ("deis-3", deis(3)),
            ("sa-solver", Self::SaSolver(SaSolver::IMAGES)),
            ("unipc", unipc(2, BKind::Bh2)),
            ("unipc-1", unipc(1, BKind::Bh2)),
            ("unipc-2", unipc(2, BKind::Bh2)),
            ("unipc-3", unipc(3, BKind::Bh2)),
            ("unipc-2-bh1", unipc(2, BKind::Bh1)),
            ("unipc-3-bh1", unipc(3, BKind::Bh1)),
            ("plms", Self::Plms),
            ("pndm", Self::Pndm),
            ("ipndm", Self::Ipndm),
            ("consistency", Self::Consistency(Consistency::default())),
            ("lcm", Self::Consistency(Consistency::LCM)),
            ("tcd", Self::Tcd { gamma: 0.3 }),
        ]
    }

    /// Sets η; γ of [`Tcd`].
    ///
    /// # Errors
    /// A sampler without η, or η outside 0 to 1.
    pub fn with_eta(self, eta: f64) -> Result<Self, SamplerError> {
        SamplerError::check_eta(eta)?;
        match self {
            Self::Ddim { .. } => Ok(Self::Ddim { eta }),
            Self::EulerAncestral { .. } => Ok(Self::EulerAncestral { eta }),
            Self::Dpm2Ancestral { .. } => Ok(Self::Dpm2Ancestral { eta }),
            Self::Tcd { .. } => Ok(Self::Tcd { gamma: eta }),
            other => Err(SamplerError::Request {
                field: "eta",
                given: format!("{eta} with {other}"),
                expected: "the sampler ddim, euler-ancestral, dpm2-ancestral or tcd".into(),
            }),
        }
    }

    /// Number of network calls for a schedule with so many steps; the smallest possible number for
    /// dpm-adaptive, where it depends on the images.
    pub fn calls(&self, steps: usize) -> usize {
        match self {
            Self::Heun
            | Self::FlowHeun
            | Self::Edm(_)
            | Self::Dpm2
            | Self::Dpm2Ancestral { .. } => 2 * steps - 1,
            Self::DpmAdaptive(config) => config.order * (steps - 1) + 1,
            Self::Plms if steps > 1 => steps + 1,
            Self::Pndm => steps + 9,
            Self::Ddpm | Self::Ddim { .. } | Self::Euler | Self::EulerAncestral { .. } => steps,
            Self::Lms { .. } | Self::Dpm(_) | Self::UniPc(_) | Self::Plms => steps,
            Self::EdmEuler(_) | Self::DpmSinglestep(_) | Self::Deis(_) | Self::SaSolver(_) => steps,
            Self::Ipndm | Self::Consistency(_) | Self::Tcd { .. } => steps,
        }
    }

    /// A fresh solver for one run.
    ///
    /// - levels: of the process, for samplers that evaluate between those of their schedule
    ///
    /// # Errors
    /// Settings outside their range, or [`Pndm`] for a process without timesteps.
    pub fn solver<'a>(
        &self,
        levels: &'a dyn NoiseLevels,
    ) -> Result<Box<dyn Solver + 'a>, SamplerError> {
        Ok(match *self {
            Self::Ddpm => Box::new(Ddpm),
            Self::Ddim { eta } => Box::new(Ddim::new(eta)?),
            Self::Euler => Box::new(Euler),
            Self::EulerAncestral { eta } => Box::new(EulerAncestral::new(eta)?),
            Self::Heun => Box::new(Heun),
            Self::FlowHeun => Box::new(FlowHeun),
            Self::Edm(churn) => Box::new(Edm::new(levels, churn)?),
            Self::EdmEuler(churn) => Box::new(EdmEuler::new(levels, churn)?),
            Self::Lms { order } => Box::new(Lms::new(order)?),
            Self::Dpm2 => Box::new(DpmSolver2::new(levels)),
            Self::Dpm2Ancestral { eta } => Box::new(DpmSolver2Ancestral::new(levels, eta)?),
            Self::DpmAdaptive(config) => Box::new(DpmAdaptiveSolver::new(levels, config)?),
            Self::Dpm(config) => Box::new(DpmSolverMultistep::new(config)?),
            Self::DpmSinglestep(config) => Box::new(DpmSolverSinglestep::new(config)?),
            Self::Deis(config) => Box::new(DeisSolver::new(config)?),
            Self::SaSolver(config) => Box::new(SaSolverMultistep::new(config)?),
            Self::UniPc(config) => Box::new(UniPcSolver::new(config)?),
            Self::Plms => Box::new(Plms::default()),
            Self::Pndm => Box::new(Pndm::new(levels.timesteps().ok_or_else(no_timesteps)?)),
            Self::Ipndm => Box::new(Ipndm::default()),
            Self::Consistency(config) => Box::new(ConsistencySolver::new(config)?),
            Self::Tcd { gamma } => Box::new(Tcd::new(levels, gamma)?),
        })
    }

    /// A sampling run from x, as an iterator over its steps.
    ///
    /// For all samplers but DDPM and DDIM, ᾱ = 0 of a schedule with zero terminal SNR is raised to a small
    /// positive value; [`SamplingSteps::new`] takes the schedule as it is.
    ///
    /// # Shapes
    /// - x: [B, C, H, W], N(0, 1) for generation from noise
    ///
    /// # Errors
    /// Settings outside their range.
    pub fn steps<'a>(
        &self,
        denoiser: impl Denoiser + 'a,
        levels: &'a dyn NoiseLevels,
        schedule: &SamplingSchedule,
        x: Tensor,
        noise: impl NoiseSource + 'a,
    ) -> Result<SamplingSteps<'a>, SamplerError> {
        let solver = self.solver(levels)?;
        Ok(match self {
            Self::Ddpm | Self::Ddim { .. } => {
                SamplingSteps::new(denoiser, solver, schedule, x, noise)
            }
            // All other solvers divide by √ᾱ, which is 0 at zero terminal SNR.
            _ => SamplingSteps::new(denoiser, solver, &schedule.with_min_signal(), x, noise),
        })
    }

    /// Samples images from x.
    ///
    /// # Shapes
    /// - x: [B, C, H, W], N(0, 1); returns images of the same shape
    ///
    /// # Errors
    /// Settings outside their range, the denoiser does not accept x, the noise source runs out, or x
    /// becomes NaN or infinite.
    pub fn sample(
        &self,
        denoiser: &dyn Denoiser,
        levels: &dyn NoiseLevels,
        schedule: &SamplingSchedule,
        x: Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<Tensor, SamplerError> {
        self.steps(denoiser, levels, schedule, x, noise)?.finish()
    }
}

/// The name, followed by settings that differ from the default.
impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = std::mem::discriminant(self);
        if let Some((name, _)) = Self::all().into_iter().find(|(_, known)| known == self) {
            return f.write_str(name);
        }
        let close = Self::all().into_iter().find(|(_, k)| std::mem::discriminant(k) == kind);
        let name = close.map_or("", |(name, _)| name);
        match self {
            Self::Ddim { eta } | Self::EulerAncestral { eta } | Self::Dpm2Ancestral { eta } => {
                write!(f, "{name}, eta {eta}")
            }
            Self::Tcd { gamma } => write!(f, "{name}, gamma {gamma}"),
            Self::Lms { order } => write!(f, "{name}, order {order}"),
            Self::Edm(churn) | Self::EdmEuler(churn) => write!(f, "{name}, {churn:?}"),
            Self::Dpm(dpm) | Self::DpmSinglestep(dpm) => write!(f, "{name}, {dpm:?}"),
            Self::DpmAdaptive(config) => write!(f, "{name}, {config:?}"),
            Self::Deis(deis) => write!(f, "{name}, {deis:?}"),
            Self::SaSolver(config) => write!(f, "{name}, {config:?}"),
            Self::Consistency(config) => write!(f, "{name}, {config:?}"),
            Self::UniPc(unipc) => write!(f, "{name}, {unipc:?}"),
            _ => f.write_str(name),
        }
    }
}

impl FromStr for Sampler {
    type Err = SamplerError;

    /// Reads a name of [`Sampler::all`], in any case. The names `dpmpp-2m`, `euler-a` and `kdpm2` of
    /// other libraries are accepted.
    fn from_str(text: &str) -> Result<Self, SamplerError> {
        let name = text.to_lowercase().replace('_', "-").replace("dpmpp", "dpm++");
        let name = name.replace("dpm++-", "dpm++").replace("kdpm2", "dpm-solver-2");
        let name = if name == "euler-a" { "euler-ancestral".to_string() } else { name };
        let known = Self::all().into_iter().find(|(known, _)| *known == name);
        known.map(|(_, sampler)| sampler).ok_or_else(|| unknown(text, &name))
    }
}

fn no_timesteps() -> SamplerError {
    SamplerError::Request {
        field: "sampler",
        given: "pndm for a process with continuous noise levels".into(),
        expected: "another sampler: the steps of pndm are timesteps".into(),
    }
}

/// An error with the most similar name and all names.
fn unknown(text: &str, name: &str) -> SamplerError {
    let names = Sampler::all().map(|(known, _)| known);
    let distance = |known: &str| strsim::damerau_levenshtein(known, name);
    let nearest = names.iter().min_by_key(|known| distance(known)).copied().unwrap_or_default();
    let hint = if distance(nearest) * 2 <= nearest.len() {
        format!(" (did you mean {nearest}?)")
    } else {
        String::new()
    };
    SamplerError::Request {
        field: "sampler",
        given: format!("`{text}`{hint}"),
        expected: format!("one of {}", names.join(", ")),
    }
}
