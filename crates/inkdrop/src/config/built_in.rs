//! The configs that are compiled into the binary.

/// A config and what it is for.
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// The whole file, as TOML.
    pub text: &'static str,
}

macro_rules! built_in {
    ($name:literal) => {
        BuiltIn { name: $name, text: include_str!(concat!("../../assets/", $name, ".toml")) }
    };
}

/// All of them.
pub const BUILT_IN: [BuiltIn; 6] = [
    built_in!("sprites"),
    built_in!("sprites-classes"),
    built_in!("digits"),
    built_in!("folder"),
    built_in!("cifar10-ddpm"),
    built_in!("cifar10-improved"),
];

impl BuiltIn {
    /// What it is for: its first line.
    pub fn about(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }
}
