//! Initial weights, EMA weights and optimizer state of a training run.

use std::str::FromStr;

use anyhow::{Result, anyhow};
use inkdrop::Init;
use inkdrop::train::EmaDecay;

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
    /// State of torch.optim.Adam or AdamW, such as opt500000.pt, or a training checkpoint with it; needs a torch.save file as --init,
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
    /// The options, as the library takes them.
    pub fn init(&self) -> Init {
        let ema = self.init_ema.iter().map(|InitEma { decay, file }| (*decay, file.clone()));
        Init {
            weights: self.init.clone(),
            part: self.init_part.clone(),
            draw_shortcut: self.init_draw_shortcut,
            ema: ema.collect(),
            ema_part: self.init_ema_part.clone(),
            optimizer: self.init_optimizer.clone(),
            step: self.init_step,
        }
    }
}
