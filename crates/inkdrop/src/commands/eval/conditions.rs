//! What a model is told about images of a data set: their labels, in its own terms.

use anyhow::{Context, Result, bail, ensure};
use inkdrop_data::Labels;

use crate::model::card::Card;
use crate::model::context::Row;

/// A row for each image, and how the model was told.
pub struct Conditions {
    /// One for each image.
    pub rows: Vec<Row>,
    /// For the report: `labels of the data`, `nothing`, …
    pub told: &'static str,
}

impl Conditions {
    /// The labels of some images as a model takes them; a model that takes none is told nothing.
    ///
    /// - indices: which images of the data
    /// - fixed: what the user asks of all of them instead
    pub fn of(card: &Card, labels: &Labels, indices: &[usize], fixed: Option<Row>) -> Result<Self> {
        if let Some(row) = fixed {
            let rows = vec![row; indices.len()];
            return Ok(Self { rows, told: "what --class says" });
        }
        let (classes, contexts) = (card.model.classes(), card.model.contexts() as usize);
        if let (None, 0) = (classes, contexts) {
            let rows = vec![Row::none(card); indices.len()];
            return Ok(Self { rows, told: "nothing: it knows no conditions" });
        }
        if matches!(labels, Labels::None) {
            ensure!(
                classes.is_none() || card.classes.null.is_some(),
                "the model is told a class for every image, and the data has no labels: give data with labels, or --class N for all of it"
            );
            let rows = vec![Row::none(card); indices.len()];
            return Ok(Self { rows, told: "nothing: the data has no labels" });
        }
        let row = |&index: &usize| row(card, labels, index);
        Ok(Self {
            rows: indices.iter().map(row).collect::<Result<_>>()?,
            told: "the data's labels",
        })
    }
}

/// The label of one image.
fn row(card: &Card, labels: &Labels, index: usize) -> Result<Row> {
    let mut row = Row::none(card);
    match (card.model.classes(), labels) {
        (_, Labels::None) => {}
        (Some(count), Labels::Classes { ids, .. }) => {
            let class = i64::from(ids[index]);
            ensure!(
                class < count,
                "image {index} is of class {class}, and the model knows {count} classes: expected 0 to {}",
                count - 1
            );
            row.class = Some(class);
        }
        (Some(_), Labels::Context(rows)) => {
            let one = rows.row(index).iter().position(|&weight| weight == 1.0);
            let class = one.context("the data's labels are weights, the model takes classes")?;
            row.class = Some(class as i64);
        }
        (None, Labels::Classes { ids, .. }) => {
            let (class, count) = (ids[index] as usize, row.contexts.len());
            let Some(weight) = row.contexts.get_mut(class) else {
                bail!("image {index} is of class {class}, and the model knows {count} contexts");
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
            row.contexts = rows.row(index).to_vec();
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use inkdrop_process::ProcessConfig;
    use inkdrop_unet::ModelConfig;
    use ndarray::array;

    use super::*;
    use crate::model::card::Classes;

    fn card(preset: &str) -> Card {
        let model = ModelConfig::preset(preset).expect("a preset");
        let (contexts, classes) = (Vec::new(), Classes::default());
        Card { model, process: ProcessConfig::sprites(), contexts, classes }
    }

    fn rows(preset: &str, labels: &Labels) -> Result<Vec<Row>> {
        Ok(Conditions::of(&card(preset), labels, &[2, 0], None)?.rows)
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
        refused(preset, &Labels::Classes { ids: vec![0, 0, 1000], count: 1001 }, "knows 1000");
        refused(preset, &Labels::Context(array![[0.5], [0.5], [0.5]]), "are weights");
    }

    #[test]
    fn a_model_with_a_class_for_none_needs_no_labels() {
        let classes = Classes { names: Vec::new(), null: Some(999) };
        let card = Card { classes, ..card("improved_imagenet64_cond") };
        let rows = Conditions::of(&card, &Labels::None, &[0], None).expect("rows").rows;
        assert_eq!(rows[0].class, Some(999));
    }

    #[test]
    fn a_model_of_contexts_is_told_weights() {
        let ids = Labels::Classes { ids: vec![4, 0, 1], count: 5 };
        let of = |labels: &Labels| rows("sprites", labels).expect("rows");
        assert_eq!(of(&ids)[0].contexts, [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(of(&ids)[1].contexts, [0.0, 0.0, 0.0, 0.0, 1.0]);
        assert!(of(&Labels::None).iter().all(|row| row.is_none(&card("sprites"))));
        refused("sprites", &Labels::Classes { ids: vec![0, 0, 9], count: 10 }, "5 contexts");
        refused("sprites", &Labels::Context(array![[1.0], [1.0], [1.0]]), "1 weights");
    }

    #[test]
    fn a_model_that_knows_no_conditions_is_told_nothing() {
        let ids = Labels::Classes { ids: vec![4, 0, 1], count: 5 };
        let preset = "improved_cifar10";
        assert!(rows(preset, &ids).expect("rows").iter().all(|row| row.is_none(&card(preset))));
    }
}
