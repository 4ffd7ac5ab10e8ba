//! Data of 16 bits and of five channels, from the file to the samples.

use std::fs;

use inkdrop_data::picture::{write_image, write_tiff};
use inkdrop_data::{Depth, Images, InMemoryDataset, Labels, npy, npz};
use inkdrop_data::{arrays, read};
use ndarray::Array4;

use super::support::Place;

/// A tiny network for images of 16 × 16, with CHANNELS.
const RUN: &str = r#"
[model]
family = "edm"
architecture = { song = {} }
size = 16
channels = CHANNELS
outputs = CHANNELS
features = 8
multipliers = [1, 1]
blocks = 1

[process]
preconditioning = { name = "edm", sigma_data = 0.5 }

[data]
kind = "npy"
images = "x.npy"

[train]
steps = 3
batch = 4
sample_every = 2
checkpoint_every = 1
label_dropout = 0.0
"#;

fn place(images: Images) -> Place {
    let place = Place::new();
    place.put("mine.toml", RUN.replace("CHANNELS", &images.channels().to_string()).as_bytes());
    let data = InMemoryDataset::new(images, Labels::None).expect("a dataset");
    npy::write(&place.path("x.npy"), &place.path("unused"), &data).expect("a file");
    place
}

#[test]
fn a_model_of_16_bits_samples_16_bits() {
    let value =
        |(n, y, x, c): (usize, usize, usize, usize)| (n * 4001 + y * 257 + x * 31 + c) as u16;
    let place =
        place(Images::of_wide(Array4::from_shape_fn((8, 16, 16, 3), value)).expect("images"));
    place.run(&["train", "mine.toml", "--out", "run"]).succeeds();
    assert!(place.path("run/samples/step-0000002.png").exists());
    let model = "run/final.safetensors";
    let sample = ["sample", model, "-n", "4", "--steps", "2", "--batch", "2", "--out"];
    place.run(&[&sample[..], &["s.npz"]].concat()).succeeds();
    let samples = npz::load(place.path("s.npz")).expect("images").images;
    assert_eq!((samples.len(), samples.depth()), (4, Depth::Sixteen));
    let values = samples.wide().expect("16 bits").to_owned();
    assert!(values.iter().any(|value| value % 257 != 0), "more than 8 bits");
    // PNG files have them, too.
    place.run(&[&sample[..], &["s/"]].concat()).succeeds();
    let data = inkdrop_data::arrays::open(place.path("s")).expect("a folder");
    let mut bytes = vec![0; 2 * 16 * 16 * 3];
    inkdrop_data::Dataset::read(&data, 1, &mut bytes).expect("an image");
    assert_eq!(bytes, *samples.select(&[1]).expect("an image").raw_bytes());
    // A model that is converted still has them.
    place.run(&["convert", model, "c.safetensors"]).succeeds();
    assert!(place.run(&["inspect", "c.safetensors"]).succeeds().stdout.contains("16 bits"));
    place.refuses(&["eval", "likelihood", model, "x.npy"], &["16 bits"]);
    let rounded = ["eval", "bpd", "sprites", "x.npy", "--class", "hero"];
    place.refuses(&rounded, &["x.npy has images of 16 bits"]);
    place.run(&[&sample[..], &["s.png"]].concat()).succeeds();
    read::read_picture(place.path("s.png")).expect("a grid");
}

#[test]
fn a_model_of_five_channels_samples_five() {
    let value = |(n, y, x, c): (usize, usize, usize, usize)| (n * 31 + y * 5 + x + c * 40) as u8;
    let images = Images::new(Array4::from_shape_fn((8, 16, 16, 5), value)).expect("images");
    let place = place(images.clone());
    place.run(&["train", "mine.toml", "--out", "run"]).succeeds();
    let model = "run/final.safetensors";
    let sample = ["sample", model, "-n", "2", "--steps", "2", "--out"];
    place.run(&[&sample[..], &["s.npz"]].concat()).succeeds();
    let samples = npz::load(place.path("s.npz")).expect("images").images;
    assert_eq!(samples.view().shape(), [2, 16, 16, 5]);
    place.refuses(&[&sample[..], &["s/"]].concat(), &["5 channels", "x.npz"]);
    // One file for each image is the same data.
    fs::create_dir(place.path("rows")).expect("a folder");
    for index in 0..8 {
        let one = images.select(&[index]).expect("an image");
        let one = InMemoryDataset::new(one, Labels::None).expect("a dataset");
        npy::write(&place.path(&format!("rows/{index}.npy")), &place.path("unused"), &one)
            .expect("a file");
    }
    let rows = ["--unset", "data.images", "--set", "data.kind=arrays", "--set", "data.path=rows"];
    place.run(&[&["train", "mine.toml", "--out", "rows-run"], &rows[..]].concat()).succeeds();
    let tensors =
        |run: &str| super::support::tensors(&place.path(&format!("{run}/final.safetensors")));
    assert!(tensors("run") == tensors("rows-run"));
    place.run(&["eval", "distance", "s.npz", "x.npy"]).succeeds();
}

