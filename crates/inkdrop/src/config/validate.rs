//! Validation of a config against its data: image shape, labels, process.

use inkdrop_data::LabelledDataset;
use inkdrop_data::Labels;
use inkdrop_process::{ImageCondition, LossType};
use inkdrop_train::{AugmentConfig, LabelUse};
use inkdrop_unet::ModelConfig;

use super::{Loaded, RunConfig};
use crate::Result;
use crate::error::{bail, ensure};
use crate::model::Classes;

/// Training data that matches the network.
pub struct ValidatedData {
    /// Images and labels.
    pub data: LabelledDataset,
    /// Kind of conditioning that the labels become.
    pub label_use: LabelUse,
    /// Names of the contexts; empty without contexts.
    pub contexts: Vec<String>,
    /// Names of the classes, and the null class.
    pub classes: Classes,
}

/// Checks that images and labels match the network, and the network the process and the section `train`.
pub fn validate(config: &RunConfig, loaded: Loaded) -> Result<ValidatedData> {
    let model = &config.model;
    let Loaded { mut data, classes: names, .. } = loaded;
    ensure!(!data.images.is_empty(), "the data has no images");
    let [height, width, channels] = data.images.shape();
    let given = [channels, height, width].map(|axis| axis as i64);
    let mut expected = model.image_shape();
    expected[0] += config.condition.map_or(0, |condition| condition.paired_channels());
    let larger = config.train.crop
        && given[0] == expected[0]
        && given[1] >= expected[1]
        && given[2] >= expected[2];
    ensure!(
        given == expected || larger,
        "the images have shape {given:?} (channels, height, width), the network takes {expected:?}{}; change [model] or the data",
        paired(config)
    );
    trainable(config)?;
    let none = Classes::default();
    if let Some(count) = model.classes() {
        let (label_use, classes) = classes(config, count, &mut data.labels, names)?;
        return Ok(ValidatedData { data, label_use, contexts: Vec::new(), classes });
    }
    if model.contexts() > 0 && data.labels.len().is_some() {
        contexts(model.contexts() as usize, &mut data.labels, &names)?;
        return Ok(ValidatedData {
            data,
            label_use: LabelUse::Context,
            contexts: names,
            classes: none,
        });
    }
    ensure!(
        model.contexts() > 0 || !config.data.names_labels(),
        "data.labels are given, the network takes none: set model.classes to the number of classes, one more for a null class, or leave data.labels out (--unset data.labels)"
    );
    Ok(ValidatedData { data, label_use: LabelUse::None, contexts: Vec::new(), classes: none })
}

/// Checks that the labels match the number of contexts.
fn contexts(count: usize, labels: &mut Labels, names: &[String]) -> Result<()> {
    ensure!(
        names.is_empty() || names.len() == count,
        "the data names {} classes, the network takes {count} contexts; set model.contexts={}",
        names.len(),
        names.len()
    );
    let width = match labels {
        Labels::None => return Ok(()),
        // The highest id is only a lower bound of the number of classes.
        Labels::Classes { count: known, .. } => {
            *known = (*known).max(count);
            *known
        }
        Labels::Context(rows) => rows.ncols(),
    };
    ensure!(
        width == count,
        "the labels have {width} classes, the network takes {count} contexts; set model.contexts={width}"
    );
    Ok(())
}

