//! What a user says about a file that does not say it itself.

/// Where these options stand in a command's help; a heading of the whole would spread to those
/// that follow.
const HEADING: &str = "For files that do not explain themselves";

/// What a user says about a file that does not say it itself.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModelOverrides {
    /// Which network of a file that holds several, such as model or ema_model
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    pub part: Option<String>,
    /// The network: a preset, or a .toml or .json file in our names or in the original's
    #[arg(long, help_heading = HEADING, value_name = "PRESET|FILE")]
    pub config: Option<String>,
    /// The network as MODEL_FLAGS of the improved-diffusion and guided-diffusion scripts
    #[arg(long, help_heading = HEADING, value_name = "\"--image_size 32 …\"", allow_hyphen_values = true)]
    pub flags: Option<String>,
    /// One field of the network's config, such as heads=4; may be given more than once
    #[arg(long = "set", help_heading = HEADING, value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Take the usual values for what shapes cannot tell
    #[arg(long, help_heading = HEADING)]
    pub assume: bool,
    /// The process: sprites, ddpm, or linear, cosine, scaled-linear or sigmoid with any of
    /// STEPS, rescaled (the network was trained with rescale_timesteps), unclipped, zero-snr,
    /// start-x, previous-x, v, fixed-small, learned and learned-range behind colons; or a .toml
    /// or .json file
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    pub process: Option<String>,
}

impl ModelOverrides {
    /// Whether the user says anything about the network.
    pub fn describes(&self) -> bool {
        self.config.is_some() || self.flags.is_some() || !self.settings.is_empty()
    }
}
