//! The start of a run: from random weights, from given ones, or from its newest checkpoint.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use inkdrop_checkpoint::StateDict;
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_torch::tch::{Device, Kind, manual_seed};
use inkdrop_train::{EmaDecay, OtherData, RunFolder, TrainError, Trainer};
use inkdrop_unet::ModelConfig;

use crate::config::{DataConfig, Loaded, RunConfig, ValidatedData, validate};
use crate::model::metadata::{ModelMetadata, SHORTCUT};
use crate::model::source::Source;

const HEADING: &str = "Initialisation";

/// Initial weights, EMA and optimizer state.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Initial weights: a file of any supported format, a diffusers directory, or a built-in model
    #[arg(long, value_name = "MODEL", conflicts_with = "resume", help_heading = HEADING)]
    init: Option<String>,
    /// Network in a --init file with several, such as model
    #[arg(long, value_name = "NAME", requires = "init", help_heading = HEADING)]
    init_part: Option<String>,
    /// Initialise init_conv.shortcut randomly, for checkpoints of the sprites notebook
    #[arg(long, requires = "init", help_heading = HEADING)]
    init_draw_shortcut: bool,
    /// Initial EMA weights for a decay of train.ema, such as 0.9999=ema_0.9999_500000.pt;
    /// repeatable
    #[arg(long, value_name = "DECAY=FILE", conflicts_with = "resume", help_heading = HEADING)]
    init_ema: Vec<InitEma>,
    /// Network in --init-ema files with several, such as ema_model
    #[arg(long, value_name = "NAME", requires = "init_ema", help_heading = HEADING)]
    init_ema_part: Option<String>,
    /// State of torch.optim.Adam or AdamW, such as opt500000.pt; needs a torch.save file as --init,
    /// which gives the order of the weights
    #[arg(long, value_name = "FILE", requires = "init", help_heading = HEADING)]
    init_optimizer: Option<String>,
    /// Number of optimizer steps already taken: continues learning rate schedule and data order
    #[arg(long, value_name = "N", conflicts_with = "resume", help_heading = HEADING)]
    init_step: Option<usize>,
}

/// A decay and the file with its EMA weights.
#[derive(Debug, Clone)]
struct InitEma {
    decay: EmaDecay,
    file: String,
}

impl FromStr for InitEma {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        // A decay may contain a `=`, as in power=0.1=FILE.
        let splits = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
        let mut found = splits.filter_map(|(decay, file)| Some((decay.parse().ok()?, file)));
        let (decay, file) = found.next().ok_or_else(|| {
            anyhow!("`{text}`: expected DECAY=FILE, such as 0.9999=ema_0.9999_500000.pt")
        })?;
        Ok(Self { decay, file: file.to_string() })
    }
}

impl InitArgs {
    /// Loads the given weights and state into the trainer. Returns true if there were any.
    pub fn apply(&self, trainer: &mut Trainer, metadata: &ModelMetadata) -> Result<bool> {
        let mut origin = Vec::new();
        let mut order = Vec::new();
        if let Some(name) = &self.init {
            order = self.load_weights(name, trainer, metadata)?;
            origin.push(name.clone());
        }
        for init in &self.init_ema {
            self.load_ema(init, trainer)?;
            origin.push(format!("{}={}", init.decay, init.file));
        }
        if let Some(step) = self.init_step {
            trainer.start_at(step).context("--init-step")?;
            origin.push(format!("step {step}"));
        }
        if let Some(file) = &self.init_optimizer {
            let state = Source::open(file)?.whole;
            trainer
                .start_optimizer_from(&state, &order)
                .with_context(|| format!("--init-optimizer {file}"))?;
            origin.push(file.clone());
        }
        trainer.set_origin(origin.join(", "));
        Ok(!origin.is_empty())
    }

    /// Loads initial weights; returns the order of the weights in their file.
    fn load_weights(
        &self,
        name: &str,
        trainer: &mut Trainer,
        metadata: &ModelMetadata,
    ) -> Result<Vec<String>> {
        let source = Source::open(name)?;
        warn_of_process(&source, metadata)?;
        let weights = part(&source, self.init_part.as_deref(), "--init-part")?;
        let optional: &[&str] = if self.init_draw_shortcut { &SHORTCUT } else { &[] };
        trainer.start_from(&weights, optional).with_context(|| {
            let lacks = SHORTCUT.iter().all(|key| weights.get(key).is_none());
            let notebook = matches!(metadata.model, ModelConfig::Context(_)) && lacks;
            let choice = if notebook {
                "; --init-draw-shortcut initialises the shortcut, which files of the sprites notebook lack"
            } else {
                ""
            };
            format!("--init {name}: the weights do not match [model]{choice}")
        })?;
        Ok(weights.order().to_vec())
    }

    fn load_ema(&self, InitEma { decay, file }: &InitEma, trainer: &mut Trainer) -> Result<()> {
        let source = Source::open(file)?;
        let weights = part(&source, self.init_ema_part.as_deref(), "--init-ema-part")?;
        trainer
            .start_ema_from(*decay, &weights)
            .with_context(|| format!("--init-ema {decay}={file}"))
    }
}

