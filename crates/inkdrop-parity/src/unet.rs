//! Networks: outputs, gradients, activations and running statistics.

use anyhow::{Context, Result, ensure};
use inkdrop_checkpoint::{StateDict, load};
use inkdrop_nn::{ClassIds, Conditioning, Mode, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{Features, ImageSize, ModelConfig};
use serde_json::{Map, Value};

use crate::report::Tolerance;
use crate::{Case, Comparison, lucid};

/// Builds a network with these weights.
pub(crate) fn network(
    model: &ModelConfig,
    weights: &StateDict,
    kind: Kind,
) -> Result<Box<dyn TrainableNetwork>> {
    let network = model.build_uninitialized(kind, Device::Cpu)?;
    load(network.params(), weights, &[])?;
    Ok(network)
}

/// The network and the mode of a case.
fn model(case: &Case) -> Result<(ModelConfig, Mode)> {
    let mut arguments: Map<String, Value> = case.config()?;
    let train = arguments.remove("mode").is_some_and(|mode| mode == "train");
    arguments.remove("call"); // see lucid.rs
    let model = model_config(case, Value::Object(arguments), case.tensor("x")?)?;
    Ok((model, if train { Mode::Train } else { Mode::Eval }))
}

/// The network of a case's family for images of this size.
pub(crate) fn model_config(case: &Case, arguments: Value, images: &Tensor) -> Result<ModelConfig> {
    let size = match images.size()[..] {
        [.., height, width] => ImageSize { height, width },
        _ => ImageSize::square(32),
    };
    // `ddp` says how the network was trained.
    let family = if case.family == "ddp" { "improved" } else { &case.family };
    ModelConfig::from_arguments(family, arguments, size).with_context(|| case.name.clone())
}

/// Compares a case in f32, and in evaluation mode in f64, too.
///
/// In f64 only the rounding of the f32 reference remains. In training mode that rounding is 1.6e-6,
/// which exceeds the tolerance.
pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let ((model, mode), start) = (model(case)?, find_start(case)?);
    let mut rows = Vec::new();
    let single = network(&model, &start.weights, Kind::Float)?;
    let out = forward(case, single.as_ref(), mode)?;
    rows.push(case.compare("out", &out, Tolerance::Scaled(2e-5))?);
    rows.extend(after(case, single.as_ref(), start.known)?);
    rows.extend(gradients(case, &model, &start.weights, mode)?);
    rows.extend(features(case, &model, &start.weights, mode)?);
    if mode == Mode::Eval {
        let double = network(&model, &start.weights, Kind::Double)?;
        let out = forward(case, double.as_ref(), mode)?;
        rows.push(case.compare_double("out", &out, case.tensor("out")?)?);
    }
    Ok(rows)
}

/// Compares the running statistics after a forward pass; only the counters if the initial
/// statistics are unknown.
fn after(case: &Case, network: &dyn TrainableNetwork, known: bool) -> Result<Option<Comparison>> {
    let ours = |key: &str| network.params().get(key).map(|param| param.tensor.shallow_clone());
    if known {
        return case.compare_group("after:", Tolerance::Scaled(2e-5), |_| true, ours);
    }
    let counter = |key: &str| key.ends_with("num_batches_tracked");
    let row = case.compare_group("after:", Tolerance::Exact, counter, ours)?;
    Ok(row.map(|row| Comparison { what: "after:* (counters)".to_string(), ..row }))
}

/// Compares the gradients of Σ out·probe.
fn gradients(
    case: &Case,
    model: &ModelConfig,
    weights: &StateDict,
    mode: Mode,
) -> Result<Vec<Comparison>> {
    let Some(probe) = case.weights.get("probe") else { return Ok(Vec::new()) };
    let network = network(model, weights, Kind::Float)?;
    let out = forward(case, network.as_ref(), mode)?;
    out.f_mul(probe)?.f_sum(Kind::Float)?.f_backward()?;
    case.compare_gradients(network.params())
}

