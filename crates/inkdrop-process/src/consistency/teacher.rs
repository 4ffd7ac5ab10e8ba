//! The teacher of a distillation.

use inkdrop_nn::{ClassIds, Conditioning, Network};
use inkdrop_schedule::NoiseLevel;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::{ProcessError, SigmaProcess};

/// A trained network and its process, whose probability flow a student learns.
pub struct Teacher {
    network: Box<dyn Network>,
    process: SigmaProcess,
    guidance: Option<TeacherGuidance>,
}

/// Guidance distillation: classifier-free guidance of a teacher, which the student learns as its conditional
/// model
/// (Meng et al. 2023, "On Distillation of Guided Diffusion Models").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TeacherGuidance {
    /// Guidance scale; 1 is no guidance.
    pub scale: f64,
    /// The null class of a class-conditional network; a network with contexts has zeros instead.
    pub null_class: Option<i64>,
}

impl Teacher {
    /// A teacher; best with a compiled network.
    pub fn new(network: Box<dyn Network>, process: impl Into<SigmaProcess>) -> Self {
        Self { network, process: process.into(), guidance: None }
    }

    /// The teacher with classifier-free guidance.
    pub fn guided(self, guidance: TeacherGuidance) -> Self {
        Self { guidance: Some(guidance), ..self }
    }

    /// D(x; σ) of x0 + σ·ε, without gradient.
    pub(super) fn denoise(
        &self,
        x: &Tensor,
        sigmas: &[f64],
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        self.guided_by(conditioning, |conditioning| {
            self.process.denoise(x, sigmas, conditioning, |input, time, conditioning| {
                Ok(self.network.forward(input, time, conditioning)?)
            })
        })
    }

    /// D of √ᾱ·x0 + √(1−ᾱ)·ε, without gradient.
    pub(crate) fn denoise_scaled(
        &self,
        x: &Tensor,
        levels: &[NoiseLevel],
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        self.guided_by(conditioning, |conditioning| {
            self.process.denoise_scaled(x, levels, conditioning, |input, time, conditioning| {
                Ok(self.network.forward(input, time, conditioning)?)
            })
        })
    }

    /// D_uncond + scale·(D_cond − D_uncond) (Ho & Salimans 2022).
    fn guided_by(
        &self,
        conditioning: &Conditioning,
        denoise: impl Fn(&Conditioning) -> Result<Tensor, ProcessError>,
    ) -> Result<Tensor, ProcessError> {
        let _guard = no_grad_guard();
        let cond = denoise(conditioning)?;
        let Some(guidance) = self.guidance else { return Ok(cond) };
        let uncond = denoise(&guidance.uncond(conditioning)?)?;
        Ok(uncond.f_lerp(&cond, guidance.scale)?)
    }
}

impl TeacherGuidance {
    /// The conditions of the same images without a label.
    fn uncond(&self, conditioning: &Conditioning) -> Result<Conditioning, ProcessError> {
        let null = |ids: &ClassIds| match self.null_class {
            Some(class) => {
                let ids = ids.tensor();
                Ok(ClassIds::new(&vec![class; ids.size()[0] as usize], ids.device())?)
            }
            None => Err(ProcessError::NoNullClass),
        };
        Ok(Conditioning {
            context: conditioning.context.as_ref().map(Tensor::f_zeros_like).transpose()?,
            classes: conditioning.classes.as_ref().map(null).transpose()?,
            ..conditioning.shallow_clone()
        })
    }
}

impl std::fmt::Debug for Teacher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network: _, process, guidance } = self;
        let mut text = f.debug_struct("Teacher");
        text.field("process", process).field("guidance", guidance).finish_non_exhaustive()
    }
}
