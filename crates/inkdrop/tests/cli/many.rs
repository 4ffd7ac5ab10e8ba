//! Many images: in parts, in several runs, without holding them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use npyz::npz::NpzArchive;

use super::support::{Place, contents, place_with_model};

const SAMPLE: [&str; 8] =
    ["sample", "model.safetensors", "--steps", "2", "--batch", "4", "--class", "hero"];

fn sample(place: &Place, options: &[&str]) -> String {
    place.run(&[&SAMPLE[..], options].concat()).succeeds().stderr
}

/// Shape, pixels, labels and contexts.
pub type Samples = (Vec<u64>, Vec<u8>, Vec<i64>, Vec<f32>);

pub fn read(path: &Path) -> Samples {
    let mut file = NpzArchive::open(path).expect("a npz");
    let images = file.by_name("arr_0").expect("a npz").expect("arr_0");
    let shape = images.shape().to_vec();
    let pixels = images.into_vec().expect("uint8");
    let labels = file.by_name("arr_1").expect("a npz").expect("arr_1");
    let labels = labels.into_vec().expect("int64");
    let rows = file.by_name("context").expect("a npz").expect("context");
    (shape, pixels, labels, rows.into_vec().expect("float32"))
}

/// The files of a folder by name, but those that say of what they are.
fn pictures(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let name = |path: PathBuf| path.strip_prefix(folder).expect("a path inside").to_path_buf();
    let all = contents(folder).into_iter().map(|(path, bytes)| (name(path), bytes));
    all.filter(|(name, _)| name.extension().is_some_and(|ending| ending == "png")).collect()
}

#[test]
fn parts_together_are_the_whole_to_the_bit() {
    let place = place_with_model();
    sample(&place, &["-n", "22", "--out", "whole.npz"]);
    let mut all: Samples = (vec![0, 16, 16, 3], vec![], vec![], vec![]);
    for part in ["0/3", "1/3", "2/3"] {
        sample(&place, &["-n", "22", "--out", "x.npz", "--shard", part]);
        let name = format!("x.{}-of-3.npz", &part[..1]);
        let (shape, pixels, labels, rows) = read(&place.path(&name));
        all.0[0] += shape[0];
        all.1.extend(pixels);
        all.2.extend(labels);
        all.3.extend(rows);
    }
    assert!(all == read(&place.path("whole.npz")));
    let left = contents(&place.path("")).into_keys();
    assert_eq!(left.filter(|path| path.to_string_lossy().contains("partial")).count(), 0);
}

#[test]
fn parts_share_a_folder() {
    let place = place_with_model();
    sample(&place, &["-n", "22", "--out", "whole/"]);
    for part in ["2/3", "0/3"] {
        sample(&place, &["-n", "22", "--out", "x/", "--shard", part]);
        assert!(place.path(&format!("x/samples.{}-of-3.json", &part[..1])).is_file());
    }
    let other = [&SAMPLE[..], &["-n", "22", "--out", "x/", "--shard", "1/3", "--seed", "1"]];
    place.refuses(&other.concat(), &["samples.0-of-3.json", "seed is 0 there, 1 now"]);
    let said = sample(&place, &["-n", "22", "--out", "x/"]);
    assert!(said.contains("continuing: 14 of 22 images are there"), "{said}");
    assert!(pictures(&place.path("x")) == pictures(&place.path("whole")));
    let said = sample(&place, &["-n", "22", "--out", "x/", "--shard", "1/3"]);
    assert!(said.contains("8 images of this request in x already: nothing to do"), "{said}");
}

#[test]
fn a_finished_folder_is_left_alone() {
    let place = place_with_model();
    sample(&place, &["-n", "6", "--out", "x/"]);
    let before = contents(&place.path("x"));
    let age =
        |name| fs::metadata(place.path(name)).and_then(|file| file.modified()).expect("a file");
    let made = age("x/00000.png");
    let said = sample(&place, &["-n", "6", "--out", "x/"]);
    assert!(said.contains("6 images of this request in x already: nothing to do"), "{said}");
    assert!(before == contents(&place.path("x")) && made == age("x/00000.png"));
}

