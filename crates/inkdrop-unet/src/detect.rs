//! Detection of an architecture from the names and shapes of a state_dict.

use std::collections::BTreeMap;

use crate::{
    ContextConfig, DdpmConfig, DitConfig, Edm2Config, EdmConfig, ImprovedConfig, LucidConfig,
    ModelConfig, Unet2dConfig,
};

/// Names and shapes of a state_dict.
#[derive(Debug, Clone, Default)]
pub struct Shapes(BTreeMap<String, Vec<i64>>);

/// An architecture that was detected from names and shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectedArchitecture {
    /// The config. Undetermined fields have the usual values of the published networks.
    pub config: ModelConfig,
    /// The fields that names and shapes do not determine.
    pub undetermined: Vec<UndeterminedField>,
}

/// A field of the config that names and shapes do not determine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndeterminedField {
    /// The field.
    pub field: &'static str,
    /// Its default value in the detected config.
    pub value: String,
}

/// Error of detection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// No family has such keys.
    #[error("its keys are those of no known family")]
    Unknown,
    /// The keys are those of a network that is known and not supported.
    #[error("its keys are those of {0}, which is not supported")]
    Unsupported(&'static str),
    /// The keys belong to several families.
    #[error("it mixes the keys of several families ({}): expected those of one", .0.join(", "))]
    Mixed(Vec<&'static str>),
    /// The keys belong to a family, but the shapes are not consistent.
    #[error("it has keys of family {0}, but their shapes make no network of it")]
    Misfit(&'static str),
}

/// The families that can be detected.
pub const FAMILIES: [&str; 8] =
    ["context", "ddpm", "dit", "edm", "edm2", "improved", "unet2d", "lucid"];

/// Networks that are not supported, and parts of keys that they have: all of one entry.
const UNSUPPORTED: [(&str, &[&str]); 9] = [
    ("score_sde's network (Song et al. 2021)", &["all_modules."]),
    ("U-ViT, a diffusion transformer", &["in_blocks.0.", "out_blocks.0."]),
    ("a text-conditional U-Net of latents (Stable Diffusion)", &["attn2.to_k."]),
    ("a transformer of diffusers", &["transformer_blocks.0."]),
    ("an autoencoder of latents", &["decoder.conv_in.", "encoder.conv_in."]),
    ("the U-Net of Ho et al. 2020 in pytorch_diffusion", &["down.0.block.0.", "up.0.block.0."]),
    ("DDPM of w86763777 (pytorch-ddpm)", &["downblocks.0.block1.", "upblocks.0.block1."]),
    ("consistency models' or k-diffusion's wrapper", &["inner_model."]),
    ("imagen-pytorch's U-Net", &["to_time_hiddens."]),
];

/// Prefixes of keys that only one family has, or one whose prefixes continue another one's.
const MARKS: [(&str, &[&str]); 8] = [
    ("context", &["contextembed1.", "timeembed1."]),
    ("ddpm", &["downs.", "ups."]),
    // Its keys begin like nanodiffusion's, which has no lists of layers below `downs.`.
    ("lucid", &["downs.0.0.", "ups.0.0."]),
    ("dit", &["x_embedder.", "final_layer."]),
    ("edm", &["map_layer0."]),
    ("edm2", &["emb_fourier.", "logvar_fourier."]),
    ("improved", &["input_blocks.", "output_blocks."]),
    ("unet2d", &["down_blocks.", "up_blocks."]),
];

impl<K: Into<String>> FromIterator<(K, Vec<i64>)> for Shapes {
    fn from_iter<I: IntoIterator<Item = (K, Vec<i64>)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, shape)| (key.into(), shape)).collect())
    }
}

impl Shapes {
    /// True if this key exists.
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

