//! Initial weights, EMA weights and optimizer state of a run.

use inkdrop_checkpoint::StateDict;
use inkdrop_process::DiffusionConfig;
use inkdrop_train::{EmaDecay, Trainer};
use inkdrop_unet::ModelConfig;

use super::distill::{mean_velocities, tuned};
use crate::Result;
use crate::error::{Context, ensure};
use crate::model::{Classes, ModelMetadata, SHORTCUT, Source, stored_metadata};

/// Initial weights, EMA weights and optimizer state of a run. Files are of any supported format.
#[derive(Debug, Clone, Default)]
pub struct Init {
    /// Initial weights: a file, a diffusers directory, or a built-in model.
    pub weights: Option<String>,
    /// Network in a file with several, such as `model`.
    pub part: Option<String>,
    /// Initialises init_conv.shortcut randomly, for checkpoints of the sprites notebook.
    pub draw_shortcut: bool,
    /// Initial EMA weights for decays of `train.ema`. A checkpoint of a run gives its average of the same decay, or its first one.
    pub ema: Vec<(EmaDecay, String)>,
    /// Network in files of EMA weights with several, such as `ema_model`.
    pub ema_part: Option<String>,
    /// State of torch.optim.Adam or AdamW, alone or in a training checkpoint; needs a torch.save file as weights,
    /// which gives the order of the parameters.
    pub optimizer: Option<String>,
    /// Number of optimizer steps already taken: continues learning rate schedule and data order.
    pub step: Option<usize>,
}

impl Init {
    /// Loads the given weights and state into the trainer. Returns true if there were any.
    ///
    /// - notes: gets what the user may want to know
    pub(super) fn apply(
        &self,
        trainer: &mut Trainer,
        metadata: &ModelMetadata,
        notes: &mut Vec<String>,
    ) -> Result<bool> {
        let mut origin = Vec::new();
        let mut order = Vec::new();
        if let Some(name) = &self.weights {
            let source = Source::open(name)?;
            notes.extend(note_of_process(&source, metadata)?);
            notes.extend(note_of_names(&source, metadata)?);
            order = self.load_weights(&source, trainer, metadata)?;
            origin.push(name.clone());
        }
        for (decay, file) in &self.ema {
            self.load_ema(*decay, file, trainer)?;
            origin.push(format!("{decay}={file}"));
        }
        if let Some(step) = self.step {
            trainer.start_at(step).context("--init-step")?;
            origin.push(format!("step {step}"));
        }
        if let Some(file) = &self.optimizer {
            let state = optimizer_state(file);
            state
                .and_then(|state| Ok(trainer.start_optimizer_from(&state, &order)?))
                .with_context(|| format!("--init-optimizer {file}"))?;
            origin.push(file.clone());
        }
        trainer.set_origin(origin.join(", "));
        Ok(!origin.is_empty())
    }

    /// Loads initial weights; returns the order of the weights in their file.
    fn load_weights(
        &self,
        source: &Source,
        trainer: &mut Trainer,
        metadata: &ModelMetadata,
    ) -> Result<Vec<String>> {
        // Training continues with the weights of a run, not with their average.
        let own = source.is_training_checkpoint().then_some("network");
        let weights = part(source, self.part.as_deref().or(own), "--init-part")?;
        // A network of mean velocities starts from a flow, with zeros in the layers that it lacks.
        let interval = metadata.model.interval_keys();
        let mut optional: Vec<&str> = interval.iter().map(String::as_str).collect();
        if self.draw_shortcut {
            optional.extend(SHORTCUT);
        }
        trainer.start_from(&weights, &optional).with_context(|| {
            let lacks = SHORTCUT.iter().all(|key| weights.get(key).is_none());
            let notebook = matches!(metadata.model, ModelConfig::Context(_)) && lacks;
            let choice = if notebook {
                "; --init-draw-shortcut initialises the shortcut, which files of the sprites notebook lack"
            } else {
                ""
            };
            format!("--init {}: the weights do not match [model]{choice}", source.name)
        })?;
        Ok(weights.order().to_vec())
    }

    fn load_ema(&self, decay: EmaDecay, file: &str, trainer: &mut Trainer) -> Result<()> {
        let source = Source::open(file)?;
        let decays = source.decays();
        let same = decays.iter().find(|own| **own == decay.to_string());
        let own = same.or(decays.first()).map(String::as_str);
        let weights = part(&source, self.ema_part.as_deref().or(own), "--init-ema-part")?;
        trainer
            .start_ema_from(decay, &weights)
            .with_context(|| format!("--init-ema {decay}={file}"))
    }
}

/// The state of the only optimizer in a file: all of it, or what is below an entry such as `opt`.
fn optimizer_state(file: &str) -> Result<StateDict> {
    let whole = Source::open(file)?.whole;
    let prefixes = whole.iter().filter_map(|(key, _)| key.strip_suffix("state.0.exp_avg"));
    let prefixes: Vec<&str> = prefixes.collect();
    ensure!(
        prefixes.len() < 2,
        "it contains the states of {} optimizers ({}): save one of them alone",
        prefixes.len(),
        prefixes.join(", ")
    );
    let prefix = prefixes.first().copied().unwrap_or_default();
    Ok(whole.below(prefix))
}

/// One network of a file.
fn part(source: &Source, name: Option<&str>, option: &str) -> Result<StateDict> {
    let parts = source.parts();
    let several = name.is_none() && parts.len() > 1;
    ensure!(!several, "{} contains {}: choose one with {option}", source.name, parts.join(", "));
    source.part(name)
}

/// A note if the weights were trained for another process; training may adapt them.
fn note_of_process(source: &Source, metadata: &ModelMetadata) -> Result<Option<String>> {
    let theirs: Option<DiffusionConfig> = stored_metadata(&source.whole, "process")?;
    // A model that is distilled from this one may have another process on purpose.
    let distills = |theirs: &DiffusionConfig| {
        [tuned(theirs), mean_velocities(theirs)]
            .into_iter()
            .flatten()
            .any(|p| p == metadata.process)
    };
    let other = theirs.is_some_and(|theirs| theirs != metadata.process && !distills(&theirs));
    Ok(other
        .then(|| format!("note: {} was trained for another process than [process]", source.name)))
}

/// A note if the classes or contexts of initial weights have other names.
fn note_of_names(source: &Source, metadata: &ModelMetadata) -> Result<Option<String>> {
    let contexts: Vec<String> = stored_metadata(&source.whole, "contexts")?.unwrap_or_default();
    let classes: Classes = stored_metadata(&source.whole, "classes")?.unwrap_or_default();
    let (theirs, names) =
        (if contexts.is_empty() { classes.names } else { contexts }, metadata.names());
    let other = !theirs.is_empty() && !names.is_empty() && theirs != names;
    Ok(other.then(|| {
        format!(
            "note: {} has the classes {}, the data has {}: class numbers stand for others",
            source.name,
            theirs.join(", "),
            names.join(", ")
        )
    }))
}
