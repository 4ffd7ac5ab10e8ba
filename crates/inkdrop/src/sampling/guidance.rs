//! The denoiser of a batch, with the guidance of the command line.

use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{NetworkDenoiser, Process};
use inkdrop_sampler::{
    BoxedDenoiser, ClassifierFreeGuidance, ClipDenoised, DynamicThresholding, GuidanceInterval,
};

use crate::model::condition::Condition;

/// Guidance scale, its options, and the denoiser to guide away from.
pub struct Guidance {
    pub scale: f64,
    pub interval: GuidanceInterval,
    pub rescale: f64,
    /// Quantile for dynamic thresholding (Saharia et al. 2022); `None` clips if the process does.
    pub threshold: Option<f64>,
    pub target: GuidanceTarget,
}

/// The denoiser that guidance leads away from.
pub enum GuidanceTarget {
    /// No guidance.
    None,
    /// The same network without a condition (classifier-free guidance).
    Uncond(Condition),
    /// A weaker model with the same condition (autoguidance).
    Weaker(Box<dyn Network>),
}

impl Guidance {
    /// No guidance.
    pub fn none() -> Self {
        let (interval, target) = (GuidanceInterval::ALL, GuidanceTarget::None);
        Self { scale: 1.0, interval, rescale: 0.0, threshold: None, target }
    }

    /// The class of the unconditional pass, if the model has classes.
    pub fn uncond_class(&self) -> Option<i64> {
        match &self.target {
            GuidanceTarget::Uncond(condition) => condition.class,
            GuidanceTarget::None | GuidanceTarget::Weaker(_) => None,
        }
    }

    /// The denoiser of a batch, guided and clipped.
    ///
    /// - conditioning: of the batch (`None`), or with another condition for all its images
    pub fn denoiser<'a>(
        &'a self,
        network: &'a dyn Network,
        process: &'a Process,
        conditioning: &dyn Fn(Option<&Condition>) -> Conditioning,
    ) -> BoxedDenoiser<'a> {
        let cond = NetworkDenoiser::new(process, network, conditioning(None));
        let uncond = match &self.target {
            GuidanceTarget::None if self.threshold.is_none() => return Box::new(cond),
            GuidanceTarget::None => None,
            GuidanceTarget::Uncond(condition) => {
                Some(NetworkDenoiser::new(process, network, conditioning(Some(condition))))
            }
            GuidanceTarget::Weaker(weaker) => {
                Some(NetworkDenoiser::new(process, weaker.as_ref(), conditioning(None)))
            }
        };
        // Clipping comes after guidance, so neither side clips.
        let cond = cond.unclipped();
        let guided: BoxedDenoiser<'a> = match uncond {
            None => Box::new(cond),
            Some(uncond) => {
                let guided = ClassifierFreeGuidance::new(cond, uncond.unclipped(), self.scale);
                let guided = guided.interval(self.interval);
                Box::new(guided.rescale(self.rescale, process.config().prediction))
            }
        };
        match self.threshold {
            Some(quantile) => Box::new(DynamicThresholding::new(guided, quantile)),
            None if process.config().clip => Box::new(ClipDenoised(guided)),
            None => guided,
        }
    }
}
