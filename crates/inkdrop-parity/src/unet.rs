//! Whole networks: outputs, gradients and running statistics.

use anyhow::Result;
use inkdrop_checkpoint::{Weights, load};
use inkdrop_nn::{Conditioning, Mode, Network};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextConfig, ModelConfig};
use serde::Deserialize;

use crate::report::Tolerance;
use crate::{Case, Row, start};

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

/// The network of a case with these weights.
pub(crate) fn network(
    model: &ModelConfig,
    weights: &Weights,
    kind: Kind,
) -> Result<Box<dyn Network>> {
    let network = model.build(kind, Device::Cpu)?;
    load(network.params(), weights, &[])?;
    Ok(network)
}

/// The case in f32; in eval mode once more in f64, where only the reference's own rounding is
/// left (in train mode that rounding alone is 1.6e-6: PyTorch in f64 is as far from PyTorch in f32).
pub(crate) fn check(case: &Case) -> Result<Vec<Row>> {
    let config: ContextArguments = case.config()?;
    let (model, start) = (config.model(), start::find(case)?);
    let mut rows = Vec::new();
    let mode = if config.mode == "train" { Mode::Train } else { Mode::Eval };
    let single = network(&model, &start.weights, Kind::Float)?;
    rows.push(case.compare(
        "out",
        &forward(case, single.as_ref(), mode)?,
        Tolerance::Scaled(2e-5),
    )?);
    rows.extend(after(case, single.as_ref(), start.known)?);
    rows.extend(gradients(case, &model, &start.weights, mode)?);
    if mode == Mode::Eval {
        let double = network(&model, &start.weights, Kind::Double)?;
        let out = forward(case, double.as_ref(), mode)?;
        let mut row = case.compare("out", &out, Tolerance::Scaled(1e-6))?;
        row.what = "out in f64".to_string();
        rows.push(row);
    }
    Ok(rows)
}

/// Running statistics after one forward; only the counters where the case does not hold
/// the statistics that it began with.
fn after(case: &Case, network: &dyn Network, known: bool) -> Result<Option<Row>> {
    let ours = |key: &str| network.params().get(key).map(|param| param.tensor.shallow_clone());
    if known {
        return case.compare_group("after:", Tolerance::Scaled(2e-5), |_| true, ours);
    }
    let counter = |key: &str| key.ends_with("num_batches_tracked");
    let row = case.compare_group("after:", Tolerance::Exact, counter, ours)?;
    Ok(row.map(|row| Row { what: "after:* (counters)".to_string(), ..row }))
}

/// Gradients of Σ out·probe.
fn gradients(case: &Case, model: &ModelConfig, weights: &Weights, mode: Mode) -> Result<Vec<Row>> {
    let Some(probe) = case.weights.get("probe") else { return Ok(Vec::new()) };
    let network = network(model, weights, Kind::Float)?;
    let out = forward(case, network.as_ref(), mode)?;
    out.f_mul(probe)?.f_sum(Kind::Float)?.f_backward()?;
    let ours = |key: &str| network.params().get(key).map(|param| param.tensor.grad());
    let mut rows = Vec::new();
    rows.extend(case.compare_group("grad:", Tolerance::Scaled(1e-4), |_| true, ours)?);
    if case.weights.get("grad_norm").is_some() {
        let norm = gradient_norm(network.as_ref())?;
        rows.push(case.compare("grad_norm", &norm, Tolerance::Scaled(1e-4))?);
    }
    Ok(rows)
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