    /// True if any key has this prefix.
    pub(crate) fn any(&self, prefix: &str) -> bool {
        let mut from = self.0.range(prefix.to_string()..);
        from.next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// One more than the highest number n in keys of the form `prefix` n `.`; implausibly large
    /// numbers are ignored.
    pub(crate) fn count(&self, prefix: &str) -> i64 {
        let from = self.0.range(prefix.to_string()..);
        let below = from.map_while(|(key, _)| key.strip_prefix(prefix));
        let number = |rest: &str| rest.split('.').next()?.parse::<i64>().ok();
        let numbers = below.filter_map(number).filter(|n| (0..4096).contains(n));
        numbers.max().map_or(0, |highest| highest + 1)
    }

    /// The largest n in keys of the form `prefix` n `x` n `suffix`: EDM's names with the side of a level.
    pub(crate) fn first_side(&self, prefix: &str, suffix: &str) -> Option<i64> {
        let from = self.0.range(prefix.to_string()..);
        let below = from.map_while(|(key, _)| key.strip_prefix(prefix));
        let side = |key: &str| key.strip_suffix(suffix)?.split_once('x')?.0.parse::<i64>().ok();
        below.filter_map(side).max()
    }

    /// Number of consecutive keys `key(0)`, `key(1)`, … that exist.
    pub(crate) fn run(&self, key: impl Fn(i64) -> String) -> i64 {
        (0..).take_while(|&n| self.has(&key(n))).count() as i64
    }
}

impl UndeterminedField {
    pub(crate) fn new(field: &'static str, value: impl std::fmt::Display) -> Self {
        Self { field, value: value.to_string() }
    }
}

/// 32 groups as in the published networks, or the largest power of 2 that divides the channels.
pub(crate) fn usual_groups(channels: &[i64]) -> i64 {
    let divides = |groups: &i64| channels.iter().all(|channels| channels % groups == 0);
    [32, 16, 8, 4, 2].into_iter().find(divides).unwrap_or(1)
}

impl ModelConfig {
    /// Detects the architecture of a state_dict from its names and shapes.
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
    /// let undetermined: Vec<&str> = detected.undetermined.iter().map(|entry| entry.field).collect();
    /// assert_eq!(undetermined, ["size", "heads"]); // no shape depends on these
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Keys of no family, of several, or of a network that is not supported, or inconsistent shapes.
    pub fn detect(shapes: &Shapes) -> Result<DetectedArchitecture, DetectError> {
        let part = |part: &&str| shapes.0.keys().any(|key| key.contains(part));
        let unsupported = UNSUPPORTED.iter().find(|(_, parts)| parts.iter().all(&part));
        if let Some((name, _)) = unsupported {
            return Err(DetectError::Unsupported(name));
        }
        let marked = |(_, marks): &&(&str, &[&str])| marks.iter().any(|mark| shapes.any(mark));
        let found: Vec<_> = MARKS.iter().filter(marked).collect();
        // A family whose marks are the beginnings of another one's is not meant.
        let continued = |(family, marks): &(&str, &[&str])| {
            let longer = |other: &&str| marks.iter().any(|mark| other.starts_with(mark));
            found.iter().any(|(other, marks)| other != family && marks.iter().any(longer))
        };
        let families: Vec<&str> =
            found.iter().filter(|entry| !continued(entry)).map(|(family, _)| *family).collect();
        let family = match families[..] {
            [] => return Err(DetectError::Unknown),
            [family] => family,
            _ => return Err(DetectError::Mixed(families)),
        };
        let detected = match family {
            "context" => ContextConfig::detect(shapes),
            "ddpm" => DdpmConfig::detect(shapes),
            "dit" => DitConfig::detect(shapes),
            "edm" => EdmConfig::detect(shapes),
            "edm2" => Edm2Config::detect(shapes),
            "improved" => ImprovedConfig::detect(shapes),
            "lucid" => LucidConfig::detect(shapes),
            _ => Unet2dConfig::detect(shapes),
        };
        let sound = detected.filter(|detected| detected.config.check().is_ok());
        sound.ok_or(DetectError::Misfit(family))
    }
}
