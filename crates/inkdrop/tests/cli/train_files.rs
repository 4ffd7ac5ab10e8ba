//! Training on folders of pictures and on the files of CIFAR-10 and MNIST.

use std::fs;
use std::path::Path;

use super::support::{Outcome, Place, put_run};

/// A network for CIFAR-10's size.
const DDPM: &str = r#"[model]
family = "ddpm"
size = 32
channels = 3
features = 8
multipliers = [1, 2]
blocks = 1
groups = 4

"#;

const TRAIN: [&str; 4] = ["train", "mine.toml", "--out", "run"];
const CLASSES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A folder `x` of 10 sprites.
fn place_with_folder() -> Place {
    let place = Place::new();
    place.run(&["data", "-n", "10", "--seed", "1", "--out", "x/"]).succeeds();
    place
}

fn trains(place: &Place) -> Outcome {
    let outcome = place.run(&TRAIN).succeeds();
    assert!(place.path("run/final.safetensors").is_file());
    outcome
}

/// Moves sprite i to the name that `to` gives it and its class.
fn rename(place: &Place, to: impl Fn(&str, &str) -> String) {
    for index in 0..10 {
        let name = format!("0000{index}.png");
        let path = place.path(&format!("x/{}", to(CLASSES[index % 5], &name)));
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("a writable folder");
        fs::rename(place.path(&format!("x/{name}")), path).expect("a picture");
    }
}

#[test]
fn a_written_folder_trains() {
    let place = place_with_folder();
    put_run(&place, "3", "1", "kind = \"folder\"\npath = \"x\"");
    trains(&place);
    let more = ["train", "--resume", "--out", "run", "--steps", "3"];
    place.run(&more).succeeds();
}

