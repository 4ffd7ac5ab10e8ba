//! A run at step 0, from nothing or from weights of somebody else.

use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use inkdrop_process::Process;
use inkdrop_torch::tch::{Device, Kind, manual_seed};
use inkdrop_train::{EmaRule, Parts, Trainer};

use crate::config::{Fitted, Loaded, RunConfig, fit};
use crate::model::card::Card;
use crate::model::source::Source;

/// Weights to begin with.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Begin with these weights: a file of any format, a diffusers folder, or a built-in model
    #[arg(long, value_name = "MODEL", conflicts_with = "resume", help_heading = "Begin with")]
    init: Option<String>,
    /// Which network of a --init file that holds several, such as model or ema_model
    #[arg(long, value_name = "NAME", requires = "init", help_heading = "Begin with")]
    init_part: Option<String>,
    /// The average of a rule of train.ema, such as 0.9999=ema_0.9999_500000.pt; repeatable
    #[arg(long, value_name = "RULE=FILE", conflicts_with = "resume", help_heading = "Begin with")]
    init_ema: Vec<Average>,
    /// The state of torch.optim.Adam or AdamW, such as opt500000.pt; numbered in the order of
    /// the --init file, which has to be of torch.save, too
    #[arg(long, value_name = "FILE", requires = "init", help_heading = "Begin with")]
    init_optimizer: Option<String>,
    /// Count the steps from here, for the learning rate and the order of the images
    #[arg(long, value_name = "N", conflicts_with = "resume", help_heading = "Begin with")]
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
    /// Takes over the weights that were named.
    pub fn apply(&self, trainer: &mut Trainer) -> Result<()> {
        let mut order = Vec::new();
        if let Some(name) = &self.init {
            let weights = Source::open(name)?.part(self.init_part.as_deref())?;
            order = weights.order().to_vec();
            trainer
                .start_from(&weights)
                .with_context(|| format!("--init {name}: these are not the weights of [model]"))?;
        }
        for Average { rule, file } in &self.init_ema {
            let weights = Source::open(file)?.part(None)?;
            trainer
                .start_average_from(*rule, &weights)
                .with_context(|| format!("--init-ema {rule}={file}"))?;
        }
        if let Some(step) = self.init_step {
            trainer.start_at(step).context("--init-step")?;
        }
        if let Some(file) = &self.init_optimizer {
            let state = Source::open(file)?.whole;
            trainer
                .start_optimizer_from(&state, &order)
                .with_context(|| format!("--init-optimizer {file}"))?;
        }
        Ok(())
    }
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
    let validation = config.validation.as_ref().map(|validation| -> Result<_> {
        let fitted = fit(config, load(validation)?).context("[validation]")?;
        Ok(fitted.data)
    });
    let card =
        Card { model: config.model.clone(), process: config.process.clone(), contexts, classes };
    manual_seed(config.train.seed as i64);
    let parts = Parts {
        network: config.model.build(config.train.precision.torso(), device)?,
        average: config.model.build(Kind::Float, device)?,
        process: Process::new(&config.process, device)?,
        image: shape.map(|axis| axis as usize),
        data,
        labels: used,
        validation: validation.transpose()?,
    };
    Ok((Trainer::new(parts, config.train.clone())?, card))
}
