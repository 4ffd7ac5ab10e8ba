//! Weight averages without names: matched to the order of the network beside them.

use inkdrop_torch::tch::Tensor;

use crate::StateDict;

/// Buffers of normalisation layers, which averages of parameters leave out.
const BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

/// The tensors of a list such as `shadow_params` (torch_ema, diffusers' EMAModel), in order; `None` if
/// the tensors have names.
pub(crate) fn list(weights: &StateDict) -> Option<Vec<Tensor>> {
    let mut list = Vec::new();
    for (key, tensor) in weights.iter() {
        let last = key.rsplit('.').next().unwrap_or(key);
        match last.parse::<usize>() {
            Ok(index) => list.push((index, tensor.shallow_clone())),
            Err(_) if tensor.numel() <= 1 => {} // decay, number of updates
            Err(_) => return None,
        }
    }
    list.sort_by_key(|(index, _)| *index);
    let whole = list.iter().enumerate().all(|(at, (index, _))| at == *index);
    (whole && !list.is_empty()).then(|| list.into_iter().map(|(_, tensor)| tensor).collect())
}

/// Names for a list of averages, by the order of the network's parameters. Buffers that the list leaves
/// out are the network's.
///
/// # Errors
/// The network's order is unknown, or number or shapes differ.
pub(crate) fn named(list: &[Tensor], network: &StateDict) -> Result<StateDict, String> {
    let all: Vec<&String> = network.order.iter().collect();
    let buffer = |key: &&&String| BUFFERS.iter().any(|end| key.ends_with(end));
    let parameters: Vec<&String> = all.iter().copied().filter(|key| !buffer(&key)).collect();
    let fits = |names: &[&String]| {
        let shapes = names.iter().filter_map(|key| network.get(key)).map(Tensor::size);
        names.len() == list.len() && shapes.eq(list.iter().map(Tensor::size))
    };
    let names = [parameters, all].into_iter().find(|names| fits(names));
    let names = names.ok_or_else(|| {
        format!(
            "its {} tensors have no names, and their number and shapes are not those of the {} \
             tensors of the network beside them",
            list.len(),
            network.order.len()
        )
    })?;
    let mut weights = network.stripped("");
    for (name, tensor) in names.into_iter().zip(list) {
        weights.insert(name.clone(), tensor.shallow_clone());
    }
    Ok(weights)
}