/// Checks that the labels match the number of classes. If the network has one class more than the
/// data, the last one is the null class.
fn classes(
    config: &RunConfig,
    count: i64,
    labels: &mut Labels,
    names: Vec<String>,
) -> Result<(LabelUse, Classes)> {
    one_hot_to_classes(labels);
    let Labels::Classes { count: known, .. } = labels else {
        bail!(
            "the data has no classes, the network has {count}; give one class per image, or remove model.classes (--unset model.classes)"
        )
    };
    let (known, most) = (*known as i64, names.len().max(*known) as i64);
    let dropout = config.train.label_dropout;
    if let Some(null) = config.model.null_class() {
        ensure!(
            most <= null,
            "the labels have {most} classes, the network has {null}; set model.classes={most}"
        );
        let null = (dropout > 0.0).then_some(null); // without dropped labels it is not trained
        return Ok((LabelUse::Classes { null }, Classes { names, null }));
    }
    ensure!(
        most <= count,
        "the labels have {most} classes, the network has {count}; set model.classes={most}, or {} with a null class",
        most + 1
    );
    ensure!(
        names.is_empty() || most >= count - 1,
        "the data names {most} classes, the network has {count}; set model.classes={most}, or {} with a null class",
        most + 1
    );
    // Without names, the highest id is only a lower bound of the number of classes.
    let spare = most == count - 1 || (names.is_empty() && known < count);
    let null = (spare && dropout > 0.0).then_some(count - 1); // without dropped labels it is not trained
    ensure!(
        null.is_some() || dropout == 0.0,
        "train.label_dropout={dropout} needs a null class: set model.classes={}, or train.label_dropout=0.0",
        most + 1
    );
    Ok((LabelUse::Classes { null }, Classes { names, null }))
}

/// Converts one-hot rows to class ids.
fn one_hot_to_classes(labels: &mut Labels) {
    let Labels::Context(rows) = labels else { return };
    let id = |row: ndarray::ArrayView1<f32>| {
        let one = row.iter().position(|&weight| weight == 1.0)?;
        let others = row.iter().enumerate().filter(|&(at, &weight)| at != one && weight != 0.0);
        (others.count() == 0).then_some(one as u32)
    };
    let ids: Option<Vec<u32>> = rows.rows().into_iter().map(id).collect();
    if let Some(ids) = ids {
        *labels = Labels::Classes { ids, count: rows.ncols() };
    }
}

/// Whose channels the data have, for an error.
fn paired(config: &RunConfig) -> String {
    match config.condition {
        Some(ImageCondition::Pair { channels, .. }) => format!(
            ", {channels} channels of them those of the paired picture (data.kind=pairs reads pairs)"
        ),
        _ => String::new(),
    }
}

/// Checks that the network matches the process and the section `train`.
fn trainable(config: &RunConfig) -> Result<()> {
    let RunConfig { model, process, train, .. } = config;
    let [channels, height, width] = model.image_shape();
    config.network()?;
    let enlarges = matches!(model, ModelConfig::ImprovedSuperRes(_));
    match train.low_res {
        None => ensure!(
            !enlarges,
            "a super-resolution network needs low-resolution images: set train.low_res to their side, such as {}",
            height.min(width) / 4
        ),
        Some(side) => ensure!(
            enlarges && height % side == 0 && width % side == 0,
            "train.low_res={side}: expected a side that divides {height} x {width}, for a network of family improved-super-res"
        ),
    }
    let augment = match model {
        ModelConfig::Edm(config) => config.augment,
        _ => None,
    };
    ensure!(
        train.augment.is_none() || augment == Some(AugmentConfig::LABELS),
        "train.augment: the network takes no {0} augmentation labels; expected family edm with model.augment={0}",
        AugmentConfig::LABELS
    );
    let uncertain = matches!(model, ModelConfig::Edm2(config) if config.logvar.is_some());
    ensure!(
        uncertain || train.loss != LossType::Uncertainty,
        "train.loss=uncertainty needs a network that learns its log-variance: expected family edm2 with model.logvar"
    );
    ensure!(
        !uncertain || train.loss == LossType::Uncertainty || train.loss.needs_continuous_levels(),
        "model.logvar is trained by the loss uncertainty alone: set train.loss=uncertainty, or remove model.logvar"
    );
    ensure!(
        !model.self_condition() || train.self_condition > 0.0,
        "train.self_condition=0 trains a network that takes a self-condition without one, and sampling gives it one: set it above 0, or model.self_condition=false"
    );
    let (variance, outputs) = (process.variance(), model.outputs());
    let or_variance = if process.timesteps().is_some() { ", or process.variance" } else { "" };
    let expected = if variance.is_learned() { 2 * channels } else { channels };
    ensure!(
        outputs == expected,
        "the network outputs {outputs} channels, expected {expected} for images of {channels} channels and the variance {variance:?}: set model.outputs={expected}{or_variance}"
    );
    Ok(())
}
