//! Guidance of a sampling run: its settings, and the guided denoiser of a batch.

use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{DiffusionProcess, NetworkDenoiser};
use inkdrop_sampler::{
    BoxedDenoiser, ClassifierFreeGuidance, ClipDenoised, DynamicThresholding, GuidanceInterval,
};
use inkdrop_torch::TorchError;

use crate::Result;
use crate::error::{bail, ensure};
use crate::model::{Condition, Conditions, ModelMetadata};

/// Settings of guidance, as the setters of a pipeline give them.
#[derive(Debug, Clone, Default)]
pub(crate) struct GuidanceSettings {
    pub scale: Option<f64>,
    /// Scale of the guidance by the image condition.
    pub condition: Option<f64>,
    pub null_class: Option<i64>,
    pub interval: Option<GuidanceInterval>,
    pub rescale: Option<f64>,
    pub parallel: Option<f64>,
    pub threshold: Option<f64>,
}

impl GuidanceSettings {
    /// Returns an error for a setting that has no effect without a scale.
    ///
    /// - autoguide: true if there is a weaker model
    pub fn check_used(&self, autoguide: bool) -> Result<()> {
        let guides = self.scale.is_some();
        let any = guides || self.condition.is_some();
        for (name, unused) in [
            ("autoguide", autoguide && !any),
            ("null-class", self.null_class.is_some() && !guides),
            ("guidance-interval", self.interval.is_some() && !any),
            ("guidance-rescale", self.rescale.is_some() && !any),
            ("guidance-parallel", self.parallel.is_some() && !any),
        ] {
            ensure!(!unused, "--{name} without --guidance: expected a scale, such as 2");
        }
        Ok(())
    }

    /// Checks the numbers.
    pub fn check(&self) -> Result<()> {
        for (name, scale) in [("guidance", self.scale), ("condition-guidance", self.condition)] {
            let scale = scale.unwrap_or(1.0);
            ensure!(scale.is_finite() && scale >= 0.0, "--{name} {scale}: expected 0 or more");
        }
        for (name, value) in [
            ("threshold", self.threshold),
            ("guidance-rescale", self.rescale),
            ("guidance-parallel", self.parallel),
        ] {
            let value = value.unwrap_or(0.0);
            ensure!((0.0..=1.0).contains(&value), "--{name} {value}: expected 0 to 1");
        }
        if let Some(GuidanceInterval { low, high }) = self.interval {
            ensure!(
                low >= 0.0 && low < high,
                "--guidance-interval {low},{high}: expected LOW,HIGH in units of sigma, such as 0.3,5"
            );
        }
        Ok(())
    }

    /// Checks that the network knows conditions of zeros, and that nothing else guides.
    ///
    /// - autoguide: a weaker model is given
    pub fn check_image(&self, metadata: &ModelMetadata, autoguide: bool) -> Result<()> {
        ensure!(
            self.scale.is_none() && !autoguide,
            "--condition-guidance: --guidance and --autoguide guide away from something else; give one of them"
        );
        let Some(condition) = metadata.condition else {
            bail!("--condition-guidance: this model is not conditioned on an image");
        };
        ensure!(
            condition.dropout() != 0.0,
            "--condition-guidance: this model was trained without dropout of its condition; expected a model of `condition.dropout`, such as 0.1"
        );
        Ok(())
    }

    /// The condition of the unconditional pass of classifier-free guidance.
    ///
    /// - towards: the conditions of the images
    pub fn uncond(&self, metadata: &ModelMetadata, towards: &Conditions) -> Result<Condition> {
        let none = towards.as_slice().iter().any(|condition| condition.is_none(metadata));
        ensure!(
            !none,
            "--guidance {}: expected a condition to guide towards; {}",
            self.scale.unwrap_or_default(),
            match (metadata.model.classes(), metadata.model.contexts()) {
                (None, 0) => "this model has no conditions (--autoguide guides any model)",
                (None, _) => "give --class or --context",
                _ => "give --class",
            }
        );
        match (metadata.model.classes(), self.null_class.or(metadata.classes.null)) {
            (None, None) => Ok(Condition::none(metadata)),
            (None, Some(_)) => bail!("--null-class: this model has contexts, not classes"),
            (Some(count), Some(class)) => {
                // The number of a class, which a name of digits may differ from.
                ensure!(
                    (0..count).contains(&class),
                    "--null-class {class}: expected a number from 0 to {}",
                    count - 1
                );
                let equal = |condition: &Condition| condition.class == Some(class);
                ensure!(
                    !towards.as_slice().iter().any(equal),
                    "--null-class {class}: it equals --class; expected another class"
                );
                Ok(Condition { class: Some(class), ..Condition::none(metadata) })
            }
            (Some(count), None) => bail!(
                "--guidance: this model has {count} classes, and its file names no null class; give --null-class N if it was trained with one, or guide with --autoguide MODEL"
            ),
        }
    }
}

