//! Which recipes cannot be.

use super::TrainConfig;
use crate::{EmaDecay, TrainError};

impl TrainConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that cannot be, its value and what it can be.
    pub fn check(&self) -> Result<(), TrainError> {
        self.check_counts()?;
        self.check_rates()?;
        self.check_groups()?;
        EmaDecay::check_all(&self.ema)
    }

    fn check_counts(&self) -> Result<(), TrainError> {
        for (name, given) in [
            ("train.steps", self.steps),
            ("train.batch", self.batch),
            ("train.microbatch", self.microbatch.unwrap_or(1)),
            ("train.checkpoint_every", self.checkpoint_every),
            ("train.checkpoints_kept", self.checkpoints_kept),
            ("train.validate_every", self.validate_every),
            ("train.validation_images", self.validation_images),
            ("train.log_every", self.log_every),
        ] {
            field(given > 0, name, given, "at least 1")?;
        }
        let side = self.low_res.unwrap_or(1);
        field(side > 0, "train.low_res", side, "at least 1")?;
        let (keep, every) = (self.keep_every, self.checkpoint_every);
        let whole = "0, or a multiple of train.checkpoint_every";
        field(keep.is_multiple_of(every), "train.keep_every", keep, whole)?;
        field(self.workers <= 256, "train.workers", self.workers, "at most 256")
    }

    fn check_rates(&self) -> Result<(), TrainError> {
        let above = |number: f64| number > 0.0 && number.is_finite();
        let share = |number: f64| (0.0..1.0).contains(&number);
        field(above(self.lr), "train.lr", self.lr, "a number above 0")?;
        let clip = self.clip_norm.unwrap_or(1.0);
        field(above(clip), "train.clip_norm", clip, "a number above 0")?;
        for beta in self.betas {
            field(share(beta), "train.betas", beta, "0 to below 1")?;
        }
        field(above(self.eps), "train.eps", self.eps, "a number above 0")?;
        let decay = self.weight_decay;
        field(decay >= 0.0 && decay.is_finite(), "train.weight_decay", decay, "0 or more")?;
        let dropout = self.label_dropout;
        field((0.0..=1.0).contains(&dropout), "train.label_dropout", dropout, "0 to 1")
    }

    fn check_groups(&self) -> Result<(), TrainError> {
        for group in &self.groups {
            let named = !group.names.is_empty();
            field(named, "train.groups.names", "[]", "at least one name of a weight")?;
            for (name, given) in [
                ("train.groups.lr", group.lr),
                ("train.groups.weight_decay", group.weight_decay.unwrap_or(0.0)),
            ] {
                field(given >= 0.0 && given.is_finite(), name, given, "0 or more")?;
            }
        }
        Ok(())
    }
}

fn field(
    fits: bool,
    field: &'static str,
    given: impl ToString,
    expected: &'static str,
) -> Result<(), TrainError> {
    match fits {
        true => Ok(()),
        false => Err(TrainError::Field { field, given: given.to_string(), expected }),
    }
}
