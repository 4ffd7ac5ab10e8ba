//! Which network and process weights belong to, and how that is known.

use std::fmt;

use anyhow::{Context, Result, anyhow, bail, ensure};
use inkdrop_checkpoint::Weights;
use inkdrop_process::ProcessConfig;
use inkdrop_unet::{ImageSize, ModelConfig, Shapes, UndeterminedField};
use serde_json::Value;

use crate::model::foreign::Foreign;
use crate::model::source::Source;
use crate::model::spec::{self, Spec};
use crate::model::{processes, scheduler};

/// The network of a file.
pub struct Described {
    /// The weights of one network, without wrappers.
    pub weights: Weights,
    /// The network.
    pub config: ModelConfig,
    /// How it is known.
    pub origin: Origin,
    /// What nobody said and shapes cannot tell.
    pub assumed: Vec<UndeterminedField>,
}

/// How a network is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The file's metadata.
    Metadata,
    /// A diffusers folder's config.json.
    ConfigJson,
    /// The user named a preset.
    Preset(String),
    /// The user gave a config or flags.
    User,
    /// Keys and shapes.
    Keys,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "the file's metadata",
            Self::ConfigJson => "config.json",
            Self::Preset(name) => return write!(f, "preset {name}"),
            Self::User => "the command line",
            Self::Keys => "keys and shapes",
        })
    }
}

/// The network of one part of a source: what the file says, or what the user says where
/// the file is silent, or what keys and shapes tell.
pub fn describe(source: &Source, foreign: &Foreign) -> Result<Described> {
    let weights = source.part(foreign.part.as_deref())?;
    let (config, origin, mut assumed) = found(source, &weights, foreign)?;
    let mut config = config;
    for setting in &foreign.settings {
        ensure!(
            origin != Origin::Metadata,
            "{} says itself what network it is; leave --set out",
            source.name
        );
        let field;
        (config, field) = spec::set(&config, setting)?;
        // Channels of a head say how many heads there are.
        let heads = field == "head_channels" && !setting.ends_with("=none");
        assumed.retain(|assumed| assumed.field != field && !(heads && assumed.field == "heads"));
    }
    config.check().with_context(|| source.name.clone())?;
    Ok(Described { weights, config, origin, assumed })
}

/// The process that a file says, or that the user says where the file is silent.
///
/// - known: the network, if it is known; a preset has a process of its own, and outputs of twice
///   the channels are a learned variance
pub fn process(
    source: &Source,
    foreign: &Foreign,
    known: Option<&Described>,
) -> Result<Option<ProcessConfig>> {
    let fit = |process| match known {
        Some(known) => processes::fit(process, &known.config),
        None => process,
    };
    let named = match (&foreign.process, &foreign.flags) {
        (Some(text), _) => Some(processes::parse(text)?),
        (None, Some(flags)) => processes::of_flags(flags)?,
        (None, None) => None,
    };
    let said = match (&source.scheduler, source.whole.metadata("process")?) {
        (_, Some(process)) => Some(process),
        (Some(scheduler), None) if named.is_none() => Some(scheduler::read(scheduler)?),
        _ => None,
    };
    match (said.map(fit), named.map(fit)) {
        (Some(said), Some(named)) if said != named => bail!(
            "{} says that it was trained for another process than --process or --flags name; leave them out",
            source.name
        ),
        (Some(process), _) | (None, Some(process)) => Ok(Some(process)),
        (None, None) => Ok(match known.map(|known| &known.origin) {
            Some(Origin::Preset(name)) => processes::of_preset(name).map(fit),
            _ => None,
        }),
    }
}

/// A network, how it is known, and what was assumed.
type Found = (ModelConfig, Origin, Vec<UndeterminedField>);

fn found(source: &Source, weights: &Weights, foreign: &Foreign) -> Result<Found> {
    let given = given(foreign)?;
    let said = said(source, weights)?;
    match (said, given) {
        (Some((said, ..)), Some((given, ..))) if said != given => bail!(
            "{} says that it is another network than --config or --flags name; leave them out",
            source.name
        ),
        (Some(said), _) => Ok(said),
        (None, Some(given)) => Ok(given),
        (None, None) => {
            let detected = ModelConfig::detect(&shapes(weights)).map_err(|error| {
                anyhow!("{} does not say what network it is, and {error}", source.name)
            })?;
            Ok((detected.config, Origin::Keys, detected.undetermined))
        }
    }
}

/// What the file or the folder says.
fn said(source: &Source, weights: &Weights) -> Result<Option<Found>> {
    if let Some(config) = weights.metadata("model")? {
        return Ok(Some((config, Origin::Metadata, Vec::new())));
    }
    let Some(json) = &source.config else { return Ok(None) };
    let size = ImageSize::square(32);
    let config = spec::original("unet2d", json.clone(), size)
        .with_context(|| format!("{}: config.json", source.name))?;
    let sizeless = json.get("sample_size").is_none_or(Value::is_null);
    Ok(Some((config, Origin::ConfigJson, unsized_field(!sizeless, size))))
}

/// The size as an assumption, where nobody said it.
fn unsized_field(sized: bool, size: impl fmt::Display) -> Vec<UndeterminedField> {
    let field = || UndeterminedField { field: "size", value: size.to_string() };
    (!sized).then(field).into_iter().collect()
}

/// What the user says.
fn given(foreign: &Foreign) -> Result<Option<Found>> {
    match (&foreign.config, &foreign.flags) {
        (Some(_), Some(_)) => bail!("--config and --flags both say what network it is: give one"),
        (Some(text), None) => {
            let Spec { config, preset, sized } = spec::parse(text)?;
            let [_, height, width] = config.image_shape();
            let assumed = unsized_field(sized, ImageSize { height, width });
            let origin = if preset { Origin::Preset(text.clone()) } else { Origin::User };
            Ok(Some((config, origin, assumed)))
        }
        (None, Some(flags)) => Ok(Some((spec::flags(flags)?, Origin::User, Vec::new()))),
        (None, None) => Ok(None),
    }
}

/// Keys and shapes.
pub fn shapes(weights: &Weights) -> Shapes {
    weights.iter().map(|(key, tensor)| (key, tensor.size())).collect()
}

impl Described {
    /// Refuses what is only assumed, naming the flags that would settle it.
    pub fn settled(&self, source: &str, assume: bool) -> Result<()> {
        if assume || self.assumed.is_empty() {
            return Ok(());
        }
        bail!("{source} is a network of family {}, but {}", self.config.family(), self.unsettled())
    }

    /// What is only assumed, and the flags that would settle it.
    pub fn unsettled(&self) -> String {
        let settings: Vec<String> =
            self.assumed.iter().map(|a| format!("--set {}={}", a.field, a.value)).collect();
        format!(
            "its shapes cannot tell {}: give them, such as {}, or a whole --config PRESET|FILE; --assume takes these values as they stand",
            self.assumed.iter().map(|a| a.field).collect::<Vec<_>>().join(", "),
            settings.join(" ")
        )
    }

    /// The assumptions in words.
    pub fn assumptions(&self) -> Vec<String> {
        self.assumed.iter().map(|a| format!("{}={}", a.field, a.value)).collect()
    }

    /// As JSON: fields and values.
    pub fn assumptions_json(&self) -> Value {
        self.assumed.iter().map(|a| (a.field.to_string(), Value::from(a.value.clone()))).collect()
    }
}
