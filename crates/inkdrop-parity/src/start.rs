//! The state_dict before the forward pass of a case.

use anyhow::Result;
use inkdrop_checkpoint::StateDict;

use crate::Case;

/// The state_dict before the forward pass of a case.
pub(crate) struct Start {
    /// The weights and buffers.
    pub weights: StateDict,
    /// True if its running statistics are those before the forward pass.
    pub known: bool,
}

/// Finds the state before the forward pass.
///
/// Cases in training mode were exported after their forward pass, so the running statistics
/// among their weights equal those of `after:`. A sibling case with the same weights in
/// evaluation mode has the earlier ones. Without it, counters are decremented and the other
/// statistics are unknown.
pub(crate) fn find(case: &Case) -> Result<Start> {
    let mut weights = case.weights.below("weight:");
    let after = case.weights.below("after:");
    let stale = |key: &str| match (weights.get(key), after.get(key)) {
        (Some(before), Some(after)) => before.equal(after),
        _ => false,
    };
    let stale: Vec<String> =
        after.iter().map(|(key, _)| key.to_string()).filter(|key| stale(key)).collect();
    if stale.is_empty() {
        return Ok(Start { weights, known: true });
    }
    let sibling = sibling(case, &weights, &stale)?;
    for key in &stale {
        let before = match (&sibling, after.get(key)) {
            (Some(sibling), _) => sibling.get(key).map(|tensor| tensor.shallow_clone()),
            (None, Some(count)) if key.ends_with("num_batches_tracked") => Some(count - 1),
            _ => None,
        };
        if let Some(before) = before {
            weights.insert(key.clone(), before);
        }
    }
    Ok(Start { weights, known: sibling.is_some() })
}

/// The weights of another case in the folder that differ in the stale entries only.
fn sibling(case: &Case, weights: &StateDict, stale: &[String]) -> Result<Option<StateDict>> {
    for path in case.folder.read_dir()?.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|ending| ending != "safetensors") {
            continue;
        }
        let Ok(other) = StateDict::open(&path) else { continue };
        let other = other.below("weight:");
        let twin = weights.iter().all(|(key, ours)| match other.get(key) {
            Some(theirs) if stale.iter().any(|stale| stale == key) => {
                theirs.size() == ours.size() && !theirs.equal(ours)
            }
            Some(theirs) => theirs.size() == ours.size() && theirs.equal(ours),
            None => false,
        });
        if twin {
            return Ok(Some(other));
        }
    }
    Ok(None)
}