/// Compares the activations between the blocks if the case contains them.
fn features(
    case: &Case,
    model: &ModelConfig,
    weights: &StateDict,
    mode: Mode,
) -> Result<Option<Comparison>> {
    let expected = case.weights.below("feature:").iter().count();
    if expected == 0 {
        return Ok(None);
    }
    let network = match model {
        ModelConfig::Improved(config) => config.build(Kind::Float, Device::Cpu)?,
        ModelConfig::ImprovedSuperRes(config) => {
            config.build_super_res(Kind::Float, Device::Cpu)?
        }
        other => anyhow::bail!("{}: family {} has no features", case.name, other.family()),
    };
    load(network.params(), weights, &[])?;
    let (x, t, conditioning) = inputs(case, network.params().kind())?;
    let Features { encoder, middle, decoder } = network.features(&x, &t, &conditioning, mode)?;
    let given = encoder.len() + decoder.len() + usize::from(middle.is_some());
    ensure!(given == expected, "{}: {given} features, expected {expected}", case.name);
    let ours = |key: &str| {
        let feature = match key.split_once('.') {
            Some(("down", i)) => encoder.get(i.parse::<usize>().ok()?),
            Some(("up", i)) => decoder.get(i.parse::<usize>().ok()?),
            _ => middle.as_ref(),
        };
        feature.map(Tensor::shallow_clone)
    };
    case.compare_group("feature:", Tolerance::Scaled(2e-5), |_| true, ours)
}

fn forward(case: &Case, network: &dyn TrainableNetwork, mode: Mode) -> Result<Tensor> {
    let (x, t, conditioning) = inputs(case, network.params().kind())?;
    if let Some(guided) = lucid::guided(case, network, (&x, &t))? {
        return Ok(guided);
    }
    Ok(network.forward_mode(&x, &t, &conditioning, mode)?)
}

/// x, t and the conditioning; t is 0 if the network has no time embedding.
fn inputs(case: &Case, kind: Kind) -> Result<(Tensor, Tensor, Conditioning)> {
    let optional = |key: &str| case.weights.get(key).map(|tensor| tensor.to_kind(kind));
    let x = case.tensor("x")?.to_kind(kind);
    let t = match case.weights.get("t") {
        Some(t) => t.shallow_clone(),
        None => Tensor::zeros([x.size()[0]], (Kind::Int64, Device::Cpu)),
    };
    let conditioning = Conditioning {
        context: optional("context"),
        classes: lucid::called_classes(case)?.as_ref().map(class_ids).transpose()?,
        low_res: optional("low_res"),
        self_condition: optional("x_self_cond"),
        augment: optional("augment"),
        ..Conditioning::none()
    };
    Ok((x, t, conditioning))
}

/// Reads class labels, `[B]`, or EDM's rows [B, L], where a row of zeros is no class.
pub(crate) fn class_ids(y: &Tensor) -> Result<ClassIds> {
    let ids = match y.dim() {
        1 => y.f_to_kind(Kind::Int64)?,
        _ => {
            let none = y.f_sum_dim_intlist(1i64, true, Kind::Float)?.f_neg()?.f_add_scalar(0.5)?;
            Tensor::f_cat(&[y, &none], 1)?.f_argmax(1, false)?
        }
    };
    let ids: Vec<i64> = Vec::try_from(ids)?;
    Ok(ClassIds::new(&ids, Device::Cpu)?)
}

/// The state_dict before the forward pass of a case.
struct Start {
    /// The weights and buffers.
    weights: StateDict,
    /// True if its running statistics are those before the forward pass.
    known: bool,
}

/// Finds the state before the forward pass.
///
/// Cases in training mode were exported after their forward pass, so the running statistics
/// among their weights equal those of `after:`. A sibling case with the same weights in
/// evaluation mode has the earlier ones. Without it, counters are decremented and the other
/// statistics are unknown.
fn find_start(case: &Case) -> Result<Start> {
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
