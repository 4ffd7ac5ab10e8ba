//! Selects a network in a file that contains several, and removes wrappers from its keys.

use std::collections::{BTreeMap, BTreeSet};

use inkdrop_torch::tch::Tensor;

use crate::error::shown;
use crate::limits::DEPTH;
use crate::{CheckpointError, StateDict, unnamed};

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

/// Names that PyTorch's wrappers insert anywhere in keys: DataParallel and AveragedModel, torch.compile,
/// FSDP, activation checkpointing, Lightning with DeepSpeed.
const UNNAMED: [&str; 5] = [
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
];

/// Other entries of training checkpoints.
const BESIDE: [&str; 14] = [
    "adam",
    "exp_avg",
    "exp_avg_sq",
    "grads",
    "gradients",
    "momentum",
    "momentum_buffer",
    "opt",
    "loss",
    "callbacks",
    "hyper_parameters",
    "first_stage_model",
    "cond_stage_model",
    "args",
];

/// Number of prefixes below each other that are searched for a network.
const SEARCHED: usize = 6;

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
        self.parts_where(&|_| false)
    }

    /// The weights of one network, without wrappers. Tensors are shared, not copied. Format, metadata
    /// and skipped names are kept.
    ///
    /// - name: one of [`StateDict::parts`], or the beginning or end of exactly one of them, or any
    ///   other prefix of keys. `None` selects the only network.
    ///
    /// Averages without names, such as the list `shadow_params`, get the names of the only network
    /// beside them, in the order of its parameters.
    ///
    /// # Errors
    /// The file contains several networks and no name was given, or it does not contain the name. The
    /// error lists all names. Averages without names do not fit the network.
    pub fn part(&self, name: Option<&str>) -> Result<Self, CheckpointError> {
        self.part_where(name, &|_| false)
    }

    /// Like [`StateDict::parts`], with networks below any prefix that a test recognises.
    ///
    /// - is_network: gets the tensors below a prefix, without wrappers
    pub fn parts_where(&self, is_network: &dyn Fn(&Self) -> bool) -> Vec<String> {
        let names = self.networks(is_network).into_iter().map(|part| part.name);
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Like [`StateDict::part`], with networks below any prefix that a test recognises.
    ///
    /// # Errors
    /// As for [`StateDict::part`].
    pub fn part_where(
        &self,
        name: Option<&str>,
        is_network: &dyn Fn(&Self) -> bool,
    ) -> Result<Self, CheckpointError> {
        let parts = self.networks(is_network);
        let chosen = match (name, parts.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), _) => choose(&parts, name),
        };
        match (chosen, name) {
            (Some(part), Some(name)) => {
                self.with_names(name, self.stripped(&part.prefix), &parts, is_network)
            }
            (Some(part), None) => Ok(self.stripped(&part.prefix)),
            (None, Some(name)) if self.has_other(&parts, name) => {
                let below = self.stripped(&format!("{name}."));
                let below = below.part_where(None, is_network)?;
                self.with_names(name, below, &parts, is_network)
            }
            _ => Err(CheckpointError::Part(self.explain(&parts, name))),
        }
    }

    /// Names the averages of a part that is a list, by the only other network.
    fn with_names(
        &self,
        name: &str,
        part: Self,
        parts: &[Part],
        is_network: &dyn Fn(&Self) -> bool,
    ) -> Result<Self, CheckpointError> {
        let Some(list) = unnamed::list(&part) else { return Ok(part) };
        let problem = |problem| CheckpointError::Part(format!("part `{}`: {problem}", shown(name)));
        let others: Vec<Self> = parts
            .iter()
            .map(|part| self.stripped(&part.prefix))
            .filter(|part| is_network(part) || unnamed::list(part).is_none())
            .collect();
        match others.as_slice() {
            [network] => unnamed::named(&list, network).map_err(problem),
            _ => Err(problem(format!(
                "its {} tensors have no names, expected one network beside them to name them",
                list.len()
            ))),
        }
    }

    /// True if keys have this prefix and no part is related to it.
    fn has_other(&self, parts: &[Part], name: &str) -> bool {
        let prefix = format!("{name}.");
        parts.iter().all(|part| !related(part, name))
            && self.tensors.keys().any(|key| key.starts_with(&prefix))
    }

    /// The networks that a test recognises, or else those that wrappers indicate.
    fn networks(&self, is_network: &dyn Fn(&Self) -> bool) -> Vec<Part> {
        let root = || Part { name: String::new(), prefix: String::new() };
        let keys: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        let recognised = self.recognised(&keys, root(), is_network, 0);
        if recognised.is_empty() { wrapped(&keys, root(), 0) } else { recognised }
    }

    /// The topmost parts that a test recognises.
    ///
    /// - keys: of the part, sorted
    fn recognised(
        &self,
        keys: &[&str],
        part: Part,
        is_network: &dyn Fn(&Self) -> bool,
        depth: usize,
    ) -> Vec<Part> {
        if is_network(&self.bare_below(&part.prefix)) {
            return vec![part];
        }
        if depth == SEARCHED {
            return Vec::new();
        }
        let inner = groups(keys, part.prefix.len()).filter(|(name, _)| !beside(name));
        let search = |(name, keys)| self.recognised(keys, part.inner(name), is_network, depth + 1);
        inner.flat_map(search).collect()
    }

    /// The tensors with a prefix, without it and without the names of PyTorch's wrappers, unless two
    /// keys would then be the same; with what is known about the file.
    pub(crate) fn stripped(&self, prefix: &str) -> Self {
        let part = self.bare_below(prefix);
        let name = |key: &String| {
            let rest = key.strip_prefix(prefix)?;
            let bare = bare(rest);
            let known = part.tensors.contains_key(&bare) || part.unsupported.contains_key(&bare);
            Some(if known { bare } else { rest.to_string() })
        };
        Self {
            metadata: self.metadata.clone(),
            format: self.format,
            skipped: self.skipped.clone(),
            order: self.order.iter().filter_map(name).collect(),
            constructors: self.constructors.iter().filter_map(|call| call.below(prefix)).collect(),
            ..part
        }
    }

    /// The tensors of [`StateDict::stripped`] alone.
    fn bare_below(&self, prefix: &str) -> Self {
        let tensors = below(&self.tensors, prefix);
        let distinct: BTreeSet<String> = tensors.iter().map(|(key, _)| bare(key)).collect();
        let unwrap = distinct.len() == tensors.len();
        let name = |key: &str| if unwrap { bare(key) } else { key.to_string() };
        let tensor = |(key, tensor): (&str, &Tensor)| (name(key), tensor.shallow_clone());
        let unsupported = below(&self.unsupported, prefix).into_iter();
        Self {
            tensors: tensors.into_iter().map(tensor).collect(),
            unsupported: unsupported.map(|(key, tensor)| (name(key), tensor.clone())).collect(),
            ..Self::default()
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

impl Part {
    /// The part below a name. PyTorch's wrappers are no part of its name.
    fn inner(&self, name: &str) -> Self {
        let prefix = format!("{}{name}.", self.prefix);
        let name = match (UNNAMED.contains(&name), self.name.is_empty()) {
            (true, _) => self.name.clone(),
            (false, true) => name.to_string(),
            (false, false) => format!("{}.{name}", self.name),
        };
        Self { name, prefix }
    }
}

/// The networks inside a part: the part itself, unless it contains only wrappers.
///
/// - keys: of the part, sorted
fn wrapped(keys: &[&str], part: Part, depth: usize) -> Vec<Part> {
    let wraps = |name: &str| WRAPPERS.contains(&name) || UNNAMED.contains(&name);
    let mut inner =
        groups(keys, part.prefix.len()).filter(|(name, _)| !beside(name) || wraps(name)).peekable();
    if depth == DEPTH || inner.peek().is_none() || !inner.all(|(name, _)| wraps(name)) {
        return vec![part];
    }
    let inner = groups(keys, part.prefix.len()).filter(|(name, _)| wraps(name));
    inner.flat_map(|(name, keys)| wrapped(keys, part.inner(name), depth + 1)).collect()
}

/// Keys by the first name after their prefix; keys without a dot there are left out.
///
/// - keys: sorted
/// - prefix: length of the prefix
fn groups<'a, 'k>(
    keys: &'a [&'k str],
    prefix: usize,
) -> impl Iterator<Item = (&'k str, &'a [&'k str])> + use<'a, 'k> {
    let first = move |key: &'k str| Some(key.get(prefix..)?.split_once('.')?.0);
    let groups = keys.chunk_by(move |a, b| first(a) == first(b));
    groups.filter_map(move |keys| Some((first(keys.first()?)?, keys)))
}

/// The entries whose keys have a prefix, without it.
fn below<'a, T>(map: &'a BTreeMap<String, T>, prefix: &str) -> Vec<(&'a str, &'a T)> {
    let entries = map.range(prefix.to_string()..);
    entries.map_while(|(key, value)| Some((key.strip_prefix(prefix)?, value))).collect()
}

/// A key without the names of PyTorch's wrappers.
fn bare(key: &str) -> String {
    let kept: Vec<&str> = key.split('.').filter(|name| !UNNAMED.contains(name)).collect();
    kept.join(".")
}

/// True for the name of an optimizer or other training state.
fn beside(name: &str) -> bool {
    let about = ["optim", "sched", "scaler", "rng"];
    BESIDE.contains(&name) || about.iter().any(|word| name.contains(word))
}
