//! Whole networks: outputs, gradients and running statistics.

use anyhow::Result;
use inkdrop_checkpoint::{Weights, load};
use inkdrop_nn::{Conditioning, Mode, Network};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextConfig, ModelConfig};
use serde::Deserialize;

use crate::report::Tolerance;
use crate::{Case, Row};

/// ContextUnet's arguments in the notebook's names.
#[derive(Debug, Deserialize)]
pub(crate) struct ContextArguments {
    in_channels: i64,
    n_feat: i64,
    n_cfeat: i64,
    height: i64,
    #[serde(default)]
    mode: String,
}

impl ContextArguments {
    pub(crate) fn model(&self) -> ModelConfig {
        ModelConfig::Context(ContextConfig {
            channels: self.in_channels,
            features: self.n_feat,
            contexts: self.n_cfeat,
            size: self.height,
        })
    }
}

/// The network of a case with the case's weights.
pub(crate) fn network(case: &Case, model: &ModelConfig, kind: Kind) -> Result<Box<dyn Network>> {
    let network = model.build(kind, Device::Cpu)?;
    load(network.params(), &state_before(case), &[])?;
    Ok(network)
}

/// The state_dict that the case began with.
///
/// Cases in train mode were exported after their forward: there the running
/// statistics among the weights are those *after* it, and began as PyTorch's.
fn state_before(case: &Case) -> Weights {
    let mut state = case.weights.below("weight:");
    let after = case.weights.below("after:");
    for (key, theirs) in after.iter() {
        if state.get(key).is_some_and(|ours| ours.equal(theirs)) {
            let fresh =
                if key.ends_with("running_var") { theirs.ones_like() } else { theirs.zeros_like() };
            state.insert(key, fresh);
        }
    }
    state
}

/// The case in f32, and once more in f64, where only the reference's own rounding is left.
pub(crate) fn check(case: &Case) -> Result<Vec<Row>> {
    let config: ContextArguments = case.config()?;
    let mut rows = Vec::new();
    let mode = if config.mode == "train" { Mode::Train } else { Mode::Eval };
    let single = network(case, &config.model(), Kind::Float)?;
    check_network(case, single.as_ref(), mode, &mut rows)?;

    let double = network(case, &config.model(), Kind::Double)?;
    let out = forward(case, double.as_ref(), mode)?;
    let mut row = case.compare("out", &out, Tolerance::Scaled(1e-6))?;
    row.what = "out in f64".to_string();
    rows.push(row);
    Ok(rows)
}

fn check_network(
    case: &Case,
    network: &dyn Network,
    mode: Mode,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let out = forward(case, network, mode)?;
    rows.push(case.compare("out", &out, Tolerance::Scaled(2e-5))?);
    if case.weights.get("probe").is_none() {
        return Ok(());
    }
    (out * case.tensor("probe")?).sum(Kind::Float).f_backward()?;
    let gradient = |key: &str| network.params().get(key).map(|param| param.tensor.grad());
    rows.extend(case.compare_group("grad:", Tolerance::Scaled(1e-4), gradient)?);
    if case.weights.get("grad_norm").is_some() {
        let norm = gradient_norm(network)?;
        rows.push(case.compare("grad_norm", &norm, Tolerance::Scaled(1e-4))?);
    }
    let buffer = |key: &str| network.params().get(key).map(|param| param.tensor.shallow_clone());
    rows.extend(case.compare_group("after:", Tolerance::Scaled(2e-5), buffer)?);
    Ok(())
}

fn forward(case: &Case, network: &dyn Network, mode: Mode) -> Result<Tensor> {
    let kind = network.params().kind();
    let input = |key: &str| case.tensor(key).map(|tensor| tensor.to_kind(kind));
    let context = case.weights.get("context").map(|rows| rows.to_kind(kind));
    let conditioning = Conditioning { context };
    Ok(network.forward(&input("x")?, &input("t")?, &conditioning, mode)?)
}

/// √Σ|∂|² over all parameters but the shortcut, which the notebook draws anew in every forward.
fn gradient_norm(network: &dyn Network) -> Result<Tensor> {
    let mut sum = 0.0;
    for param in network.params().trained() {
        if !param.name.starts_with("init_conv.shortcut") {
            sum += f64::try_from(
                param.tensor.grad().to_kind(Kind::Double).square().sum(Kind::Double),
            )?;
        }
    }
    Ok(Tensor::from_slice(&[sum.sqrt()]))
}
