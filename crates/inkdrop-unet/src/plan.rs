//! What a network will be, before any tensor exists.

/// The stages of a network in the order of the data, with shapes and parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    stages: Vec<Stage>,
}

/// One named part of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The first part of its parameters' names, e.g. `down1`.
    pub name: &'static str,
    /// Shape of its output for one image: [C, H, W].
    pub output: [i64; 3],
    /// How many trained numbers it has.
    pub parameters: i64,
}

impl Plan {
    pub(crate) fn new(stages: Vec<Stage>) -> Self {
        Self { stages }
    }

    /// The stages in the order of the data.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// How many numbers an optimiser changes.
    pub fn parameters(&self) -> i64 {
        self.stages.iter().map(|stage| stage.parameters).sum()
    }
}
