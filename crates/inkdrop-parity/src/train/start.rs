//! Initial weights of golden training cases that recorded the final weights instead.

use anyhow::Result;
use inkdrop_checkpoint::StateDict;
use inkdrop_nn::TrainableNetwork;
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Kind, Tensor};

use crate::Case;

/// Seed of the golden networks.
const SEED: i64 = 27;

/// True if the recorded initial weights are the final ones: a `state_dict` that was exported while
/// in use.
pub(super) fn is_lost(case: &Case) -> bool {
    let (before, after) = (case.weights.below("weight:"), case.weights.below("after:"));
    let mut pairs = after.iter().map(|(key, after)| before.get(key).map(|b| b.equal(after)));
    after.iter().next().is_some() && pairs.all(|same| same == Some(true))
}

/// Draws the initial weights as the exporter of the golden networks does, in the network's order:
/// N(0, 0.25/fan-in) for matrices and kernels, N(0, 0.01) for biases, N(1, 0.01) for norm scales.
///
/// Returns `None` if the training steps cannot lead from these weights to the final ones. Then
/// another exporter drew them.
///
/// - farthest: largest change of a weight over all steps
pub(super) fn draw(
    case: &Case,
    network: &dyn TrainableNetwork,
    farthest: f64,
) -> Result<Option<StateDict>> {
    let _generator = DefaultGenerator::seeded(SEED);
    let mut start = StateDict::default();
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
