//! Conditions of the images of a data set, from their labels.

use anyhow::{Context, Result, bail, ensure};
use inkdrop::data::Labels;
use inkdrop::model::{Condition, ModelMetadata};

/// One condition per image, and where they come from.
pub struct DataConditions {
    /// The condition of each image.
    pub each: Vec<Condition>,
    /// For the report: `labels of the data`, `none`, …
    pub source: &'static str,
}

impl DataConditions {
    /// Converts the labels of some images to conditions of a model.
    ///
    /// - names: class names of the data, if it has any; they are looked up in the model
    /// - indices: images of the data
    /// - fixed: one condition for all images instead of labels
    pub fn of(
        metadata: &ModelMetadata,
        (labels, names): (&Labels, &[String]),
        indices: &[usize],
        fixed: Option<Condition>,
    ) -> Result<Self> {
        if let Some(row) = fixed {
            let each = vec![row; indices.len()];
            return Ok(Self { each, source: "--class" });
        }
        let (classes, contexts) = (metadata.model.classes(), metadata.model.contexts() as usize);
        if let (None, 0) = (classes, contexts) {
            let each = vec![Condition::none(metadata); indices.len()];
            return Ok(Self { each, source: "none (an unconditional model)" });
        }
        if matches!(labels, Labels::None) {
            ensure!(
                classes.is_none() || metadata.classes.null.is_some(),
                "the model needs a class for every image, and the data has no labels: give data with labels, or --class N for all images"
            );
            let each = vec![Condition::none(metadata); indices.len()];
            return Ok(Self { each, source: "none (the data has no labels)" });
        }
        let places = places(metadata, names)?;
        let row = |&index: &usize| row(metadata, labels, &places, index);
        Ok(Self {
            each: indices.iter().map(row).collect::<Result<_>>()?,
            source: "labels of the data",
        })
    }
}

/// The model's index of each class of the data; empty if either has no names.
fn places(metadata: &ModelMetadata, names: &[String]) -> Result<Vec<usize>> {
    let known =
        if metadata.contexts.is_empty() { &metadata.classes.names } else { &metadata.contexts };
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let place = |name: &String| {
        known.iter().position(|known| known == name).with_context(|| {
            format!(
                "the data has a class `{name}`, which is not one of the model ({}): rename it, or give --class for all images",
                known.join(", ")
            )
        })
    };
    names.iter().map(place).collect()
}

/// The label of one image.
fn row(
    metadata: &ModelMetadata,
    labels: &Labels,
    places: &[usize],
    index: usize,
) -> Result<Condition> {
    let mut row = Condition::none(metadata);
    let place = |id: usize| places.get(id).copied().unwrap_or(id);
    match (metadata.model.classes(), labels) {
        (_, Labels::None) => {}
        (Some(count), Labels::Classes { ids, .. }) => {
            row.class = Some(class(metadata, count, place(ids[index] as usize), index)?);
        }
        (Some(count), Labels::Context(rows)) => {
            let ones = rows.row(index).iter().filter(|&&weight| weight == 1.0).count();
            let others = rows.row(index).iter().filter(|&&weight| weight != 0.0).count();
            let one = rows.row(index).iter().position(|&weight| weight == 1.0);
            let id = one.filter(|_| ones == 1 && others == 1);
            let id = id.context("the data's labels are weights, the model takes classes")?;
            row.class = Some(class(metadata, count, place(id), index)?);
        }
        (None, Labels::Classes { ids, .. }) => {
            let (class, count) = (place(ids[index] as usize), row.contexts.len());
            let Some(weight) = row.contexts.get_mut(class) else {
                bail!("image {index} is of class {class}, and the model has {count} contexts");
            };
            *weight = 1.0;
        }
        (None, Labels::Context(rows)) => {
            ensure!(
                rows.ncols() == row.contexts.len(),
                "the data's labels have {} weights, the model takes {} contexts",
                rows.ncols(),
                row.contexts.len()
            );
            for (at, &weight) in rows.row(index).iter().enumerate() {
                row.contexts[place(at)] = weight;
            }
        }
    }
    Ok(row)
}

/// Checks that a class is one of the model, and not its null class.
fn class(metadata: &ModelMetadata, count: i64, id: usize, index: usize) -> Result<i64> {
    let class = id as i64;
    ensure!(
        class < count && Some(class) != metadata.classes.null,
        "image {index} is of class {class}, and the model has {count} classes{}: expected 0 to {}",
        if metadata.classes.null.is_some() { ", one of which is the null class" } else { "" },
        count - if metadata.classes.null == Some(count - 1) { 2 } else { 1 }
    );
    Ok(class)
}

