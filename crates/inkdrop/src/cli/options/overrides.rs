//! Options for checkpoints without metadata.

use inkdrop::model::ModelOverrides;

/// Heading of these options in the help. It is set per option, since a heading of the group would also
/// apply to the options after it.
const HEADING: &str = "Checkpoints without metadata";

/// Network and process of a checkpoint without metadata.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OverrideArgs {
    /// Network in a file with several, such as model or ema_model
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    pub part: Option<String>,
    /// Network config: a preset, or a .toml or .json file with the keys of inkdrop or of the PyTorch
    /// program
    #[arg(long, help_heading = HEADING, value_name = "PRESET|FILE")]
    pub config: Option<String>,
    /// Network config as MODEL_FLAGS of improved-diffusion or guided-diffusion
    #[arg(long, help_heading = HEADING, value_name = "\"--image_size 32 …\"", allow_hyphen_values = true)]
    pub flags: Option<String>,
    /// Set one field of the network config, such as heads=4; repeatable
    #[arg(long = "set", help_heading = HEADING, value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Accept default values for fields that shapes do not determine
    #[arg(long, help_heading = HEADING)]
    pub assume: bool,
    /// Diffusion process: sprites, ddpm, or a noise schedule (linear, cosine, scaled-linear, sigmoid,
    /// lucid) with options after colons: STEPS, rescaled (rescale_timesteps), unclipped, zero-snr,
    /// epsilon, sample, posterior-mean, velocity, fixed-small, learned, learned-range; continuous noise
    /// levels: edm, flow, flow-sample, jit, mean-flow, trig-flow, consistency, vp, ve or iddpm; or a
    /// .toml or .json file
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    pub process: Option<String>,
}

impl OverrideArgs {
    /// The options, as the library takes them.
    pub fn overrides(&self) -> ModelOverrides {
        let Self { part, config, flags, settings, assume, process } = self.clone();
        ModelOverrides { part, config, flags, settings, assume, process }
    }
}
