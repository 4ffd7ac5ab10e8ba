//! The models that are compiled into the library.

use inkdrop_checkpoint::StateDict;

use crate::Result;

/// A model that is compiled into the library.
#[derive(Debug, Clone, Copy)]
pub struct BuiltInModel {
    /// The name under which it is opened.
    pub name: &'static str,
    /// A safetensors file.
    pub bytes: &'static [u8],
}

/// All built-in models; none without the feature `models`.
pub static BUILT_IN_MODELS: &[BuiltInModel] = &[
    #[cfg(feature = "models")]
    BuiltInModel { name: "sprites", bytes: include_bytes!("../../assets/sprites.safetensors") },
    #[cfg(feature = "models")]
    BuiltInModel {
        name: "sprites-fast",
        bytes: include_bytes!("../../assets/sprites-fast.safetensors"),
    },
    #[cfg(feature = "models")]
    BuiltInModel { name: "fashion", bytes: include_bytes!("../../assets/fashion.safetensors") },
];

impl BuiltInModel {
    /// The model of a name.
    pub fn find(name: &str) -> Option<&'static Self> {
        BUILT_IN_MODELS.iter().find(|model| model.name == name)
    }

    /// The names of all built-in models, for messages.
    pub(crate) fn names() -> String {
        match BUILT_IN_MODELS {
            [] => "none; the feature `models` has them".to_string(),
            models => models.iter().map(|model| model.name).collect::<Vec<_>>().join(", "),
        }
    }

    /// The whole file.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn open(&self) -> Result<StateDict> {
        Ok(StateDict::from_bytes(self.bytes, self.name)?)
    }
}
