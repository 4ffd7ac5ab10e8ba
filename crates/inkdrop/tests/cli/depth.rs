//! Data of 16 bits and of five channels, from the file to the samples.

use std::fs;

use inkdrop_data::read;
use inkdrop_data::{Depth, Images, InMemoryDataset, Labels, npy, npz};
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
    place.refuses(&["edit", "img2img", model, "s/00000.png"], &["16 bits", "editing"]);
    place.refuses(&["eval", "likelihood", model, "x.npy"], &["16 bits"]);
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
