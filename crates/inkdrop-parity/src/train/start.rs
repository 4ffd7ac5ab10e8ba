//! The weights that a golden case began with, where it holds those of after the steps instead.

use anyhow::Result;
use inkdrop_checkpoint::Weights;
use inkdrop_nn::TrainableNetwork;
use inkdrop_torch::tch::{Kind, Tensor, manual_seed};

use crate::Case;

/// The seed that the golden networks are drawn from.
const SEED: i64 = 27;

/// Whether the weights to start from are those of after the steps: exported too late, as a
/// `state_dict` that was still in use.
pub(super) fn is_lost(case: &Case) -> bool {
    let (before, after) = (case.weights.below("weight:"), case.weights.below("after:"));
    let mut pairs = after.iter().map(|(key, after)| before.get(key).map(|b| b.equal(after)));
    after.iter().next().is_some() && pairs.all(|same| same == Some(true))
}

/// Draws the weights anew as the golden networks are drawn (`improved_basic` and its siblings
/// show how): tensor by tensor in the network's order, N(0, 0.25/fan-in) for matrices and
/// kernels, N(0, 0.01) for biases, N(1, 0.01) for the factors of norms. None where the steps
/// cannot lead from there to the weights of after them: another exporter drew otherwise.
///
/// - farthest: how far the steps can move a weight
pub(super) fn draw(
    case: &Case,
    network: &dyn TrainableNetwork,
    farthest: f64,
) -> Result<Option<Weights>> {
    manual_seed(SEED);
    let mut start = Weights::default();
    for param in network.params().trained() {
        let shape = param.tensor.size();
        let normal = Tensor::f_randn(&shape, (Kind::Float, network.params().device()))?;
        let fan_in: i64 = shape.iter().skip(1).product();
        let drawn = match (shape.len(), param.name.ends_with("bias")) {
            (1, true) => normal.f_mul_scalar(0.1)?,
            (1, false) => normal.f_mul_scalar(0.1)?.f_add_scalar(1.0)?,
            _ => normal.f_mul_scalar(0.5)?.f_div_scalar((fan_in as f64).sqrt())?,
        };
        let end = case.tensor(&format!("weight:{}", param.name))?;
        let moved = end.f_sub(&drawn)?.f_abs()?.f_max()?.f_double_value(&[])?;
        if moved > farthest {
            return Ok(None);
        }
        start.insert(param.name.clone(), drawn);
    }
    Ok(Some(start))
}
