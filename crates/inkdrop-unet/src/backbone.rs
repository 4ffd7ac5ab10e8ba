//! What the U-Nets of Ho et al. 2020 and its descendants have in common: a path
//! down that leaves skips, a middle, a path up that takes them, and a head.
//!
//! A family lays its network out as a [`Layout`]; here it is checked and built.

mod body;
mod check;
mod inputs;

pub(crate) use body::Body;
pub use body::Features;
pub(crate) use inputs::Expected;

use inkdrop_nn::{Activation, ConvConfig, LayerConfig, NormConfig};

/// A network before any tensor exists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// Axes of the image: 1, 2 or 3.
    pub dims: usize,
    /// The layers that read the sinusoids of the time.
    pub time: Option<MlpLayout>,
    /// The layers that read the class, added to the time embedding.
    pub classes: Option<ClassLayout>,
    /// The path down; each stage leaves a skip.
    pub down: Vec<StageLayout>,
    /// Between the paths.
    pub middle: Vec<StageLayout>,
    /// The path up.
    pub up: Vec<StageLayout>,
    /// The last layers.
    pub head: HeadLayout,
    /// The original draws its first convolution before the time embedding.
    pub first_conv_first: bool,
}

/// Linear · SiLU · Linear.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MlpLayout {
    /// Where the two layers lie.
    pub scope: &'static str,
    /// Their names there.
    pub keys: [&'static str; 2],
    /// Width in, between, out.
    pub widths: [i64; 3],
}

/// How a class becomes an embedding.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClassLayout {
    /// A table of vectors.
    Table { key: &'static str, rows: i64, width: i64 },
    /// As a time: sinusoids and two layers.
    Sinusoids(MlpLayout),
}

/// Layers between two skips.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StageLayout {
    /// For people: where it lies among the names.
    pub name: String,
    /// Each with its full name.
    pub layers: Vec<(String, LayerConfig)>,
    /// Whether the newest skip is joined to its input.
    pub takes_skip: bool,
}

/// Norm · activation · convolution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeadLayout {
    /// Name of the norm.
    pub norm_key: &'static str,
    /// The norm, over the convolution's inputs.
    pub norm: NormConfig,
    /// Between norm and convolution.
    pub activation: Activation,
    /// Name of the convolution.
    pub conv_key: &'static str,
    /// The convolution.
    pub conv: ConvConfig,
    /// It starts at 0.
    pub zero: bool,
}

impl StageLayout {
    /// A stage on the path down, or in the middle.
    pub fn plain(name: impl Into<String>, layers: Vec<(String, LayerConfig)>) -> Self {
        Self { name: name.into(), layers, takes_skip: false }
    }

    /// A stage on the path up that takes a skip.
    pub fn joined(name: impl Into<String>, layers: Vec<(String, LayerConfig)>) -> Self {
        Self { takes_skip: true, ..Self::plain(name, layers) }
    }
}

impl Layout {
    /// All stages in the order of the data.
    pub fn stages(&self) -> impl Iterator<Item = &StageLayout> {
        self.down.iter().chain(&self.middle).chain(&self.up)
    }

    /// Height and width must be multiples of this: 2 for each halving.
    pub fn multiple(&self) -> i64 {
        let halves = |layer: &&(String, LayerConfig)| match &layer.1 {
            LayerConfig::Down(_) => true,
            LayerConfig::Res(config) => config.resample == inkdrop_nn::Resample::Halve,
            _ => false,
        };
        let layers = self.down.iter().flat_map(|stage| &stage.layers);
        1 << layers.filter(halves).count().min(62)
    }
}
