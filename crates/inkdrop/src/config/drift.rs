//! What makes a config that of another run.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::RunConfig;

/// Keys that change neither what is learned nor how.
const FREE: [&str; 9] = [
    "train.steps",
    "train.checkpoint_every",
    "train.checkpoints_kept",
    "train.keep_every",
    "train.sample_every",
    "train.validate_every",
    "train.validation_images",
    "train.log_every",
    "train.workers",
];

impl RunConfig {
    /// What differs from another config in a way that makes it another run, as `key: there → here`.
    pub fn drift(&self, saved: &Self) -> Vec<String> {
        let (here, there) = (flat(self), flat(saved));
        let keys: BTreeSet<_> = here.keys().chain(there.keys()).collect();
        let shown = |value: Option<&String>| value.map_or("nothing", String::as_str).to_string();
        keys.into_iter()
            .filter(|key| !FREE.contains(&key.as_str()) && !key.starts_with("validation."))
            .filter(|key| here.get(*key) != there.get(*key))
            .map(|key| format!("{key}: {} → {}", shown(there.get(key)), shown(here.get(key))))
            .collect()
    }
}

/// All values by dotted key, as text.
fn flat(config: &RunConfig) -> BTreeMap<String, String> {
    fn walk(prefix: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    walk(&format!("{prefix}.{key}"), value, out);
                }
            }
            other => {
                out.insert(prefix.trim_start_matches('.').to_string(), other.to_string());
            }
        }
    }
    let mut out = BTreeMap::new();
    if let Ok(value) = Value::try_from(config) {
        walk("", &value, &mut out);
    }
    out
}