#[cfg(test)]
mod tests {
    use inkdrop::process::ProcessConfig;
    use inkdrop::unet::ModelConfig;
    use ndarray::array;

    use super::*;
    use inkdrop::model::{Classes, SamplingDefaults};

    fn metadata(preset: &str) -> ModelMetadata {
        let model = ModelConfig::preset(preset).expect("a preset");
        let (contexts, classes) = (Vec::new(), Classes::default());
        ModelMetadata {
            condition: None,
            depth: Default::default(),
            model,
            process: ProcessConfig::sprites().into(),
            contexts,
            classes,
            sampling: SamplingDefaults::default(),
        }
    }

    fn rows(preset: &str, labels: &Labels) -> Result<Vec<Condition>> {
        Ok(DataConditions::of(&metadata(preset), (labels, &[]), &[2, 0], None)?.each)
    }

    fn refused(preset: &str, labels: &Labels, words: &str) {
        let error = rows(preset, labels).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_model_of_classes_is_told_ids() {
        let of = |labels| -> Vec<Option<i64>> {
            let rows = rows("improved_imagenet64_cond", &labels).expect("rows");
            rows.iter().map(|row| row.class).collect()
        };
        let one_hot = array![[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]];
        assert_eq!(of(Labels::Classes { ids: vec![7, 8, 999], count: 1000 }), [Some(999), Some(7)]);
        assert_eq!(of(Labels::Context(one_hot)), [Some(0), Some(1)]);
        let preset = "improved_imagenet64_cond";
        refused(preset, &Labels::None, "--class N");
        refused(preset, &Labels::Classes { ids: vec![0, 0, 1000], count: 1001 }, "has 1000");
        refused(preset, &Labels::Context(array![[0.5], [0.5], [0.5]]), "are weights");
    }

    /// Folders number their classes by the alphabet, the model does not.
    #[test]
    fn classes_are_found_by_name() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let contexts = names(&["hero", "non-hero", "food", "spell", "side-facing"]);
        let metadata = ModelMetadata { contexts, ..metadata("sprites") };
        let labels = Labels::Classes { ids: vec![0, 1], count: 2 };
        let of =
            |given: &[&str]| DataConditions::of(&metadata, (&labels, &names(given)), &[0, 1], None);
        let rows = of(&["food", "hero"]).expect("known names").each;
        assert_eq!(rows[0].contexts, [0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(rows[1].contexts, [1.0, 0.0, 0.0, 0.0, 0.0]);
        let error = of(&["food", "fox"]).err().expect("no fox").to_string();
        assert!(error.contains("`fox`") && error.contains("side-facing"), "{error}");
    }

    #[test]
    fn a_model_with_a_class_for_none_needs_no_labels() {
        let classes = Classes { names: Vec::new(), null: Some(999) };
        let metadata = ModelMetadata { classes, ..metadata("improved_imagenet64_cond") };
        let rows =
            DataConditions::of(&metadata, (&Labels::None, &[]), &[0], None).expect("rows").each;
        assert_eq!(rows[0].class, Some(999));
        let none = Labels::Classes { ids: vec![999], count: 1000 };
        let error = DataConditions::of(&metadata, (&none, &[]), &[0], None)
            .err()
            .expect("none is no class");
        assert!(error.to_string().contains("expected 0 to 998"), "{error}");
        let mixed = Labels::Context(array![[1.0, 0.5]]);
        assert!(DataConditions::of(&metadata, (&mixed, &[]), &[0], None).is_err());
    }

    #[test]
    fn a_model_of_contexts_is_told_weights() {
        let ids = Labels::Classes { ids: vec![4, 0, 1], count: 5 };
        let of = |labels: &Labels| rows("sprites", labels).expect("rows");
        assert_eq!(of(&ids)[0].contexts, [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(of(&ids)[1].contexts, [0.0, 0.0, 0.0, 0.0, 1.0]);
        assert!(of(&Labels::None).iter().all(|row| row.is_none(&metadata("sprites"))));
        refused("sprites", &Labels::Classes { ids: vec![0, 0, 9], count: 10 }, "5 contexts");
        refused("sprites", &Labels::Context(array![[1.0], [1.0], [1.0]]), "1 weights");
    }

    #[test]
    fn a_model_that_knows_no_conditions_is_told_nothing() {
        let ids = Labels::Classes { ids: vec![4, 0, 1], count: 5 };
        let preset = "improved_cifar10";
        assert!(rows(preset, &ids).expect("rows").iter().all(|row| row.is_none(&metadata(preset))));
    }
}
