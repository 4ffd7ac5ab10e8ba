//! The network and the process of a checkpoint: from metadata, options, or keys and shapes.

use std::fmt;

use inkdrop_checkpoint::StateDict;
use inkdrop_process::{DiffusionConfig, ImageCondition};
use inkdrop_torch::tch::Tensor;
use inkdrop_unet::{ImageSize, ModelConfig, UndeterminedField};
use serde_json::Value;

use super::buffers;
use super::detect::{detect, unknown};
use super::snapshot::Snapshot;
use super::stored::stored_metadata;
use crate::Result;
use crate::error::{Context, bail, ensure};
use crate::model::spec::{self, ModelSpec};
use crate::model::{ModelOverrides, Source};
use crate::model::{processes, scheduler};

/// The network of a checkpoint.
pub struct ResolvedModel {
    /// The weights of one network, without key prefixes of wrappers.
    pub weights: StateDict,
    /// The network, without the channels of its condition.
    pub config: ModelConfig,
    /// The image that the network is conditioned on.
    pub condition: Option<ImageCondition>,
    /// Where the config comes from.
    pub origin: ConfigSource,
    /// Fields that neither the file nor the user sets and shapes do not determine.
    pub undetermined: Vec<UndeterminedField>,
}

/// The source of a network config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// Metadata of the file.
    Metadata,
    /// config.json of a diffusers directory.
    ConfigJson,
    /// Arguments of the network in a snapshot of EDM or EDM2.
    Snapshot,
    /// A preset on the command line.
    Preset(String),
    /// A config or flags on the command line.
    User,
    /// Keys and shapes of the tensors.
    Keys,
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "the file's metadata",
            Self::ConfigJson => "config.json",
            Self::Snapshot => "the snapshot's arguments",
            Self::Preset(name) => return write!(f, "preset {name}"),
            Self::User => "the command line",
            Self::Keys => "keys and shapes",
        })
    }
}

/// Resolves the network of a source: from the file, else from the options, else from keys and shapes.
///
/// # Errors
/// The network is unknown, or the options contradict the file.
pub fn resolve(source: &Source, overrides: &ModelOverrides) -> Result<ResolvedModel> {
    let weights = source.part(overrides.part.as_deref())?;
    let (config, origin, mut undetermined) = network(source, &weights, overrides)?;
    let mut config = config;
    for setting in &overrides.settings {
        ensure!(
            origin != ConfigSource::Metadata,
            "{} contains its network config: leave --set out",
            source.name
        );
        let field;
        (config, field) = spec::set(&config, setting)?;
        // head_channels determines the number of heads.
        let heads = field == "head_channels" && !setting.ends_with("=none");
        undetermined.retain(|undetermined| {
            undetermined.field != field && !(heads && undetermined.field == "heads")
        });
    }
    config.check().with_context(|| &source.name)?;
    let weights = without_image_axes(weights, &config)?;
    let condition = stored_metadata(&weights, "condition")?;
    Ok(ResolvedModel { weights, config, condition, origin, undetermined })
}

/// The weights with the attention's projections over one axis, [C', C, 1]: openai/consistency_models has
/// them over the axes of the images, [C', C, 1, 1].
fn without_image_axes(mut weights: StateDict, config: &ModelConfig) -> Result<StateDict> {
    if !matches!(config, ModelConfig::Improved(_)) {
        return Ok(weights);
    }
    let projection = |key: &str| key.ends_with(".qkv.weight") || key.ends_with(".proj_out.weight");
    let wide: Vec<(String, Tensor)> = weights
        .iter()
        .filter(|(key, tensor)| projection(key) && tensor.size().get(2..) == Some(&[1, 1]))
        .map(|(key, tensor)| Ok((key.to_string(), tensor.f_squeeze_dim(3)?)))
        .collect::<Result<_>>()?;
    for (key, tensor) in wide {
        weights.insert(key, tensor);
    }
    Ok(weights)
}

/// Resolves the process of a source: from the file, else from the options, else from schedule buffers.
///
/// - known: the network, if known; a preset implies a process, and twice the output channels a learned
///   variance
///
/// # Errors
/// The options contradict the file, or the scheduler of a diffusers directory is not supported.
pub fn resolve_process(
    source: &Source,
    overrides: &ModelOverrides,
    known: Option<&ResolvedModel>,
) -> Result<Option<DiffusionConfig>> {
    let fit = |process| match known {
        Some(known) => processes::fit(process, &known.config),
        None => process,
    };
    let named = match (&overrides.process, &overrides.flags) {
        (Some(text), _) => Some(processes::parse(text)?),
        (None, Some(flags)) => processes::of_flags(flags)?.map(DiffusionConfig::from),
        (None, None) => None,
    };
    let stored = match (&source.scheduler, stored_metadata(&source.whole, "process")?) {
        (_, Some(process)) => Some(process),
        (Some(scheduler), None) if named.is_none() => Some(scheduler::read(scheduler)?),
        (None, None) if named.is_none() => match known {
            Some(known) => Snapshot::of(&known.weights)?
                .map(|snapshot| snapshot.process())
                .transpose()?
                .map(DiffusionConfig::from),
            None => None,
        },
        _ => None,
    };
    match (stored.map(fit), named.map(fit)) {
        (Some(stored), Some(named)) if stored != named => bail!(
            "{} contains another process than --process or --flags: leave them out",
            source.name
        ),
        (Some(process), _) | (None, Some(process)) => Ok(Some(process)),
        (None, None) => {
            let preset = match known.map(|known| &known.origin) {
                Some(ConfigSource::Preset(name)) => processes::of_preset(name),
                _ => None,
            };
            Ok(buffers::process(&source.whole, known.map(|known| &known.config))
                .map(DiffusionConfig::from)
                .or(preset)
                .map(fit))
        }
    }
}

