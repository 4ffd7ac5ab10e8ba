//! Training requests that are refused before anything is written.

use super::support::{Place, train_args};

/// Training with these options fails with these words, and makes no folder.
fn refused(more: &[&str], words: &[&str]) {
    Place::new().refuses(&train_args("run", "3", more), words);
}

#[test]
fn unknown_key_is_named() {
    refused(&["--set", "train.setps=9"], &["setps"]);
}

#[test]
fn value_of_another_type_is_refused() {
    refused(&["--set", "train.batch=many"], &["batch", "many"]);
}

#[test]
fn unknown_config_is_named_with_the_known_ones() {
    Place::new().refuses(&["train", "sprits", "--out", "run"], &["sprits", "sprites"]);
}

#[test]
fn config_that_is_not_toml_is_refused_with_the_line() {
    let place = Place::new();
    place.put("mine.toml", b"[model]\nfeatures = = 3\n");
    place.refuses(&["train", "mine.toml", "--out", "run"], &["mine.toml", "line 2|2:"]);
}

#[test]
fn image_size_other_than_the_model_s_is_refused_with_both() {
    refused(&["--set", "model.size=32"], &["16", "32"]);
}

#[test]
fn contexts_other_than_the_classes_are_refused_with_both() {
    refused(&["--set", "model.contexts=4"], &["4", "5"]);
}

#[test]
fn size_that_cannot_be_halved_twice_is_refused() {
    refused(&["--set", "model.size=18"], &["18", "4|multiple|divi"]);
}

#[test]
fn features_not_divisible_by_8_are_refused() {
    refused(&["--set", "model.features=12"], &["12", "8"]);
}

#[test]
fn outputs_that_do_not_fit_the_variance_are_refused() {
    refused(
        &["--set", "process.variance=learned-range"],
        &["3 channels", "LearnedRange", "model.outputs=6"],
    );
}

#[test]
fn losses_and_weights_are_named_and_bounded() {
    refused(&["--set", "train.loss=l3"], &["l3", "mse"]);
    refused(&["--set", "train.weighting={p2={gamma=1.0,k=-1.0}}"], &["k", "-1"]);
    refused(&["--set", "train.loss={huber={delta=0.0}}"], &["huber delta 0"]);
}

#[test]
fn empty_batch_is_refused() {
    refused(&["--set", "train.batch=0"], &["batch", "0"]);
}

#[test]
fn batch_larger_than_the_data_is_refused_with_both() {
    refused(&["--set", "train.batch=65"], &["65", "64"]);
}

#[test]
fn zero_steps_are_refused() {
    Place::new().refuses(&train_args("run", "0", &[]), &["steps", "0"]);
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    Place::new().refuses(&train_args("kept.png", "3", &[]), &["kept.png"]);
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    refused(&["--device", "cuda:0"], &["cuda"]);
}
