//! What a user says about a file that does not say it itself.

use anyhow::{Result, bail};
use inkdrop_process::ProcessConfig;

use crate::describe::{Described, Origin};
use crate::source::Source;
use crate::{describe, processes, scheduler};

/// What a user says about a file that does not say it itself.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "For files that do not explain themselves")]
pub struct Foreign {
    /// Which network of a file that holds several, such as model or ema_model
    #[arg(long, value_name = "NAME")]
    pub part: Option<String>,
    /// The network: a preset, or a .toml or .json file in our names or in the original's
    #[arg(long, value_name = "PRESET|FILE")]
    pub config: Option<String>,
    /// The network as MODEL_FLAGS of the improved-diffusion and guided-diffusion scripts
    #[arg(long, value_name = "\"--image_size 32 …\"", allow_hyphen_values = true)]
    pub flags: Option<String>,
    /// One field of the network's config, such as heads=4; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Take the usual values for what shapes cannot tell
    #[arg(long)]
    pub assume: bool,
    /// The process: sprites, ddpm, linear:STEPS or cosine:STEPS, each with :rescaled where
    /// the network was trained with rescale_timesteps
    #[arg(long, value_name = "NAME")]
    pub process: Option<String>,
}

impl Foreign {
    /// Whether the user says anything about the network.
    pub fn describes(&self) -> bool {
        self.config.is_some() || self.flags.is_some() || !self.settings.is_empty()
    }

    /// The network, with what is still unknown about it.
    pub fn describe(&self, source: &Source) -> Result<Described> {
        let weights = source.part(self.part.as_deref())?;
        describe::describe(source, weights, self)
    }

    /// The process that a file says, or that the user says where the file is silent.
    ///
    /// - origin: how the network is known, if it is; a preset has a process of its own
    pub fn process(
        &self,
        source: &Source,
        origin: Option<&Origin>,
    ) -> Result<Option<ProcessConfig>> {
        let named = self.process.as_deref().map(processes::parse).transpose()?;
        let said = match (&source.scheduler, source.whole.metadata("process")?) {
            (_, Some(process)) => Some(process),
            (Some(scheduler), None) if named.is_none() => Some(scheduler::read(scheduler)?),
            _ => None,
        };
        match (said, named) {
            (Some(said), Some(named)) if said != named => bail!(
                "{} says that it was trained for another process than --process names; leave --process out",
                source.name
            ),
            (Some(process), _) | (None, Some(process)) => Ok(Some(process)),
            (None, None) => Ok(match origin {
                Some(Origin::Preset(name)) => processes::of_preset(name),
                _ => None,
            }),
        }
    }
}
