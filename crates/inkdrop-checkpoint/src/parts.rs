//! Which networks a file holds, and one of them without its wrappers.

use std::collections::BTreeSet;

use inkdrop_torch::tch::Tensor;

use crate::error::shown;
use crate::limits::DEPTH;
use crate::{CheckpointError, StateDict};

/// Names that hold a network when a key begins with them.
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

/// Names that PyTorch's own wrappers add: DataParallel and AveragedModel, torch.compile.
const UNNAMED: [&str; 2] = ["module", "_orig_mod"];

/// What else stands beside a network in a checkpoint of a training.
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
    /// The wrappers' names, with dots; empty where there are none.
    name: String,
    /// What its keys begin with.
    prefix: String,
}

impl StateDict {
    /// The names of the networks in the file; empty where its keys are one network's own.
    ///
    /// A name is that of a wrapper such as `model`, `ema_model`, `average` or `state_dict`, or a
    /// chain of them with dots. A wrapper is one only at the *beginning* of the keys, and only
    /// beside other wrappers, values without a dot (`betas`, `epoch`) and what trainings add
    /// (`optimizer`, `scheduler`, …): `net.0.weight` beside `time_mlp.0.weight` is a layer of a network.
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

    /// One network's own keys, without wrappers and `module.`; not copied. Format, metadata and
    /// skipped names stay.
    ///
    /// - name: one of [`StateDict::parts`], or the beginning or end of exactly one of them; any
    ///   other name that keys begin with is taken as it is. `None` takes the only network.
    ///
    /// # Errors
    /// Several networks and no name, or a name that the file does not have: both list what there is.
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

    /// Whether keys begin with a name that no part's name contains.
    fn has_other(&self, parts: &[Part], name: &str) -> bool {
        let prefix = format!("{name}.");
        parts.iter().all(|part| !related(part, name))
            && self.tensors.keys().any(|key| key.starts_with(&prefix))
    }

    fn networks(&self) -> Vec<Part> {
        let keys: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        networks(&keys, Part { name: String::new(), prefix: String::new() }, 0)
    }

    /// What is below a prefix, with everything that is known about the file.
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
                "the file holds {} networks ({names}); choose one with --part NAME",
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

/// Whether a name is the beginning or the end of a part's.
fn related(part: &Part, name: &str) -> bool {
    let rest = part.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    rest || part.name.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// The part of this name, or the only one that begins or ends with it.
fn choose<'a>(parts: &'a [Part], name: &str) -> Option<&'a Part> {
    let exact = parts.iter().find(|part| part.name == name && !name.is_empty());
    exact.or_else(|| {
        let mut some = parts.iter().filter(|part| related(part, name));
        some.next().filter(|_| some.next().is_none())
    })
}

/// The networks below a part: the part itself, unless all that counts in it is wrapped.
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

/// Whether a name is that of an optimiser or of something else beside the network.
fn beside(name: &str) -> bool {
    let about = ["optim", "sched", "scaler", "rng"];
    BESIDE.contains(&name) || about.iter().any(|word| name.contains(word))
}