/// A network config, its source, and undetermined fields.
type NetworkConfig = (ModelConfig, ConfigSource, Vec<UndeterminedField>);

fn network(
    source: &Source,
    weights: &StateDict,
    overrides: &ModelOverrides,
) -> Result<NetworkConfig> {
    let given = given(overrides)?;
    let stored = stored(source, weights, given.is_some())?;
    match (stored, given) {
        (Some((stored, ..)), Some((given, ..))) if stored != given => bail!(
            "{} contains another network config than --config or --flags: leave them out",
            source.name
        ),
        (Some(stored), _) => Ok(stored),
        (None, Some(given)) => Ok(given),
        (None, None) => {
            let detected =
                detect(weights).map_err(|error| unknown(&source.name, weights, &error))?;
            Ok((detected.config, ConfigSource::Keys, detected.undetermined))
        }
    }
}

/// The network config in the file or the diffusers directory.
///
/// - given: the options define the network; the arguments of a snapshot are not needed then
fn stored(source: &Source, weights: &StateDict, given: bool) -> Result<Option<NetworkConfig>> {
    if let Some(config) = stored_metadata(weights, "model")? {
        return Ok(Some((config, ConfigSource::Metadata, Vec::new())));
    }
    if let Some(snapshot) = Snapshot::of(weights)?.filter(|_| !given) {
        return Ok(Some((snapshot.network()?, ConfigSource::Snapshot, Vec::new())));
    }
    let Some(json) = &source.config else { return Ok(None) };
    let size = ImageSize::square(32);
    let config = spec::from_arguments("unet2d", json.clone(), size)
        .with_context(|| format!("{}: config.json", source.name))?;
    let sizeless = json.get("sample_size").is_none_or(Value::is_null);
    Ok(Some((config, ConfigSource::ConfigJson, undetermined_size(!sizeless, size))))
}

/// The size as an undetermined field, if nothing sets it.
fn undetermined_size(sized: bool, size: impl fmt::Display) -> Vec<UndeterminedField> {
    let field = || UndeterminedField { field: "size", value: size.to_string() };
    (!sized).then(field).into_iter().collect()
}

/// The network config of the options.
fn given(overrides: &ModelOverrides) -> Result<Option<NetworkConfig>> {
    match (&overrides.config, &overrides.flags) {
        (Some(_), Some(_)) => bail!("--config and --flags both define the network: give one"),
        (Some(text), None) => {
            let ModelSpec { config, preset, sized, .. } = spec::parse(text)?;
            let [_, height, width] = config.image_shape();
            let undetermined = undetermined_size(sized, ImageSize { height, width });
            let origin =
                if preset { ConfigSource::Preset(text.clone()) } else { ConfigSource::User };
            Ok(Some((config, origin, undetermined)))
        }
        (None, Some(flags)) => Ok(Some((spec::flags(flags)?, ConfigSource::User, Vec::new()))),
        (None, None) => Ok(None),
    }
}

impl ResolvedModel {
    /// The network with the channels of its condition.
    ///
    /// # Errors
    /// The condition is invalid, or the family takes none.
    pub fn network(&self) -> Result<ModelConfig> {
        conditioned(&self.config, self.condition)
    }

    /// The names of the contexts in the metadata of the file.
    ///
    /// # Errors
    /// Their number is not that of the network.
    pub fn contexts(&self, name: &str) -> Result<Vec<String>> {
        let contexts: Vec<String> = stored_metadata(&self.weights, "contexts")?.unwrap_or_default();
        let takes = self.config.contexts();
        ensure!(
            contexts.is_empty() || contexts.len() as i64 == takes,
            "{name} names {} contexts, its network takes {takes}",
            contexts.len()
        );
        Ok(contexts)
    }

    /// Returns an error if fields are undetermined, with the flags that set them.
    ///
    /// # Errors
    /// Fields are undetermined, unless `assume` accepts their default values.
    pub fn check_determined(&self, source: &str, assume: bool) -> Result<()> {
        if assume || self.undetermined.is_empty() {
            return Ok(());
        }
        bail!(
            "{source} is a network of family {}, but {}",
            self.config.family(),
            self.undetermined_hint()
        )
    }

    /// The undetermined fields, with the flags that set them, as text.
    pub fn undetermined_hint(&self) -> String {
        let settings: Vec<String> =
            self.undetermined.iter().map(|a| format!("--set {}={}", a.field, a.value)).collect();
        format!(
            "its shapes do not determine {}: set them, such as {}, or give --config PRESET|FILE; --assume accepts these values. `inkdrop convert` stores them in a file, for commands without these options",
            self.undetermined.iter().map(|a| a.field).collect::<Vec<_>>().join(", "),
            settings.join(" ")
        )
    }

    /// The undetermined values as text.
    pub fn undetermined_values(&self) -> Vec<String> {
        self.undetermined.iter().map(|a| format!("{}={}", a.field, a.value)).collect()
    }

    /// The undetermined values as JSON.
    pub fn undetermined_json(&self) -> Value {
        self.undetermined
            .iter()
            .map(|a| (a.field.to_string(), Value::from(a.value.clone())))
            .collect()
    }
}

/// The network of a config with the channels of the image that it is conditioned on.
///
/// # Errors
/// The condition is invalid, or the family takes none.
pub fn conditioned(model: &ModelConfig, condition: Option<ImageCondition>) -> Result<ModelConfig> {
    let Some(condition) = condition else { return Ok(model.clone()) };
    let [channels, height, width] = model.image_shape();
    condition.check([height, width])?;
    Ok(model.with_image_condition(condition.channels(channels))?)
}
