//! Renames attention weights of old diffusers versions.

use std::collections::BTreeMap;

use crate::StateDict;
use crate::error::shown;

/// Names of attention layers before diffusers 0.12, and since then.
const RENAMED: [(&str, &str); 4] =
    [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

/// Renames the old names of `…attentions.N.…`; an error if both names exist.
pub(super) fn modern(mut weights: StateDict) -> Result<StateDict, String> {
    let mut tensors = BTreeMap::new();
    for (key, tensor) in std::mem::take(&mut weights.tensors) {
        let name = renamed(&key).unwrap_or(key);
        if tensors.contains_key(&name) {
            return Err(format!(
                "`{}` exists with its old name and with its new name",
                shown(&name)
            ));
        }
        tensors.insert(name, tensor);
    }
    weights.tensors = tensors;
    Ok(weights)
}

/// `mid_block.attentions.0.query.weight` is `mid_block.attentions.0.to_q.weight`.
fn renamed(key: &str) -> Option<String> {
    let (rest, value) = key.rsplit_once('.')?;
    let (block, layer) = rest.rsplit_once('.')?;
    let (parent, number) = block.rsplit_once('.')?;
    let attention = parent == "attentions" || parent.ends_with(".attentions");
    let numbered = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    let (_, name) = RENAMED.iter().find(|(old, _)| *old == layer)?;
    (attention && numbered).then(|| format!("{block}.{name}.{value}"))
}
