//! Training on odd data: little of it, mixed, streamed, and what cannot be used.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{Place, put_run, tensors, train_args};

const TRAIN: [&str; 4] = ["train", "mine.toml", "--out", "run"];

/// A picture of inkdrop-data's own tests.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../inkdrop-data/tests/fixtures").join(name)
}

/// A folder `x` of these pictures.
fn place_with(pictures: &[&str]) -> Place {
    let place = Place::new();
    fs::create_dir(place.path("x")).expect("a folder");
    for name in pictures {
        fs::copy(fixture(name), place.path(&format!("x/{name}"))).expect("a picture");
    }
    place
}

fn folder(place: &Place, more: &str) {
    put_run(place, "3", "1", &format!("kind = \"folder\"\npath = \"x\"\n{more}"));
}

#[test]
fn an_empty_folder_is_refused() {
    let place = place_with(&[]);
    folder(&place, "size = 16");
    place.refuses(&TRAIN, &["x", "no picture"]);
}

#[test]
fn one_image_is_enough_for_a_batch_of_one() {
    let place = place_with(&["deep.png"]);
    folder(&place, "size = 16");
    place.refuses(&TRAIN, &["batch 4", "expected 1 to 1"]);
    let one = ["--set", "train.batch=1"];
    place.run(&[&TRAIN[..], &one].concat()).succeeds();
}

/// Gray, palette, transparent, 16 bits, JPEG of three kinds, GIF and its first frame, all sizes.
#[test]
fn pictures_of_all_modes_and_sizes_train_together() {
    let all = [
        "alpha.png",
        "palette.png",
        "deep.png",
        "fit_gray.png",
        "gray.jpg",
        "cmyk.jpeg",
        "progressive.jpg",
        "still.gif",
        "animated.gif",
        "fit_6.png",
    ];
    let place = place_with(&all);
    folder(&place, "");
    place.refuses(&TRAIN, &["x", "set a size"]);
    folder(&place, "size = 16");
    place.run(&TRAIN).succeeds();
    put_run(&place, "1", "1", "kind = \"folder\"\npath = \"x\"\nsize = 16");
    place.run(&["train", "mine.toml", "--out", "gray"]).succeeds();
}

#[test]
fn a_class_without_pictures_is_named() {
    let place = place_with(&[]);
    for class in ["cats", "dogs"] {
        fs::create_dir(place.path(&format!("x/{class}"))).expect("a folder");
    }
    fs::copy(fixture("deep.png"), place.path("x/cats/1.png")).expect("a picture");
    folder(&place, "size = 16\nlabels = \"folder\"");
    place.refuses(&TRAIN, &["dogs"]);
}

#[test]
fn labels_beyond_the_network_s_classes_are_refused() {
    let place = Place::new();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 16, 0, 0, 0, 16][..], &[7; 1024]].concat();
    place.put("x", &images);
    place.put("y", &[0, 0, 8, 1, 0, 0, 0, 4, 3, 1, 0, 12]);
    put_run(&place, "1", "10", "kind = \"idx\"\nimages = \"x\"\nlabels = \"y\"");
    place.refuses(&TRAIN, &["13 classes", "10 contexts"]);
}

/// Labels that the network cannot take are refused, not ignored.
#[test]
fn labels_for_a_network_without_classes_are_refused() {
    let place = place_with(&[]);
    for name in ["cat_1.png", "dog_1.png"] {
        fs::copy(fixture("deep.png"), place.path(&format!("x/{name}"))).expect("a picture");
    }
    let without = ["train", "folder", "--data", "x", "--out", "run", "--set", "model.size=16"];
    let labels = ["--set", "data.labels=prefix", "--set", "data.size=16"];
    place.refuses(&[&without[..], &labels].concat(), &["data.labels", "model.classes"]);
    // --data takes the labels beside the images, which --unset leaves out.
    place.run(&["data", "-n", "8", "--seed", "1", "--out", "y.npy"]).succeeds();
    put_run(&place, "3", "1", "kind = \"npy\"\nimages = \"missing.npy\"");
    let text = fs::read_to_string(place.path("mine.toml")).expect("a config");
    let (_, rest) = text.split_once("[process]").expect("its process");
    let model = "[model]\nfamily = \"ddpm\"\nsize = 16\nchannels = 3\nfeatures = 8\nmultipliers = [1, 2]\n\
                 blocks = 1\ntime_features = 16\nactivation = \"silu\"\nattention = [1]\ngroups = 4";
    place.put("mine.toml", format!("{model}\n[process]{rest}").as_bytes());
    let data = [&TRAIN[..], &["--data", "y.npy", "--steps", "1"]].concat();
    place.refuses(&data, &["data.labels", "--unset data.labels"]);
    place.run(&[&data[..], &["--unset", "data.labels"]].concat()).succeeds();
}

/// The section of a damaged validation picture is named.
#[test]
fn a_damaged_validation_picture_is_named() {
    let place = place_with(&["deep.png"]);
    fs::create_dir(place.path("v")).expect("a folder");
    let whole = fs::read(fixture("deep.png")).expect("a picture");
    fs::write(place.path("v/cut.png"), &whole[..whole.len() / 2]).expect("a picture");
    folder(&place, "size = 16\n[validation]\nkind = \"folder\"\npath = \"v\"\nsize = 16");
    let one = ["--set", "train.batch=1"];
    let words = ["[validation]", "cut.png", "validation.broken"];
    place.refuses(&[&TRAIN[..], &one].concat(), &words);
}

