//! The samplers by name.

use std::fmt;
use std::str::FromStr;

use inkdrop_process::Predictor;
use inkdrop_schedule::solver::BKind;
use inkdrop_schedule::{Path, Schedule};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::{
    Churn, DpmSolver, OnStep, SamplerError, UniPc, ddim, ddpm, dpm_solver, dpm_solver_2, edm,
    euler, euler_ancestral, heun, lms, plms, pndm, unipc,
};

/// A sampler with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// [`ddpm`].
    Ddpm,
    /// [`ddim`].
    Ddim {
        /// 0 to 1.
        eta: f64,
    },
    /// [`euler`].
    Euler,
    /// [`euler_ancestral`].
    EulerAncestral {
        /// 0 to 1.
        eta: f64,
    },
    /// [`heun`].
    Heun,
    /// [`edm`].
    Edm(Churn),
    /// [`lms`].
    Lms {
        /// 1 to 4.
        order: usize,
    },
    /// [`dpm_solver_2`].
    Dpm2,
    /// [`dpm_solver`].
    Dpm(DpmSolver),
    /// [`unipc`].
    UniPc(UniPc),
    /// [`plms`].
    Plms,
    /// [`pndm`].
    Pndm,
}

impl Sampler {
    /// DDIM without noise.
    pub const DDIM: Self = Self::Ddim { eta: 0.0 };

    /// All names, each with its usual settings.
    pub fn all() -> [(&'static str, Self); 20] {
        let unipc = |order, b| Self::UniPc(UniPc { order, b, ..UniPc::default() });
        [
            ("ddpm", Self::Ddpm),
            ("ddim", Self::DDIM),
            ("euler", Self::Euler),
            ("euler-ancestral", Self::EulerAncestral { eta: 1.0 }),
            ("heun", Self::Heun),
            ("edm", Self::Edm(Churn::default())),
            ("lms", Self::Lms { order: 4 }),
            ("dpm-solver-2", Self::Dpm2),
            ("dpm++2m", Self::Dpm(DpmSolver::PP_2M)),
            ("dpm++3m", Self::Dpm(DpmSolver::PP_3M)),
            ("dpm++2m-sde", Self::Dpm(DpmSolver::PP_2M_SDE)),
            ("dpm++3m-sde", Self::Dpm(DpmSolver::PP_3M_SDE)),
            ("unipc", unipc(2, BKind::Bh2)),
            ("unipc-1", unipc(1, BKind::Bh2)),
            ("unipc-2", unipc(2, BKind::Bh2)),
            ("unipc-3", unipc(3, BKind::Bh2)),
            ("unipc-2-bh1", unipc(2, BKind::Bh1)),
            ("unipc-3-bh1", unipc(3, BKind::Bh1)),
            ("plms", Self::Plms),
            ("pndm", Self::Pndm),
        ]
    }

    /// The same with another η.
    ///
    /// # Errors
    /// A sampler that has none, or η outside 0 to 1.
    pub fn with_eta(self, eta: f64) -> Result<Self, SamplerError> {
        crate::ddim::check_eta(eta)?;
        match self {
            Self::Ddim { .. } => Ok(Self::Ddim { eta }),
            Self::EulerAncestral { .. } => Ok(Self::EulerAncestral { eta }),
            other => Err(SamplerError::Request {
                field: "eta",
                given: format!("{eta} with {other}"),
                expected: "ddim or euler-ancestral, which have an eta".into(),
            }),
        }
    }

    /// How many network calls a path of so many steps takes.
    pub fn calls(&self, steps: usize) -> usize {
        match self {
            Self::Heun | Self::Edm(_) | Self::Dpm2 => 2 * steps - 1,
            Self::Plms if steps > 1 => steps + 1,
            Self::Pndm => steps + 9,
            _ => steps,
        }
    }

    /// Walks a path.
    ///
    /// - schedule: the full process's, for samplers that look between its steps
    ///
    /// # Shapes
    /// - x: [B, C, H, W], N(0, 1); returns images of the same shape
    ///
    /// # Errors
    /// Settings that cannot be, a network that cannot take x, noise that runs out, or an x that
    /// stops being finite.
    pub fn walk(
        &self,
        model: &dyn Predictor,
        schedule: &Schedule,
        path: &Path,
        x: Tensor,
        noise: &mut dyn NoiseSource,
        on_step: &mut OnStep,
    ) -> Result<Tensor, SamplerError> {
        // All but DDPM and DDIM divide by the signal.
        let (bare, path) = (path, &path.with_signal());
        match *self {
            Self::Ddpm => ddpm(model, bare, x, noise, on_step),
            Self::Ddim { eta } => ddim(model, bare, x, eta, noise, on_step),
            Self::Euler => euler(model, path, x, on_step),
            Self::EulerAncestral { eta } => euler_ancestral(model, path, x, eta, noise, on_step),
            Self::Heun => heun(model, path, x, on_step),
            Self::Edm(churn) => edm(model, schedule, path, x, churn, noise, on_step),
            Self::Lms { order } => lms(model, path, x, order, on_step),
            Self::Dpm2 => dpm_solver_2(model, schedule, path, x, on_step),
            Self::Dpm(config) => dpm_solver(model, path, x, config, noise, on_step),
            Self::UniPc(config) => unipc(model, path, x, config, on_step),
            Self::Plms => plms(model, path, x, on_step),
            Self::Pndm => pndm(model, schedule, path, x, on_step),
        }
    }
}

/// The name, with the settings where they are not its usual ones.
impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = std::mem::discriminant(self);
        if let Some((name, _)) = Self::all().into_iter().find(|(_, known)| known == self) {
            return f.write_str(name);
        }
        let close = Self::all().into_iter().find(|(_, k)| std::mem::discriminant(k) == kind);
        let name = close.map_or("", |(name, _)| name);
        match self {
            Self::Ddim { eta } | Self::EulerAncestral { eta } => write!(f, "{name}, eta {eta}"),
            Self::Lms { order } => write!(f, "{name}, order {order}"),
            Self::Edm(churn) => write!(f, "{name}, {churn:?}"),
            Self::Dpm(dpm) => write!(f, "{name}, {dpm:?}"),
            Self::UniPc(unipc) => write!(f, "{name}, {unipc:?}"),
            _ => f.write_str(name),
        }
    }
}

impl FromStr for Sampler {
    type Err = SamplerError;

    /// A name of [`Sampler::all`]; case does not matter, `dpmpp-2m`, `euler-a` and `kdpm2` are
    /// understood.
    fn from_str(text: &str) -> Result<Self, SamplerError> {
        let name = text.to_lowercase().replace('_', "-").replace("dpmpp", "dpm++");
        let name = name.replace("dpm++-", "dpm++").replace("kdpm2", "dpm-solver-2");
        let name = if name == "euler-a" { "euler-ancestral".to_string() } else { name };
        let known = Self::all().into_iter().find(|(known, _)| *known == name);
        known.map(|(_, sampler)| sampler).ok_or_else(|| unknown(text, &name))
    }
}

/// An error that names the nearest sampler, and all of them.
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
