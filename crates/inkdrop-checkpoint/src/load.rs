//! Strict loading of weights into a network, like `load_state_dict(strict=True)`.

use std::collections::BTreeSet;

use inkdrop_nn::{Param, Params};
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use inkdrop_torch::{TorchError, give_back_freed_memory};

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
    for param in fit(params, weights, optional)? {
        param
            .tensor
            .shallow_clone()
            .f_copy_(&weights.tensors[&param.name])
            .map_err(TorchError::from)?;
    }
    Ok(())
}

/// Strict loading without a second copy, for inference: parameters share the memory of weights with the
/// same dtype and device; others are copied.
///
/// Weights that a parameter holds exactly in its wider dtype (f16 in f32) are replaced by the parameter, one
/// at a time, and their memory is given back. [`StateDict::stored_kind`] still returns their own dtype.
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
    weights: &mut StateDict,
    optional: &[&str],
) -> Result<(), CheckpointError> {
    let _guard = no_grad_guard();
    let mut freed = 0;
    for param in fit(params, weights, optional)? {
        let mut parameter = param.tensor.shallow_clone();
        let given = &weights.tensors[&param.name];
        let (from, to) = (given.kind(), parameter.kind());
        let on_device = parameter.device() == given.device();
        if on_device && from == to && given.is_contiguous() {
            parameter.f_set_data(given).map_err(TorchError::from)?;
            continue;
        }
        parameter.f_copy_(given).map_err(TorchError::from)?;
        if on_device && is_exact(from, to) {
            freed += given.numel() * from.elt_size_in_bytes();
            let widened = parameter.f_detach().map_err(TorchError::from)?;
            weights.widen(&param.name, widened, from);
        }
        if freed >= GIVEN_BACK {
            give_back_freed_memory();
            freed = 0;
        }
    }
    Ok(())
}

/// Bytes of replaced weights after which their memory is given back to the system.
const GIVEN_BACK: usize = 32 << 20;

/// True if a wider dtype holds every value of a floating-point dtype exactly.
fn is_exact(from: Kind, to: Kind) -> bool {
    let half = matches!(from, Kind::Half | Kind::BFloat16);
    half && matches!(to, Kind::Float | Kind::Double) || (from, to) == (Kind::Float, Kind::Double)
}

/// Checks that [`load`] would succeed; nothing is copied.
///
/// # Errors
/// As [`load`].
pub fn check(params: &Params, weights: &StateDict) -> Result<(), CheckpointError> {
    fit(params, weights, &[]).map(drop)
}

/// The parameters that are loaded: those with weights.
fn fit<'a>(
    params: &'a Params,
    weights: &StateDict,
    optional: &[&str],
) -> Result<Vec<&'a Param>, CheckpointError> {
    let mut mismatch = Mismatch::default();
    let mut loaded = Vec::new();
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
                None => loaded.push(param),
            },
        }
    }
    let known: BTreeSet<&str> = params.names().collect();
    let unexpected = weights.iter().filter(|(key, _)| !known.contains(key));
    mismatch.unexpected = unexpected.map(|(key, _)| key.to_string()).collect();
    if mismatch != Mismatch::default() {
        return Err(CheckpointError::Mismatch(mismatch));
    }
    Ok(loaded)
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
