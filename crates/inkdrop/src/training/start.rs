//! A run at step 0, from nothing or from weights of somebody else.

use std::str::FromStr;

use anyhow::{Context, Result, anyhow, ensure};
use inkdrop_checkpoint::Weights;
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_torch::tch::{Device, Kind, manual_seed};
use inkdrop_train::{EmaRule, Parts, Trainer};
use inkdrop_unet::ModelConfig;

use crate::config::{Fitted, Loaded, RunConfig, fit};
use crate::model::card::{Card, SHORTCUT};
use crate::model::source::Source;

const HEADING: &str = "Begin with";

/// Weights to begin with.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Begin with these weights: a file of any format, a diffusers folder, or a built-in model
    #[arg(long, value_name = "MODEL", conflicts_with = "resume", help_heading = HEADING)]
    init: Option<String>,
    /// Which network of a --init file that holds several, such as model
    #[arg(long, value_name = "NAME", requires = "init", help_heading = HEADING)]
    init_part: Option<String>,
    /// Draw init_conv's shortcut, which a file of the sprites notebook has not
    #[arg(long, requires = "init", help_heading = HEADING)]
    init_draw_shortcut: bool,
    /// The average of a rule of train.ema, such as 0.9999=ema_0.9999_500000.pt; repeatable
    #[arg(long, value_name = "RULE=FILE", conflicts_with = "resume", help_heading = HEADING)]
    init_ema: Vec<Average>,
    /// Which network of --init-ema files that hold several, such as ema_model
    #[arg(long, value_name = "NAME", requires = "init_ema", help_heading = HEADING)]
    init_ema_part: Option<String>,
    /// The state of torch.optim.Adam or AdamW, such as opt500000.pt; numbered in the order of
    /// the --init file, which has to be of torch.save, too
    #[arg(long, value_name = "FILE", requires = "init", help_heading = HEADING)]
    init_optimizer: Option<String>,
    /// Count the steps from here, for the learning rate and the order of the images
    #[arg(long, value_name = "N", conflicts_with = "resume", help_heading = HEADING)]
    init_step: Option<usize>,
}

/// A rule and the file with its average.
#[derive(Debug, Clone)]
struct Average {
    rule: EmaRule,
    file: String,
}

impl FromStr for Average {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        // A rule may have a `=` of its own, as in power=0.1=FILE.
        let splits = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
        let mut found = splits.filter_map(|(rule, file)| Some((rule.parse().ok()?, file)));
        let (rule, file) = found.next().ok_or_else(|| {
            anyhow!("`{text}`: expected RULE=FILE, such as 0.9999=ema_0.9999_500000.pt")
        })?;
        Ok(Self { rule, file: file.to_string() })
    }
}

impl Start {
    /// Takes over the weights that were named; whether there are any.
    pub fn apply(&self, trainer: &mut Trainer, card: &Card) -> Result<bool> {
        let mut origin = Vec::new();
        let mut order = Vec::new();
        if let Some(name) = &self.init {
            let source = Source::open(name)?;
            warn_of_process(&source, card)?;
            let weights = part(&source, self.init_part.as_deref(), "--init-part")?;
            order = weights.order().to_vec();
            let optional: &[&str] = if self.init_draw_shortcut { &SHORTCUT } else { &[] };
            trainer.start_from(&weights, optional).with_context(|| {
                let lacks = SHORTCUT.iter().all(|key| weights.get(key).is_none());
                let notebook = matches!(card.model, ModelConfig::Context(_)) && lacks;
                let choice = if notebook {
                    "; --init-draw-shortcut draws what the sprites notebook never saves"
                } else {
                    ""
                };
                format!("--init {name}: these are not the weights of [model]{choice}")
            })?;
            origin.push(name.clone());
        }
        for Average { rule, file } in &self.init_ema {
            let source = Source::open(file)?;
            let weights = part(&source, self.init_ema_part.as_deref(), "--init-ema-part")?;
            trainer
                .start_average_from(*rule, &weights)
                .with_context(|| format!("--init-ema {rule}={file}"))?;
            origin.push(format!("{rule}={file}"));
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
}

/// One network of a file.
fn part(source: &Source, name: Option<&str>, option: &str) -> Result<Weights> {
    let several = name.is_none() && source.whole.parts().len() > 1;
    ensure!(
        !several,
        "{} holds {}: say which with {option}",
        source.name,
        source.whole.parts().join(", ")
    );
    source.part(name)
}

/// Says where weights were trained for another process; they may be learned anew for this one.
fn warn_of_process(source: &Source, card: &Card) -> Result<()> {
    let said: Option<ProcessConfig> = source.whole.metadata("process")?;
    if said.is_some_and(|said| said != card.process) {
        eprintln!("note: {} was trained for another process than [process]", source.name);
    }
    Ok(())
}

/// A run at step 0, and what its weights are to say of themselves.
pub fn start(config: &RunConfig, device: Device) -> Result<(Trainer, Card)> {
    let shape = config.model.image_shape();
    let load = |data: &crate::config::DataConfig| -> Result<Loaded> {
        let loaded = data.load(shape[0])?;
        for error in &loaded.skipped {
            eprintln!("left out: {error}");
        }
        Ok(loaded)
    };
    let Fitted { data, used, contexts, classes } = fit(config, load(&config.data)?)?;
    let names = if contexts.is_empty() { classes.names.clone() } else { contexts.clone() };
    let validation = config.validation.as_ref().map(|validation| -> Result<_> {
        let fitted = fit(config, load(validation)?).context("[validation]")?;
        let theirs = if contexts.is_empty() { fitted.classes.names } else { fitted.contexts };
        ensure!(
            names.is_empty() || theirs.is_empty() || names == theirs,
            "[validation] has the classes {}, [data] has {}: expected the same",
            theirs.join(", "),
            names.join(", ")
        );
        Ok(fitted.data)
    });
    let validation = validation.transpose()?;
    let card =
        Card { model: config.model.clone(), process: config.process.clone(), contexts, classes };
    manual_seed(config.train.seed as i64);
    let parts = Parts {
        network: config.model.build(config.train.precision.torso(), device)?,
        average: config.model.build_uninitialized(Kind::Float, device)?,
        process: Process::new(&config.process, device)?,
        image: shape.map(|axis| axis as usize),
        data,
        labels: used,
        names,
        validation,
    };
    Ok((Trainer::new(parts, config.train.clone())?, card))
}