/// The guidance of a run, with the denoiser to guide away from.
pub(crate) struct Guidance<'a> {
    pub settings: GuidanceSettings,
    pub target: GuidanceTarget<'a>,
    /// True if clipping x0 keeps the predicted noise.
    pub keeps_noise: bool,
}

/// The denoiser that guidance leads away from.
pub(crate) enum GuidanceTarget<'a> {
    /// No guidance.
    None,
    /// The same network without a condition (classifier-free guidance).
    Uncond(Condition),
    /// The same network with an image condition of zeros (Brooks et al. 2023, section 3.2).
    NoImage,
    /// A weaker model with the same condition (autoguidance, Karras et al. 2024).
    Weaker(&'a dyn Network),
}

/// What a pass of the network does not get.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dropped<'c> {
    /// It gets all conditions.
    Nothing,
    /// The label: this condition stands for none.
    Label(&'c Condition),
    /// The image that it is conditioned on: it is zeros.
    Image,
}

impl<'a> Guidance<'a> {
    /// The denoiser of a batch, guided and clipped.
    ///
    /// - conditioning: of the batch, without what is dropped
    pub fn denoiser(
        &self,
        network: &'a dyn Network,
        process: &'a dyn DiffusionProcess,
        conditioning: &dyn Fn(Dropped<'_>) -> Result<Conditioning, TorchError>,
    ) -> Result<BoxedDenoiser<'a>, TorchError> {
        let plain = matches!(self.target, GuidanceTarget::None) && !self.keeps_noise;
        if plain && self.settings.threshold.is_none() {
            return Ok(Box::new(NetworkDenoiser::new(
                process,
                network,
                conditioning(Dropped::Nothing)?,
            )));
        }
        // Clipping comes after guidance, so neither side clips.
        let guided = self.unclipped(network, process, conditioning)?;
        Ok(match self.settings.threshold {
            Some(quantile) => Box::new(DynamicThresholding::new(guided, quantile)),
            None if process.clips() && self.keeps_noise => {
                Box::new(ClipDenoised::new(guided).keep_noise())
            }
            None if process.clips() => Box::new(ClipDenoised::new(guided)),
            None => guided,
        })
    }

    /// The denoiser of a batch, guided but not clipped.
    pub fn unclipped(
        &self,
        network: &'a dyn Network,
        process: &'a dyn DiffusionProcess,
        conditioning: &dyn Fn(Dropped<'_>) -> Result<Conditioning, TorchError>,
    ) -> Result<BoxedDenoiser<'a>, TorchError> {
        let GuidanceSettings { scale, condition, interval, rescale, parallel, .. } = self.settings;
        let all = || conditioning(Dropped::Nothing);
        let cond = NetworkDenoiser::new(process, network, all()?).unclipped();
        let uncond = match &self.target {
            GuidanceTarget::None => return Ok(Box::new(cond)),
            GuidanceTarget::Uncond(condition) => {
                NetworkDenoiser::new(process, network, conditioning(Dropped::Label(condition))?)
            }
            GuidanceTarget::NoImage => {
                NetworkDenoiser::new(process, network, conditioning(Dropped::Image)?)
            }
            GuidanceTarget::Weaker(weaker) => NetworkDenoiser::new(process, *weaker, all()?),
        };
        let scale = scale.or(condition).unwrap_or(1.0);
        let guided = ClassifierFreeGuidance::new(cond, uncond.unclipped(), scale);
        let guided = guided.interval(interval.unwrap_or(GuidanceInterval::ALL));
        let output = process.network_output();
        let guided = guided.parallel(parallel.unwrap_or(1.0), output);
        Ok(Box::new(guided.rescale(rescale.unwrap_or(0.0), output)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Pipeline;

    /// Folders of classes may be named 1 to 10, of which the number of the class is another.
    #[test]
    fn the_null_class_is_a_number_whatever_the_names() {
        let mut metadata = Pipeline::open("fashion").unwrap().metadata().clone();
        let null = metadata.classes.null.unwrap();
        metadata.classes.names = (1..=10).map(|name| name.to_string()).collect();
        let towards = Conditions::classes(&metadata, "3").unwrap();
        assert_eq!(towards.get(0).class, Some(2));
        let settings = GuidanceSettings { scale: Some(3.0), ..GuidanceSettings::default() };
        assert_eq!(settings.uncond(&metadata, &towards).unwrap().class, Some(null));
        let other = |class| GuidanceSettings { null_class: Some(class), ..settings.clone() };
        assert_eq!(other(4).uncond(&metadata, &towards).unwrap().class, Some(4));
        let error = other(11).uncond(&metadata, &towards).unwrap_err().report();
        assert!(error.contains("--null-class 11: expected a number from 0 to 10"), "{error}");
    }
}