/// One network of a file.
fn part(source: &Source, name: Option<&str>, option: &str) -> Result<StateDict> {
    let several = name.is_none() && source.whole.parts().len() > 1;
    ensure!(
        !several,
        "{} contains {}: choose one with {option}",
        source.name,
        source.whole.parts().join(", ")
    );
    source.part(name)
}

/// Prints a note if the weights were trained for another process; training may adapt them.
fn warn_of_process(source: &Source, metadata: &ModelMetadata) -> Result<()> {
    let theirs: Option<ProcessConfig> = source.whole.metadata("process")?;
    if theirs.is_some_and(|theirs| theirs != metadata.process) {
        eprintln!("note: {} was trained for another process than [process]", source.name);
    }
    Ok(())
}

/// Builds the trainer at step 0, and the metadata of its model files.
pub fn start(config: &RunConfig, device: Device) -> Result<(Trainer, ModelMetadata)> {
    let shape = config.model.image_shape();
    let loaded = load(&config.data, shape[0])?;
    let ValidatedData { data, label_use, contexts, classes } = validate(config, loaded)?;
    let names = if contexts.is_empty() { classes.names.clone() } else { contexts.clone() };
    let validation = load_validation(config, shape[0], &names, !contexts.is_empty())?;
    let metadata = ModelMetadata {
        model: config.model.clone(),
        process: config.process.clone(),
        contexts,
        classes,
    };
    manual_seed(config.train.seed as i64);
    let network = config.model.build(config.train.precision.torso(), device)?;
    let ema_network = config.model.build_uninitialized(Kind::Float, device)?;
    let process = Process::new(&config.process, device)?;
    let mut builder = Trainer::builder(network, ema_network, process, data)
        .image_shape(shape.map(|axis| axis as usize))
        .labels(label_use)
        .class_names(names);
    if let Some(validation) = validation {
        builder = builder.validation(validation);
    }
    Ok((builder.build(config.train.clone())?, metadata))
}

/// Loads images, and prints which files were left out.
///
/// - channels: of the network
fn load(data: &DataConfig, channels: i64) -> Result<Loaded> {
    let loaded = data.load(channels)?;
    for error in &loaded.skipped {
        eprintln!("left out: {error}");
    }
    Ok(loaded)
}

/// Loads the validation images; their classes must be those of the training images.
fn load_validation(
    config: &RunConfig,
    channels: i64,
    names: &[String],
    contexts: bool,
) -> Result<Option<inkdrop_data::LabelledDataset>> {
    let Some(validation) = &config.validation else { return Ok(None) };
    let valid = validate(config, load(validation, channels)?).context("[validation]")?;
    let theirs = if contexts { valid.contexts } else { valid.classes.names };
    ensure!(
        names.is_empty() || theirs.is_empty() || names == theirs,
        "[validation] has the classes {}, [data] has {}: expected the same",
        theirs.join(", "),
        names.join(", ")
    );
    Ok(Some(valid.data))
}

/// A run to resume.
pub struct Resume<'a> {
    /// The requested config.
    pub config: &'a RunConfig,
    /// The run directory.
    pub out: &'a Path,
    /// True to accept another config or other data.
    pub allow_changes: bool,
}

/// Restores the newest checkpoint of a run directory, if its config equals the requested one.
pub fn resume(trainer: &mut Trainer, resume: &Resume) -> Result<RunFolder> {
    let Resume { config, out, allow_changes } = resume;
    let folder = RunFolder::open(out)?;
    let saved = RunConfig::load(&folder.config().display().to_string(), &[])?;
    let changes = config.diff(&saved)?;
    let listed = changes.join("\n  ");
    match (changes.is_empty(), allow_changes) {
        (true, _) => {}
        (false, true) => eprintln!("continuing with another config:\n  {listed}"),
        (false, false) => bail!(
            "{} contains a run with another config; give the same config to resume it, choose another directory, or continue anyway with --allow-changes. Differences:\n  {listed}",
            out.display()
        ),
    }
    let Some(path) = folder.latest() else {
        eprintln!("no checkpoint was saved yet: starting from step 0");
        return Ok(folder);
    };
    let other_data = if *allow_changes { OtherData::Allowed } else { OtherData::Refused };
    trainer.restore(&path, other_data).map_err(|error| match error {
        TrainError::DataChanged { .. } => {
            anyhow!("{error}. Restore the data, or continue anyway with --allow-changes")
        }
        other => other.into(),
    })?;
    let (done, steps, before) = (trainer.step(), config.train.steps, saved.train.steps);
    ensure!(
        done <= steps,
        "train.steps = {steps}, but the run in {} has taken {done} steps already; expected at least {done}",
        out.display()
    );
    eprintln!("resuming after step {done} from {}", path.display());
    if steps != before {
        eprintln!(
            "train.steps: {before} → {steps}; the learning rate now follows its schedule to step {steps}"
        );
    }
    Ok(folder)
}