#[test]
fn prefixes_and_sub_folders_name_the_contexts() {
    for (labels, join) in [("prefix", "_"), ("folder", "/")] {
        let place = place_with_folder();
        rename(&place, |class, name| format!("{class}{join}{name}"));
        let data = format!("kind = \"folder\"\npath = \"x\"\nlabels = \"{labels}\"");
        put_run(&place, "3", "4", &data);
        place.refuses(&TRAIN, &["5", "4", "model.contexts=5"]);
        put_run(&place, "3", "5", &data);
        trains(&place);
        let said = place.run(&["inspect", "run/final.safetensors"]).succeeds().stdout;
        assert!(said.contains(r#"["a","b","c","d","e"]"#), "{said}");
    }
}

#[test]
fn a_broken_picture_is_named_or_left_out() {
    let place = place_with_folder();
    place.put("x/00004.png", b"\x89PNG and no more");
    put_run(&place, "3", "1", "kind = \"folder\"\npath = \"x\"");
    place.refuses(&TRAIN, &["00004.png", "broken"]);
    put_run(&place, "3", "1", "kind = \"folder\"\npath = \"x\"\nbroken = \"skip\"");
    let said = trains(&place).stderr;
    assert!(said.contains("left out") && said.contains("00004.png"), "{said}");
}

#[test]
fn what_is_left_out_of_a_folder_is_told() {
    let place = place_with_folder();
    for index in 0..7 {
        place.put(&format!("x/{index}.heic"), b"x");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("/nowhere/a.png", place.path("x/dead.png")).expect("a link");
    put_run(&place, "3", "1", "kind = \"folder\"\npath = \"x\"");
    let said = trains(&place).stderr;
    assert!(said.contains("left out: 7 .heic"), "{said}");
    assert_eq!(said.contains("dead.png"), cfg!(unix), "{said}");
    let distance = ["eval", "distance", "x", "x"];
    let said = place.run(&distance).succeeds().stderr;
    assert!(said.contains("left out: 7 .heic"), "{said}");
}

#[test]
fn the_keys_of_pictures_decide_how_they_are_read() {
    let place = place_with_folder();
    let check = |keys: &str, words: &[&str]| {
        put_run(&place, "3", "1", &format!("kind = \"folder\"\npath = \"x\"\n{keys}"));
        place.refuses(&TRAIN, words);
    };
    check("max_pixels = 255", &["00000.png", "16 x 16", "data.max_pixels"]);
    check("transparent = \"pink\"", &["pink", "#ff8000"]);
    check("orientation = \"up\"", &["up", "ignore"]);
    check("animation = \"all\"", &["all", "refuse"]);
    let keys = "transparent = \"#102030\"\norientation = \"ignore\"\nanimation = \"refuse\"";
    put_run(&place, "3", "1", &format!("kind = \"folder\"\npath = \"x\"\n{keys}"));
    trains(&place);
    let saved = fs::read_to_string(place.path("run/config.toml")).expect("a config");
    assert!(keys.lines().all(|key| saved.contains(key)), "{saved}");
}

/// Its saved config says `fail`, which was the default, and has none of the newer keys.
#[test]
fn a_run_of_an_earlier_version_is_resumed() {
    let place = place_with_folder();
    put_run(&place, "3", "1", "kind = \"folder\"\npath = \"x\"");
    trains(&place);
    let saved = fs::read_to_string(place.path("run/config.toml")).expect("a config");
    let newer = ["transparent", "orientation", "animation", "max_pixels"];
    let old = saved.replace("fail-damaged", "fail");
    let is_newer = |line: &&str| newer.iter().any(|key| line.starts_with(key));
    let (gone, old): (Vec<&str>, Vec<&str>) = old.lines().partition(is_newer);
    assert_eq!(gone.len(), newer.len());
    place.put("run/config.toml", old.join("\n").as_bytes());
    let more = ["--resume", "--steps", "3"];
    place.run(&[&TRAIN[..], &more].concat()).succeeds();
    // To skip files is another run.
    let skipping = ["--resume", "--steps", "4", "--set", "data.broken=skip"];
    place.refuses(&[&TRAIN[..], &skipping].concat(), &["data.broken"]);
}

#[test]
fn a_folder_of_mnist_is_found() {
    let place = Place::new();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 8][..], &[7; 256]].concat();
    place.put("train-images-idx3-ubyte", &images);
    place.put("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 4, 3, 1, 0, 2]);
    let data = "kind = \"folder\"\npath = \".\"\nsize = 16\nlabels = \"folder\"";
    put_run(&place, "3", "4", data);
    let said = trains(&place).stderr;
    assert!(said.contains("MNIST") && said.contains("4 images"), "{said}");
    let said = place.run(&["eval", "distance", ".", "."]).succeeds();
    assert!(said.stderr.contains("MNIST") && said.stdout.contains("4 images"), "{}", said.stderr);
}

#[test]
fn pictures_are_fitted_to_the_network() {
    let place = place_with_folder();
    let folder = "kind = \"folder\"\npath = \"x\"\nsize = ";
    put_run(&place, "3", "1", &format!("{folder}8"));
    place.refuses(&TRAIN, &["[3, 8, 8]", "[3, 16, 16]"]);
    put_run(&place, "1", "1", &format!("{folder}16"));
    trains(&place);
}

#[test]
fn bad_folders_are_refused() {
    let place = place_with_folder();
    let check = |data: &str, words: &[&str]| {
        put_run(&place, "3", "1", &format!("kind = \"folder\"\n{data}"));
        place.refuses(&TRAIN, words);
    };
    check("path = \"gone\"", &["gone"]);
    check("path = \"x\"\nlabels = \"prefix\"", &["00000.png", "cat_01.png"]);
    check("path = \"x\"\nlabels = \"folder\"", &["png", "cat/01.png"]);
    check("path = \"x\"\nlabels = \"suffix\"", &["suffix", "prefix"]);
    check("path = \"x\"\nsise = 16", &["sise", "size"]);
    check("path = \"x\"\nsize = 0", &["size 0", "8192"]);
}

#[test]
fn cifar_trains() {
    let place = Place::new();
    place.put("data_batch_1.bin", &vec![5; 4 * 3073]);
    put_run(&place, "3", "10", "kind = \"cifar\"\npath = \".\"");
    place.refuses(&TRAIN, &["[3, 32, 32]", "[3, 16, 16]"]);
    let text = fs::read_to_string(place.path("mine.toml")).expect("a config");
    let (_, rest) = text.split_once("[process]").expect("two sections");
    place.put("mine.toml", format!("{DDPM}[process]{rest}").as_bytes());
    trains(&place);
    place.put("data_batch_1.bin", &vec![5; 3072]);
    place.refuses(&["train", "mine.toml", "--out", "other"], &["data_batch_1.bin", "3073"]);
}

/// A batch of four images of CIFAR's Python version, as NumPy and Python 2 pickle it.
fn pickled_batch(labels: &str) -> Vec<u8> {
    let array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR\
        (K\x01(K\x04M\x00\x0ctcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xff\
        J\xff\xff\xff\xffK\x00tb\x89T\x00\x30\x00\x00";
    let text = |text: &str| [&[b'U', text.len() as u8], text.as_bytes()].concat();
    let pixels: Vec<u8> = (0..4 * 3072u32).map(|index| (index / 1024 * 20) as u8).collect();
    let start = [&b"\x80\x02}("[..], &text("data"), array, &pixels, b"tb"];
    [&start.concat()[..], &text(labels), b"](K\x06K\x09K\x00K\x02eu."].concat()
}

#[test]
fn pickled_cifar_is_read_as_its_binary_version_is() {
    let place = Place::new();
    for folder in ["ten", "hundred", "binary"] {
        fs::create_dir(place.path(folder)).expect("a writable folder");
    }
    place.put("ten/data_batch_1", &pickled_batch("labels"));
    place.put("ten/batches.meta", b"\x80\x02}.");
    place.put("hundred/train", &pickled_batch("fine_labels"));
    place.put("hundred/meta", b"\x80\x02}.");
    let image = |index: u32, label| {
        let planes = (index * 3072..(index + 1) * 3072).map(|at| (at / 1024 * 20) as u8);
        [label].into_iter().chain(planes).collect::<Vec<u8>>()
    };
    let records = [image(0, 6), image(1, 9), image(2, 0), image(3, 2)].concat();
    place.put("binary/data_batch_1.bin", &records);
    for pickled in ["ten", "hundred", "ten/data_batch_1"] {
        let told = place.run(&["eval", "distance", "binary", pickled, "--json"]).succeeds();
        let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
        assert_eq!(told["pixels"]["sliced_wasserstein"], 0.0, "{told}");
    }
    let folder = "kind = \"folder\"\npath = \"ten\"\nsize = 16\nlabels = \"folder\"";
    put_run(&place, "3", "10", folder);
    let outcome = place.run(&TRAIN).succeeds();
    assert!(outcome.stderr.contains("CIFAR's Python version, 4 images"), "{}", outcome.stderr);
    place.put("ten/data_batch_1", b"\x80\x02cos\nsystem\n(U\x04truetR.");
    place.refuses(&["train", "mine.toml", "--out", "other"], &["os.system", "data_batch_1"]);
}

#[test]
fn idx_trains() {
    let place = Place::new();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 16, 0, 0, 0, 16][..], &[7; 1024]].concat();
    place.put("x", &images);
    place.put("y", &[0, 0, 8, 1, 0, 0, 0, 4, 3, 1, 0, 2]);
    put_run(&place, "1", "10", "kind = \"idx\"\nimages = \"x\"\nlabels = \"y\"");
    trains(&place);
    put_run(&place, "1", "10", "kind = \"idx\"\nimages = \"y\"");
    place.refuses(&["train", "mine.toml", "--out", "other"], &["y", "2049", "2051"]);
}