/// What an edit writes into a .npy file.
fn edited(place: &Place, args: &[&str]) -> Images {
    let _ = fs::remove_file(place.path("e.npy"));
    place.run(&[&["edit"], args, &["--steps", "2", "--out", "e.npy"]].concat()).succeeds();
    arrays::load(place.path("e.npy")).expect("images")
}

#[test]
fn edits_keep_16_bits() {
    let value =
        |(n, y, x, c): (usize, usize, usize, usize)| (n * 4001 + y * 2570 + x * 31 + c) as u16;
    let images = Images::of_wide(Array4::from_shape_fn((8, 16, 16, 3), value)).expect("images");
    let place = place(images.clone());
    place.run(&["train", "mine.toml", "--out", "run"]).succeeds();
    let one = images.select(&[3]).expect("an image");
    write_image(place.path("3.png"), &one, 0).expect("a file");
    write_tiff(place.path("3.tiff"), &one).expect("a file");
    let given = one.wide().expect("16 bits");
    for model in ["run/final.safetensors", "sprites"] {
        for input in ["3.png", "3.tiff"] {
            let box_ = ["inpaint", model, input, "--box", "4,5,6,7", "--known-pixels"];
            let result = edited(&place, &box_);
            assert_eq!(result.depth(), Depth::Sixteen);
            for ((n, y, x, c), value) in result.wide().expect("16 bits").indexed_iter() {
                let inside = (4..10).contains(&x) && (5..12).contains(&y);
                assert!(inside || *value == given[[n, y, x, c]], "a known value changed");
            }
            for out in ["e.png", "e.tiff", "e/"] {
                let args = [&["edit"], &box_[..], &["--steps", "2", "--out", out]].concat();
                place.run(&args).succeeds();
                let file = if out == "e/" { "e/00000.png" } else { out };
                assert_eq!(arrays::load(place.path(file)).expect("an image"), result, "{out}");
            }
            fs::remove_dir_all(place.path("e")).expect("a folder");
        }
        let fine = |args: &[&str]| {
            let result = edited(&place, args);
            let wide = result.wide().expect("16 bits");
            assert!(wide.iter().any(|value| value % 257 != 0), "{args:?} rounds");
        };
        fine(&["img2img", model, "3.png", "-n", "1"]);
        fine(&["invert", model, "3.png"]);
        fine(&["interpolate", model, "3.png", "3.tiff", "--columns", "2"]);
        fine(&["colorize", model, "3.png"]);
        write_image(place.path("s.png"), &read::fit_images(&one, 4, 4).expect("a size"), 0)
            .expect("a file");
        fine(&["upscale", model, "s.png"]);
        fine(&["inpaint", model, "s.png", "--at", "3,3", "--known-pixels"]);
        fine(&["img2img", model, "s.png", "--fit", "-n", "1"]);
    }
    // Several results in a picture are a sheet in 8 bits.
    let sheet = ["edit", "img2img", "sprites", "3.png", "-n", "2", "--steps", "2", "--out"];
    place.run(&[&sheet[..], &["sheet.png"]].concat()).succeeds();
    assert_eq!(arrays::load(place.path("sheet.png")).expect("a sheet").depth(), Depth::Eight);
}

#[test]
fn a_model_of_five_channels_edits_five() {
    let value =
        |(n, y, x, c): (usize, usize, usize, usize)| (n * 3100 + y * 500 + x + c * 40) as u16;
    let images = Images::of_wide(Array4::from_shape_fn((8, 16, 16, 5), value)).expect("images");
    let place = place(images.clone());
    place.run(&["train", "mine.toml", "--out", "run"]).succeeds();
    let model = "run/final.safetensors";
    let result =
        edited(&place, &["inpaint", model, "x.npy", "--box", "0,0,16,8", "--known-pixels"]);
    assert_eq!((result.len(), result.channels(), result.depth()), (8, 5, Depth::Sixteen));
    let lower = |images: &Images| {
        images.wide().expect("16 bits").slice(ndarray::s![.., 8.., .., ..]).to_owned()
    };
    assert_eq!(lower(&result), lower(&images));
    assert_ne!(result, images);
    write_tiff(place.path("x.tiff"), &images).expect("a file");
    let inpaint = ["edit", "inpaint", model, "x.tiff", "--box", "0,0,16,8", "--known-pixels"];
    place.run(&[&inpaint[..], &["--steps", "2", "--out", "y.tiff"]].concat()).succeeds();
    assert_eq!(arrays::load(place.path("y.tiff")).expect("images"), result);
    assert_eq!(edited(&place, &["img2img", model, "x.npy", "-n", "1"]).channels(), 5);
    assert_eq!(edited(&place, &["invert", model, "x.npy"]).channels(), 5);
    place.run(&["sample", model, "-n", "2", "--steps", "2", "--out", "s.tif"]).succeeds();
    assert_eq!(arrays::load(place.path("s.tif")).expect("images").channels(), 5);
    // A sheet shows three of the channels.
    let sheet = ["edit", "img2img", model, "x.npy", "-n", "1", "--steps", "2", "--out", "s.png"];
    place.run(&sheet).succeeds();
    place.refuses(&["edit", "colorize", model, "x.npy"], &["5 channels", "RGB"]);
    place.refuses(&["edit", "img2img", "sprites", "x.npy"], &["x.npy", "5 channels, expected 3"]);
}
