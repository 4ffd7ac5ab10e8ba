//! What a checkpoint without metadata does not say.

/// Network and process of a checkpoint without metadata.
#[derive(Debug, Clone, Default)]
pub struct ModelOverrides {
    /// Name of the network in a file with several, such as `model` or `ema_model`.
    pub part: Option<String>,
    /// Network config: a preset, or a .toml or .json file with the keys of inkdrop or of the PyTorch
    /// program.
    pub config: Option<String>,
    /// Network config as MODEL_FLAGS of improved-diffusion or guided-diffusion.
    pub flags: Option<String>,
    /// Single fields of the network config, such as `heads=4`.
    pub settings: Vec<String>,
    /// Accepts default values for fields that shapes do not determine.
    pub assume: bool,
    /// Diffusion process; see [`processes::parse`](crate::model::processes::parse).
    pub process: Option<String>,
}

impl ModelOverrides {
    /// True if the options define the network.
    pub fn set_network(&self) -> bool {
        self.config.is_some() || self.flags.is_some() || !self.settings.is_empty()
    }
}
