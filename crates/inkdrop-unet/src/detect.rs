//! Which network a set of keys and shapes belongs to.

use std::collections::BTreeMap;

use crate::{ContextConfig, DdpmConfig, ImprovedConfig, ModelConfig, Unet2dConfig};

/// Names and shapes of a state_dict.
#[derive(Debug, Clone, Default)]
pub struct Shapes(BTreeMap<String, Vec<i64>>);

/// A network that was recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectedArchitecture {
    /// The network; the undetermined fields have the originals' usual values.
    pub config: ModelConfig,
    /// What keys and shapes cannot tell.
    pub undetermined: Vec<UndeterminedField>,
}

/// A field that keys and shapes cannot tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndeterminedField {
    /// The config's field.
    pub field: &'static str,
    /// The value that it was given.
    pub value: String,
}

/// Why no network was recognised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// The keys are those of no known family.
    #[error("its keys are those of no known family")]
    Unknown,
    /// The keys are those of several families.
    #[error("it mixes the keys of several families ({}): expected those of one", .0.join(", "))]
    Mixed(Vec<&'static str>),
    /// The keys are those of a family, but the sizes make no network.
    #[error("it has keys of family {0}, but their shapes make no network of it")]
    Misfit(&'static str),
}

/// Beginnings of keys that only one family has.
const MARKS: [(&str, &[&str]); 4] = [
    ("context", &["contextembed1.", "timeembed1."]),
    ("ddpm", &["downs.", "ups."]),
    ("improved", &["input_blocks.", "output_blocks."]),
    ("unet2d", &["down_blocks.", "up_blocks."]),
];

impl<K: Into<String>> FromIterator<(K, Vec<i64>)> for Shapes {
    fn from_iter<I: IntoIterator<Item = (K, Vec<i64>)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, shape)| (key.into(), shape)).collect())
    }
}

impl Shapes {
    /// Whether there is such a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Length of an axis.
    pub(crate) fn axis(&self, key: &str, axis: usize) -> Option<i64> {
        self.0.get(key)?.get(axis).copied()
    }

    /// Number of axes.
    pub(crate) fn axes(&self, key: &str) -> Option<usize> {
        Some(self.0.get(key)?.len())
    }

    /// Whether any key begins so.
    pub(crate) fn any(&self, prefix: &str) -> bool {
        let mut from = self.0.range(prefix.to_string()..);
        from.next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// One more than the highest number n of a key that begins `prefix` n `.`; a number
    /// beyond any network's is passed over.
    pub(crate) fn count(&self, prefix: &str) -> i64 {
        let from = self.0.range(prefix.to_string()..);
        let below = from.map_while(|(key, _)| key.strip_prefix(prefix));
        let number = |rest: &str| rest.split('.').next()?.parse::<i64>().ok();
        let numbers = below.filter_map(number).filter(|n| (0..4096).contains(n));
        numbers.max().map_or(0, |highest| highest + 1)
    }

    /// How often in a row `key(0)`, `key(1)`, … is there.
    pub(crate) fn run(&self, key: impl Fn(i64) -> String) -> i64 {
        (0..).take_while(|&n| self.has(&key(n))).count() as i64
    }
}

impl UndeterminedField {
    pub(crate) fn new(field: &'static str, value: impl std::fmt::Display) -> Self {
        Self { field, value: value.to_string() }
    }
}

/// The originals' 32 groups, or as many of them as divide the channels.
pub(crate) fn usual_groups(channels: &[i64]) -> i64 {
    let divides = |groups: &i64| channels.iter().all(|channels| channels % groups == 0);
    [32, 16, 8, 4, 2].into_iter().find(divides).unwrap_or(1)
}

impl ModelConfig {
    /// The network of a state_dict's keys and shapes.
    ///
    /// ```
    /// use inkdrop_torch::tch::{Device, Kind};
    /// use inkdrop_unet::{ImprovedConfig, ModelConfig, Shapes};
    ///
    /// let config = ImprovedConfig { features: 32, ..ImprovedConfig::cifar10() };
    /// let network = ModelConfig::Improved(config).build(Kind::Float, Device::Cpu)?;
    /// let params = network.params().iter();
    /// let shapes: Shapes = params.map(|param| (&*param.name, param.tensor.size())).collect();
    /// let detected = ModelConfig::detect(&shapes)?;
    /// let undetermined: Vec<&str> = detected.undetermined.iter().map(|undetermined| undetermined.field).collect();
    /// assert_eq!(undetermined, ["size", "heads"]); // no shape depends on these
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Keys of no family or of several, or shapes that make no network.
    pub fn detect(shapes: &Shapes) -> Result<DetectedArchitecture, DetectError> {
        let marked = |(_, marks): &&(&str, &[&str])| marks.iter().any(|mark| shapes.any(mark));
        let families: Vec<&str> = MARKS.iter().filter(marked).map(|(family, _)| *family).collect();
        let family = match families[..] {
            [] => return Err(DetectError::Unknown),
            [family] => family,
            _ => return Err(DetectError::Mixed(families)),
        };
        let detected = match family {
            "context" => ContextConfig::detect(shapes),
            "ddpm" => DdpmConfig::detect(shapes),
            "improved" => ImprovedConfig::detect(shapes),
            _ => Unet2dConfig::detect(shapes),
        };
        let sound = detected.filter(|detected| detected.config.check().is_ok());
        sound.ok_or(DetectError::Misfit(family))
    }
}