#[test]
fn what_is_missing_or_broken_is_made_again() {
    let place = place_with_model();
    sample(&place, &["-n", "18", "--out", "whole/"]);
    sample(&place, &["-n", "18", "--out", "x/"]);
    fs::remove_file(place.path("x/00006.png")).expect("an image");
    let cut = fs::read(place.path("x/00017.png")).expect("an image");
    fs::write(place.path("x/00017.png"), &cut[..cut.len() / 2]).expect("a folder");
    let said = sample(&place, &["-n", "18", "--out", "x/"]);
    assert!(said.contains("continuing: 12 of 18 images are there"), "{said}");
    assert!(
        contents(&place.path("x")).into_values().eq(contents(&place.path("whole")).into_values())
    );
}

/// The last batch of 10 images is another than that of 13: it is made again.
#[test]
fn a_folder_grows_to_what_it_would_be() {
    let place = place_with_model();
    sample(&place, &["-n", "13", "--out", "whole/"]);
    sample(&place, &["-n", "10", "--out", "x/"]);
    let said = sample(&place, &["-n", "13", "--out", "x/"]);
    assert!(said.contains("continuing: 8 of 13 images are there"), "{said}");
    assert!(
        contents(&place.path("x")).into_values().eq(contents(&place.path("whole")).into_values())
    );
}

#[test]
fn restart_makes_a_folder_new_and_keeps_what_is_not_numbered() {
    let place = place_with_model();
    sample(&place, &["-n", "9", "--seed", "3", "--out", "x/"]);
    for name in ["x/cat.png", "x/7.png"] {
        place.put(name, b"not ours");
    }
    sample(&place, &["-n", "5", "--out", "x/", "--restart"]);
    sample(&place, &["-n", "5", "--out", "new/"]);
    let mut new = pictures(&place.path("new"));
    new.extend(["cat.png", "7.png"].map(|name| (name.into(), Some(b"not ours".to_vec()))));
    assert!(pictures(&place.path("x")) == new);
}

/// In numpy itself, where there is one: python3, or what INKDROP_TEST_PYTHON names.
#[test]
fn numpy_reads_what_is_there() {
    let place = place_with_model();
    sample(&place, &["-n", "6", "--out", "x.npz"]);
    let (shape, pixels, labels, rows) = read(&place.path("x.npz"));
    assert_eq!((shape, labels), (vec![6, 16, 16, 3], vec![0; 6]));
    assert_eq!(rows, [1.0, 0.0, 0.0, 0.0, 0.0].repeat(6));
    let python = std::env::var("INKDROP_TEST_PYTHON").unwrap_or("python3".into());
    let run = |code: &str| {
        let command = &mut Command::new(&python);
        command.args(["-c", code]).current_dir(place.path("")).output().ok()
    };
    if !run("import numpy").is_some_and(|output| output.status.success()) {
        eprintln!("{python} has no numpy: read by npyz alone");
        return;
    }
    let code = "import numpy as np; x = np.load('x.npz'); \
        print(sorted(x), [(x[k].dtype.str, x[k].shape) for k in sorted(x)], int(x['arr_0'].sum()))";
    let output = run(code).expect("python");
    let sum: u64 = pixels.iter().map(|&byte| u64::from(byte)).sum();
    let expected = format!(
        "['arr_0', 'arr_1', 'context'] [('|u1', (6, 16, 16, 3)), ('<i8', (6,)), ('<f4', (6, 5))] {sum}"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected);
}

/// The most memory that a run has held, in KiB.
#[cfg(target_os = "linux")]
fn peak(place: &Place, count: &str) -> u64 {
    let args = ["sample", "model.safetensors", "--steps", "1", "--out", "peak.npz", "-n", count];
    let mut command = place.command(&args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().expect("a process").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(size.unwrap_or(0));
        sleep(Duration::from_millis(2));
    }
    assert!(child.wait().expect("an end").success());
    peak
}

