//! Strict loading of weights into a network, like `load_state_dict(strict=True)`.

use std::collections::BTreeSet;

use inkdrop_nn::Params;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::{CheckpointError, Mismatch, StateDict};

/// Strict loading: copies weights into the parameters of a network, like `load_state_dict`.
///
/// Floating-point weights of another precision are converted; everything else must match
/// exactly. Nothing is copied unless everything matches.
///
/// - optional: keys that may be missing; those parameters are unchanged
///
/// # Errors
/// Missing or unexpected keys, different shapes or dtypes: all of them in one error. A parameter has an
/// unsupported dtype or layout in the file.
pub fn load(
    params: &Params,
    weights: &StateDict,
    optional: &[&str],
) -> Result<(), CheckpointError> {
    let _guard = no_grad_guard();
    for (mut parameter, given) in fit(params, weights, optional)? {
        parameter.f_copy_(given).map_err(TorchError::from)?;
    }
    Ok(())
}

/// Strict loading without a copy, for inference: parameters share the memory of weights with the same
/// dtype and device; others are copied.
///
/// Do not train the network afterwards, since that would change `weights`. Opening a model of 462 MiB
/// takes 462 MiB less than with [`load`].
///
/// - optional: keys that may be missing; those parameters are unchanged
///
/// # Errors
/// As [`load`].
pub fn load_shared(
    params: &Params,
    weights: &StateDict,
    optional: &[&str],
) -> Result<(), CheckpointError> {
    let _guard = no_grad_guard();
    for (mut parameter, given) in fit(params, weights, optional)? {
        let same = parameter.kind() == given.kind()
            && parameter.device() == given.device()
            && given.is_contiguous();
        let loaded = match same {
            true => parameter.f_set_data(given),
            false => parameter.f_copy_(given),
        };
        loaded.map_err(TorchError::from)?;
    }
    Ok(())
}

/// Checks that [`load`] would succeed; nothing is copied.
///
/// # Errors
/// As [`load`].
pub fn check(params: &Params, weights: &StateDict) -> Result<(), CheckpointError> {
    fit(params, weights, &[]).map(drop)
}

/// Each parameter and its weights.
fn fit<'a>(
    params: &Params,
    weights: &'a StateDict,
    optional: &[&str],
) -> Result<Vec<(Tensor, &'a Tensor)>, CheckpointError> {
    let mut mismatch = Mismatch::default();
    let mut pairs = Vec::new();
    for param in params.iter() {
        match weights.get(&param.name) {
            None if optional.contains(&param.name.as_str()) => {}
            None if weights.unsupported.contains_key(&param.name) => {
                let tensor = &weights.unsupported[&param.name];
                return Err(CheckpointError::Unsupported {
                    key: param.name.clone(),
                    kind: tensor.kind.clone(),
                });
            }
            None => mismatch.missing.push(param.name.clone()),
            Some(given) => match difference(&param.tensor, given) {
                Some(text) => mismatch.different.push(format!("{}: {text}", param.name)),
                None => pairs.push((param.tensor.shallow_clone(), given)),
            },
        }
    }
    let known: BTreeSet<&str> = params.names().collect();
    let unexpected = weights.iter().filter(|(key, _)| !known.contains(key));
    mismatch.unexpected = unexpected.map(|(key, _)| key.to_string()).collect();
    if mismatch != Mismatch::default() {
        return Err(CheckpointError::Mismatch(mismatch));
    }
    Ok(pairs)
}

/// The difference between a tensor and a parameter, as text; `None` if they match.
fn difference(parameter: &Tensor, given: &Tensor) -> Option<String> {
    let float = |kind| matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16);
    let (want, have) = (parameter.kind(), given.kind());
    if parameter.size() != given.size() {
        Some(format!("shape {:?}, expected {:?}", given.size(), parameter.size()))
    } else if want != have && !(float(want) && float(have)) {
        Some(format!("type {have:?}, expected {want:?}"))
    } else {
        None
    }
}
