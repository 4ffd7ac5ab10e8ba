//! Selects a network in a file that contains several, and removes wrappers from its keys.

use std::collections::BTreeSet;

use inkdrop_torch::tch::Tensor;

use crate::error::shown;
use crate::limits::DEPTH;
use crate::{CheckpointError, StateDict};

/// Prefixes of keys that contain a network.
const WRAPPERS: [&str; 13] = [
    "model",
    "ema_model",
    "online_model",
    "ema",
    "model_ema",
    "average",
    "network",
    "state_dict",
    "model_state_dict",
    "net",
    "unet",
    "diffusion_model",
    "ema_state_dict",
];

/// Prefixes of PyTorch's wrappers: DataParallel, AveragedModel, torch.compile.
const UNNAMED: [&str; 2] = ["module", "_orig_mod"];

/// Other entries of training checkpoints.
const BESIDE: [&str; 8] = [
    "adam",
    "opt",
    "loss",
    "callbacks",
    "hyper_parameters",
    "first_stage_model",
    "cond_stage_model",
    "args",
];

/// A network in a file.
struct Part {
    /// Names of the wrappers, joined by dots; empty without wrappers.
    name: String,
    /// Prefix of its keys.
    prefix: String,
}

impl StateDict {
    /// The names of the networks in the file; empty if the keys belong to a single network.
    ///
    /// A name is a wrapper such as `model`, `ema_model`, `average` or `state_dict`, or several joined
    /// by dots. A wrapper is recognised only at the *beginning* of keys. All other keys must then be
    /// wrappers, values without a dot (`betas`, `epoch`), or training state (`optimizer`, …). For
    /// example, `net.0.weight` next to `time_mlp.0.weight` is a layer of a network.
    ///
    /// ```
    /// use inkdrop_checkpoint::StateDict;
    /// use inkdrop_torch::tch::Tensor;
    ///
    /// let mut file = StateDict::default();
    /// for key in ["model.out.bias", "ema_model.out.bias", "betas"] {
    ///     file.insert(key, Tensor::from(0.0));
    /// }
    /// assert_eq!(file.parts(), ["ema_model", "model"]);
    /// let network = file.part(Some("model"))?;
    /// assert!(network.iter().map(|(key, _)| key).eq(["out.bias"]));
    /// # Ok::<(), inkdrop_checkpoint::CheckpointError>(())
    /// ```
    pub fn parts(&self) -> Vec<String> {
        let names = self.networks().into_iter().map(|part| part.name);
        names.filter(|name| !name.is_empty()).collect()
    }

    /// The weights of one network, without wrappers and `module.`. Tensors are shared, not copied.
    /// Format, metadata and skipped names are kept.
    ///
    /// - name: one of [`StateDict::parts`], or the beginning or end of exactly one of them, or any
    ///   other prefix of keys. `None` selects the only network.
    ///
    /// # Errors
    /// The file contains several networks and no name was given, or it does not contain the name. The
    /// error lists all names.
    pub fn part(&self, name: Option<&str>) -> Result<Self, CheckpointError> {
        let parts = self.networks();
        let chosen = match (name, parts.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), _) => choose(&parts, name),
        };
        match (chosen, name) {
            (Some(part), _) => Ok(self.stripped(&part.prefix)),
            (None, Some(name)) if self.has_other(&parts, name) => {
                self.stripped(&format!("{name}.")).part(None)
            }
            _ => Err(CheckpointError::Part(self.explain(&parts, name))),
        }
    }

    /// True if keys have this prefix and no part is related to it.
    fn has_other(&self, parts: &[Part], name: &str) -> bool {
        let prefix = format!("{name}.");
        parts.iter().all(|part| !related(part, name))
            && self.tensors.keys().any(|key| key.starts_with(&prefix))
    }

    fn networks(&self) -> Vec<Part> {
        let keys: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        networks(&keys, Part { name: String::new(), prefix: String::new() }, 0)
    }

    /// The tensors with a prefix, without it; with the metadata of the file.
    fn stripped(&self, prefix: &str) -> Self {
        let strip = |(key, tensor): (&String, &Tensor)| {
            key.strip_prefix(prefix).map(|rest| (rest.to_string(), tensor.shallow_clone()))
        };
        Self {
            tensors: self.tensors.iter().filter_map(strip).collect(),
            metadata: self.metadata.clone(),
            format: self.format,
            skipped: self.skipped.clone(),
            order: self
                .order
                .iter()
                .filter_map(|key| key.strip_prefix(prefix).map(str::to_string))
                .collect(),
        }
    }

    fn explain(&self, parts: &[Part], name: Option<&str>) -> String {
        let names: Vec<String> = parts.iter().map(|part| shown(&part.name)).collect();
        let names = names.join(", ");
        match name {
            None => format!(
                "the file contains {} networks ({names}); choose one with --part NAME",
                parts.len()
            ),
            Some(name) if names.is_empty() => format!(
                "the file has no part `{}`: its keys are those of one network; leave --part out",
                shown(name)
            ),
            Some(name) => {
                let (name, several) = (shown(name), parts.iter().any(|part| related(part, name)));
                let problem = if several { "several parts" } else { "no part" };
                format!("the file has {problem} `{name}`, expected one of: {names}")
            }
        }
    }
}

/// True if the name is the beginning or the end of the part's name.
fn related(part: &Part, name: &str) -> bool {
    let rest = part.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    rest || part.name.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// The part with this name, or the only one that begins or ends with it.
fn choose<'a>(parts: &'a [Part], name: &str) -> Option<&'a Part> {
    let exact = parts.iter().find(|part| part.name == name && !name.is_empty());
    exact.or_else(|| {
        let mut some = parts.iter().filter(|part| related(part, name));
        some.next().filter(|_| some.next().is_none())
    })
}

/// The networks inside a part: the part itself, unless it contains only wrappers.
fn networks(keys: &[&str], part: Part, depth: usize) -> Vec<Part> {
    let below: Vec<&str> =
        keys.iter().copied().filter(|key| key.starts_with(&part.prefix)).collect();
    let first = |key: &&'_ str| {
        key[part.prefix.len()..].split_once('.').map(|(first, _)| first.to_string())
    };
    let firsts: BTreeSet<String> = below.iter().filter_map(first).collect();
    let wraps =
        |name: &String| WRAPPERS.contains(&name.as_str()) || UNNAMED.contains(&name.as_str());
    let wrapped = firsts.iter().any(wraps) && firsts.iter().all(|name| wraps(name) || beside(name));
    if !wrapped || depth == DEPTH {
        return vec![part];
    }
    let inner = |name: &String| {
        let prefix = format!("{}{name}.", part.prefix);
        let name = match (UNNAMED.contains(&name.as_str()), part.name.is_empty()) {
            (true, _) => part.name.clone(),
            (false, true) => name.clone(),
            (false, false) => format!("{}.{name}", part.name),
        };
        networks(&below, Part { name, prefix }, depth + 1)
    };
    firsts.iter().filter(|name| wraps(name)).flat_map(inner).collect()
}

/// True for the name of an optimizer or other training state.
fn beside(name: &str) -> bool {
    let about = ["optim", "sched", "scaler", "rng"];
    BESIDE.contains(&name) || about.iter().any(|word| name.contains(word))
}