/// Found when it is decoded, after a step: its checkpoint is saved first.
#[test]
fn a_streamed_validation_picture_that_turns_out_broken_loses_no_step() {
    let place = Place::new();
    for out in ["x/", "v/"] {
        place.run(&["data", "-n", "4", "--seed", "1", "--out", out]).succeeds();
    }
    let path = place.path("v/00003.png");
    let whole = fs::read(&path).expect("a picture");
    fs::write(&path, &whole[..whole.len() / 2]).expect("a writable folder");
    folder(&place, "[validation]\nkind = \"folder\"\npath = \"v\"\nmemory_mib = 0");
    let every = ["--set", "train.validate_every=2"];
    let stopped = place.run(&[&TRAIN[..], &every].concat());
    let saved = "run/checkpoints/step-0000002.safetensors";
    stopped.fails_saying(&["00003.png", "validation.broken", saved]);
    assert!(place.path(saved).is_file());
    let skip = ["--resume", "--steps", "3", "--set", "validation.broken=skip"];
    place.run(&[&TRAIN[..], &every, &skip].concat()).succeeds();
}

#[test]
fn a_key_that_is_not_set_is_noted_when_it_is_unset() {
    let place = place_with(&["deep.png"]);
    folder(&place, "size = 16");
    let more = ["--set", "train.batch=1", "--unset", "train.clipnorm"];
    let run = place.run(&[&TRAIN[..], &more].concat()).succeeds();
    assert!(run.stderr.contains("--unset train.clipnorm: the config does not set it"));
}

/// Read when they are needed or all at once, cropped and mirrored by any number of threads: the
/// same weights.
#[test]
fn streamed_pictures_train_as_those_in_memory_do() {
    let place = Place::new();
    place.run(&["data", "-n", "12", "--seed", "1", "--out", "x/"]).succeeds();
    let run = |out: &str, memory: &str, workers: &str| {
        folder(&place, &format!("size = 20\nmemory_mib = {memory}"));
        let workers = format!("train.workers={workers}");
        let settings = [
            "--set",
            "train.crop=true",
            "--set",
            "train.flip=true",
            "--set",
            &workers,
            "--steps",
            "5",
        ];
        place.run(&[&["train", "mine.toml", "--out", out][..], &settings].concat()).succeeds();
        tensors(&place.path(&format!("{out}/final.safetensors")))
    };
    let memory = run("memory", "4096", "0");
    assert!(memory == run("streamed", "0", "0"));
    assert!(memory == run("threads", "0", "3"));
    let resumed =
        |out: &str| tensors(&place.path(&format!("{out}/checkpoints/step-0000005.safetensors")));
    assert!(resumed("memory") == resumed("threads"));
}

/// Its header is whole, so it shows only when it is decoded.
#[test]
fn a_streamed_picture_that_turns_out_broken_is_named_or_replaced() {
    let place = Place::new();
    place.run(&["data", "-n", "8", "--seed", "1", "--out", "x/"]).succeeds();
    let path = place.path("x/00003.png");
    let whole = fs::read(&path).expect("a picture");
    fs::write(&path, &whole[..whole.len() / 2]).expect("a writable folder");
    let epoch = ["--steps", "2"];
    let run = |out: &str, broken: &str| {
        folder(&place, &format!("memory_mib = 0\nbroken = \"{broken}\""));
        place.run(&[&["train", "mine.toml", "--out", out][..], &epoch].concat())
    };
    run("fails", "fail").fails_saying(&["00003.png"]);
    let outcome = run("skips", "skip").succeeds();
    assert!(outcome.stderr.contains("left out") && outcome.stderr.contains("00003.png"));
    // Hours into a run, the state is saved before it stops.
    folder(&place, "memory_mib = 0");
    let long = ["train", "mine.toml", "--out", "late", "--steps", "8", "--set", "train.batch=2"];
    let stopped = place.run(&long).fails_saying(&["00003.png", "data.broken", "--resume"]);
    let saved = |step: usize| {
        let path = format!("late/checkpoints/step-000000{step}.safetensors");
        stopped.stderr.contains(&path) && place.path(&path).is_file()
    };
    assert!((1..8).any(saved), "{}", stopped.stderr);
    let skip = ["--resume", "--set", "data.broken=skip", "--allow-changes"];
    place.run(&[&long[..], &skip].concat()).succeeds();
    fs::write(&path, &whole).expect("a writable folder");
    place.run(&["train", "mine.toml", "--out", "whole", "--steps", "8"]).succeeds();
}

#[test]
fn samples_in_an_archive_train() {
    let place = super::support::place_with_model();
    let sample = ["sample", "model.safetensors", "-n", "8", "--class", "spell", "--steps", "2"];
    place.run(&[&sample[..], &["--out", "x.npz"]].concat()).succeeds();
    put_run(&place, "3", "5", "kind = \"npz\"\npath = \"x.npz\"");
    place.run(&TRAIN).succeeds();
    place.put("x.npz", b"PK and no more");
    place.refuses(&["train", "mine.toml", "--out", "other"], &["x.npz"]);
}

/// Where nothing can be written, that is said before anything is learned.
#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_written_is_refused() {
    let place = Place::new();
    place.refuses(&train_args("/proc/inkdrop/run", "2", &[]), &["/proc/inkdrop"]);
}