/// 20,000 images of 768 bytes are 15,000 KiB.
#[test]
#[cfg(target_os = "linux")]
fn ten_times_the_images_take_no_more_memory() {
    let place = place_with_model();
    let (few, many) = (peak(&place, "2000"), peak(&place, "20000"));
    assert!(few > 1000 && many < few + 7500, "{few} KiB for 2000, {many} KiB for 20000");
}

/// The arrays of a npy output are those of the archive, and the reader takes both files.
#[test]
fn npy_files_hold_what_an_archive_holds() {
    let place = place_with_model();
    sample(&place, &["-n", "10", "--out", "x.npz"]);
    sample(&place, &["-n", "10", "--out", "x.npy"]);
    let images = place.path("x.npy");
    let labels = inkdrop_data::npy::labels_path(&images);
    assert_eq!(labels, place.path("x_labels.npy"));
    let data = inkdrop_data::npy::load(&images, Some(&labels)).expect("both files");
    assert_eq!(data.images, inkdrop_data::npz::load(place.path("x.npz")).expect("npz").images);
    let ids = inkdrop_data::Labels::Classes { ids: vec![0; 10], count: 1 };
    assert_eq!(data.labels, ids);
    assert!(!place.path("x.npy.partial.npy").exists());
    place.run(&["sample", "model.safetensors", "--steps", "2", "--out", "x.npy"]).succeeds();
    assert!(!labels.exists(), "labels of other images");
}

/// The sampler of a model is that of its file, and a folder has images of one sampler.
#[test]
fn images_of_another_sampler_are_another_request() {
    let place = Place::new();
    let sample = ["sample", "sprites-fast", "--steps", "2", "--seed", "1", "--out", "made/"];
    place.run(&[&sample[..], &["-n", "2"]].concat()).succeeds();
    let before = pictures(&place.path("made"));
    let own = ["-n", "3", "--sampler", "consistency"];
    place.run(&[&sample[..], &own].concat()).succeeds();
    let after = pictures(&place.path("made"));
    assert!(after.len() == 3 && before.iter().all(|(name, bytes)| &after[name] == bytes));
    let other = [&sample[..], &["-n", "4", "--sampler", "ddim"]].concat();
    place.refuses(&other, &["sampler"]);
}

/// Neither an image nor the noise of one replaces the model.
#[test]
fn a_model_is_not_overwritten() {
    let place = place_with_model();
    // A file is known by its content.
    let before = fs::read(place.path("model.safetensors")).expect("a model");
    fs::write(place.path("weights.png"), &before).expect("a writable folder");
    let sample = ["sample", "weights.png", "-n", "1", "--steps", "2", "--out", "./weights.png"];
    place.refuses(&sample, &["weights.png is the model", "--out"]);
    let weaker = ["--guidance", "2", "--autoguide", "weights.png"];
    let sample = [&SAMPLE[..], &weaker, &["-n", "1", "--out", "weights.png"]].concat();
    place.refuses(&sample, &["weights.png is the model"]);
    assert!(fs::read(place.path("weights.png")).expect("a model") == before);
    place.run(&[&SAMPLE[..], &["-n", "1", "--out", "x/"]].concat()).succeeds();
    let latents = ["--latents", "model.safetensors", "--out", "y.png"];
    let invert = [&["edit", "invert", "model.safetensors", "x/00000.png"][..], &latents].concat();
    place.refuses(&invert, &["--latents model.safetensors", "input"]);
    let vary = ["edit", "img2img", "model.safetensors", "x/00000.png", "--out", "y.png"];
    place.refuses(&[&vary[..], &["-n", "10000000000"]].concat(), &["-n 10000000000", "at most"]);
    place.refuses(&["data", "-n", "10001", "--out", "x.png"], &["-n 10001", "at most 10000"]);
}
