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
    /// - names: what the data calls its classes, if it does; they are found by name in the model
    /// - indices: which images of the data
    /// - fixed: what the user asks of all of them instead
    pub fn of(
        card: &Card,
        (labels, names): (&Labels, &[String]),
        indices: &[usize],
        fixed: Option<Row>,
    ) -> Result<Self> {
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
        let places = places(card, names)?;
        let row = |&index: &usize| row(card, labels, &places, index);
        Ok(Self {
            rows: indices.iter().map(row).collect::<Result<_>>()?,
            told: "the data's labels",
        })
    }
}

/// The model's number of each class of the data; empty where one of both has no names.
fn places(card: &Card, names: &[String]) -> Result<Vec<usize>> {
    let known = if card.contexts.is_empty() { &card.classes.names } else { &card.contexts };
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let place = |name: &String| {
        known.iter().position(|known| known == name).with_context(|| {
            format!(
                "the data has a class `{name}`, the model knows {}: rename it, or say --class for all of the data",
                known.join(", ")
            )
        })
    };
    names.iter().map(place).collect()
}

/// The label of one image.
fn row(card: &Card, labels: &Labels, places: &[usize], index: usize) -> Result<Row> {
    let mut row = Row::none(card);
    let place = |id: usize| places.get(id).copied().unwrap_or(id);
    match (card.model.classes(), labels) {
        (_, Labels::None) => {}
        (Some(count), Labels::Classes { ids, .. }) => {
            row.class = Some(class(card, count, place(ids[index] as usize), index)?);
        }
        (Some(count), Labels::Context(rows)) => {
            let ones = rows.row(index).iter().filter(|&&weight| weight == 1.0).count();
            let others = rows.row(index).iter().filter(|&&weight| weight != 0.0).count();
            let one = rows.row(index).iter().position(|&weight| weight == 1.0);
            let id = one.filter(|_| ones == 1 && others == 1);
            let id = id.context("the data's labels are weights, the model takes classes")?;
            row.class = Some(class(card, count, place(id), index)?);
        }
        (None, Labels::Classes { ids, .. }) => {
            let (class, count) = (place(ids[index] as usize), row.contexts.len());
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
            for (at, &weight) in rows.row(index).iter().enumerate() {
                row.contexts[place(at)] = weight;
            }
        }
    }
    Ok(row)
}

/// A class that the model knows, and that does not stand for none.
fn class(card: &Card, count: i64, id: usize, index: usize) -> Result<i64> {
    let class = id as i64;
    ensure!(
        class < count && Some(class) != card.classes.null,
        "image {index} is of class {class}, and the model knows {count} classes{}: expected 0 to {}",
        if card.classes.null.is_some() { ", one of which stands for none" } else { "" },
        count - if card.classes.null == Some(count - 1) { 2 } else { 1 }
    );
    Ok(class)
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
        Ok(Conditions::of(&card(preset), (labels, &[]), &[2, 0], None)?.rows)
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

    /// Folders number their classes by the alphabet, the model does not.
    #[test]
    fn classes_are_found_by_name() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let contexts = names(&["hero", "non-hero", "food", "spell", "side-facing"]);
        let card = Card { contexts, ..card("sprites") };
        let labels = Labels::Classes { ids: vec![0, 1], count: 2 };
        let of = |given: &[&str]| Conditions::of(&card, (&labels, &names(given)), &[0, 1], None);
        let rows = of(&["food", "hero"]).expect("known names").rows;
        assert_eq!(rows[0].contexts, [0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(rows[1].contexts, [1.0, 0.0, 0.0, 0.0, 0.0]);
        let error = of(&["food", "fox"]).err().expect("no fox").to_string();
        assert!(error.contains("`fox`") && error.contains("side-facing"), "{error}");
    }

    #[test]
    fn a_model_with_a_class_for_none_needs_no_labels() {
        let classes = Classes { names: Vec::new(), null: Some(999) };
        let card = Card { classes, ..card("improved_imagenet64_cond") };
        let rows = Conditions::of(&card, (&Labels::None, &[]), &[0], None).expect("rows").rows;
        assert_eq!(rows[0].class, Some(999));
        let none = Labels::Classes { ids: vec![999], count: 1000 };
        let error =
            Conditions::of(&card, (&none, &[]), &[0], None).err().expect("none is no class");
        assert!(error.to_string().contains("expected 0 to 998"), "{error}");
        let mixed = Labels::Context(array![[1.0, 0.5]]);
        assert!(Conditions::of(&card, (&mixed, &[]), &[0], None).is_err());
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
