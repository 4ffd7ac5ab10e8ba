//! Models that are conditioned on an image: pairs, inpainting and super-resolution, from data to samples.

use std::fs;

use inkdrop_data::picture::{Picture, write_image, write_png};
use inkdrop_data::{Images, read};
use ndarray::Array4;

use super::edit::pixels;
use super::launch::{difference, launch};
use super::support::{Place, contents, tensors};

/// A tiny network on a few sprites.
const TINY: [&str; 22] = [
    "--set",
    "model.features=8",
    "--set",
    "model.multipliers=[1,1]",
    "--set",
    "model.attention=[]",
    "--set",
    "train.batch=4",
    "--set",
    "data.count=14",
    "--set",
    "validation.count=6",
    "--set",
    "train.checkpoint_every=2",
    "--set",
    "train.log_every=1",
    "--set",
    "train.validate_every=2",
    "--set",
    "train.sample_every=4",
    "--set",
    "train.workers=2",
];

fn train<'a>(config: &'a str, out: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", config, "--out", out, "--steps", steps], &TINY[..], more].concat()
}

/// Sprites as `x/00000.png` and so on.
fn place_with_sprites() -> Place {
    let place = Place::new();
    place.run(&["data", "-n", "3", "--seed", "1", "--out", "x/"]).succeeds();
    place
}

/// Condition and depth are in the file of the model as well as its network.
#[test]
fn a_post_hoc_average_keeps_all_that_is_known_of_the_model() {
    let place = place_with_sprites();
    let averages = "train.ema=[\"power=0.05\",\"power=0.1\"]";
    place.run(&train("sprites-inpaint", "run", "4", &["--set", averages])).succeeds();
    place.run(&["ema", "run", "--width", "0.1"]).succeeds();
    let inpaint = ["edit", "inpaint", "run/ema-0.1.safetensors", "x/00000.png"];
    let rest = ["--box", "4,4,8,8", "--steps", "2", "--out", "y.png"];
    place.run(&[&inpaint[..], &rest].concat()).succeeds();
}

#[test]
fn an_inpainting_model_learns_resumes_and_keeps_the_kept_pixels() {
    let place = place_with_sprites();
    place.run(&train("sprites-inpaint", "run", "4", &[])).succeeds();
    assert!(place.path("run/samples/step-0000004.png").exists(), "a preview");
    // Stopped after two steps, and resumed with other workers: the masks are those of the whole run. The learning
    // rate falls to the number of steps.
    let constant = ["--set", "train.lr_schedule=constant"];
    place.run(&train("sprites-inpaint", "whole", "4", &constant)).succeeds();
    place.run(&train("sprites-inpaint", "part", "2", &constant)).succeeds();
    let resume = ["train", "--out", "part", "--resume", "--steps", "4"];
    place.run(&[&resume[..], &["--set", "train.workers=0"]].concat()).succeeds();
    let last = |run: &str| tensors(&place.path(&format!("{run}/final.safetensors")));
    assert!(last("whole") == last("part"));
    let model = "run/final.safetensors";
    let inpaint = ["edit", "inpaint", model, "x", "--box", "3,5,7,8", "--steps", "3"];
    place.run(&[&inpaint[..], &["--out", "y/"]].concat()).succeeds();
    for image in ["00000.png", "00001.png", "00002.png"] {
        let [before, after] = ["x", "y"].map(|folder| pixels(&place, &format!("{folder}/{image}")));
        let changed = before.chunks(3).zip(after.chunks(3)).enumerate();
        let changed: Vec<usize> =
            changed.filter(|(_, (a, b))| a != b).map(|(pixel, _)| pixel).collect();
        assert!(!changed.is_empty());
        let inside =
            |pixel: usize| (3..10).contains(&(pixel % 16)) && (5..13).contains(&(pixel / 16));
        assert!(changed.into_iter().all(inside), "{image}: a kept pixel changed");
    }
    // What is covered has no effect on the result.
    let mut covered = pixels(&place, "x/00000.png");
    covered[(6 * 16 + 4) * 3..(6 * 16 + 8) * 3].fill(200);
    let picture = Picture::new(16, 16, covered).expect("a picture");
    write_png(place.path("z.png"), &picture).expect("a file");
    let one = ["edit", "inpaint", model, "z.png", "--box", "3,5,7,8", "--steps", "3"];
    place.run(&[&one[..], &["--out", "z/"]].concat()).succeeds();
    assert!(pixels(&place, "z/00000.png") == pixels(&place, "y/00000.png"));
    place.refuses(&["sample", model], &["inkdrop edit inpaint"]);
    place.refuses(
        &[&inpaint[..], &["--times", "3"]].concat(),
        &["--times", "trained for inpainting"],
    );
    place.refuses(&["edit", "upscale", model, "x"], &["conditioned", "mask"]);
    place.refuses(
        &["edit", "img2img", model, "x/00000.png", "--out", "w/"],
        &["conditioned", "mask"],
    );
}

#[test]
fn processes_microbatches_and_half_precision_train_the_same_model() {
    let place = Place::new();
    place.run(&train("sprites-inpaint", "one", "3", &[])).succeeds();
    place.run(&train("sprites-inpaint", "micro", "3", &["--set", "train.microbatch=1"])).succeeds();
    place.run(&launch("2", &[], &train("sprites-inpaint", "two", "3", &[]))).succeeds();
    place
        .run(&train("sprites-inpaint", "half", "3", &["--set", "train.precision=bf16"]))
        .succeeds();
    let apart = |other: &str| {
        let file = |run: &str| place.path(&format!("{run}/final.safetensors"));
        difference(&file("one"), &file(other))
    };
    for (other, most) in [("micro", 2e-4), ("two", 2e-4), ("half", 0.05)] {
        assert!(apart(other) < most, "{other}: {}", apart(other));
    }
}

#[test]
fn an_upscaler_learns_and_takes_images_of_its_factor() {
    let place = place_with_sprites();
    place.run(&train("sprites-upscale", "run", "2", &[])).succeeds();
    for (name, side) in [("a.png", 4), ("b.png", 8)] {
        write_png(place.path(name), &Picture::filled(side, side, [200, 90, 40])).expect("a file");
    }
    let model = "run/final.safetensors";
    let upscale = ["edit", "upscale", model, "a.png", "--steps", "2", "--out", "u/"];
    place.run(&upscale).succeeds();
    let sample = ["sample", model, "--condition", "a.png", "--steps", "2", "--out", "s/"];
    place.run(&sample).succeeds();
    assert!(pixels(&place, "u/00000.png") == pixels(&place, "s/00000.png"));
    assert_eq!(
        fs::read_dir(place.path("s")).expect("a folder").count(),
        2,
        "one image, a manifest"
    );
    // Another condition is another request.
    fs::rename(place.path("b.png"), place.path("a.png")).expect("a file");
    place.refuses(&upscale, &["8 x 8", "4 times", "4 x 4"]);
    place.refuses(&["sample", model, "--condition", "a.png"], &["[8, 8, 3]", "[4, 4, 3]"]);
    place.refuses(&["sample", model], &["--condition", "inkdrop edit upscale"]);
    place.refuses(&["sample", "sprites", "--condition", "a.png"], &["takes none"]);
    place.refuses(&["sample", model, "--condition", "nowhere.png"], &["nowhere.png"]);
    let odd = ["--set", "condition.factor=3"];
    place.refuses(&train("sprites-upscale", "no", "2", &odd), &["condition.factor 3"]);
}

/// Folders `photos` and `edges` of pictures with the same names, and `both` of pictures side by side.
fn put_pairs(place: &Place) {
    for folder in ["photos", "edges", "both"] {
        fs::create_dir(place.path(folder)).expect("a folder");
    }
    for i in 0..6u8 {
        let shade = 40 * i;
        let [image, condition] = [[shade, 9, 99], [250 - shade; 3]];
        let put = |name: String, picture: &Picture| {
            write_png(place.path(&name), picture).expect("a file");
        };
        put(format!("photos/p{i}.png"), &Picture::filled(16, 16, image));
        put(format!("edges/p{i}.png"), &Picture::filled(16, 16, condition));
        let row = [[condition; 16], [image; 16]].concat().concat();
        put(format!("both/p{i}.png"), &Picture::new(32, 16, row.repeat(16)).expect("a picture"));
    }
}

#[test]
fn pairs_of_two_folders_are_those_of_pictures_side_by_side() {
    let place = Place::new();
    put_pairs(&place);
    let kind = [
        "--unset",
        "condition.share",
        "--unset",
        "data.count",
        "--unset",
        "data.seed",
        "--unset",
        "validation",
        "--set",
        "condition.kind=pair",
        "--set",
        "data.kind=pairs",
        "--set",
    ];
    let pairs = |out, path, more: &[&'static str]| {
        train("sprites-inpaint", out, "3", &[&kind[..], &[path], more].concat())
    };
    let folders = pairs("two", "data.path=photos", &["--set", "data.conditions=edges"]);
    place.run(&folders).succeeds();
    place.run(&pairs("one", "data.path=both", &[])).succeeds();
    let last = |run: &str| tensors(&place.path(&format!("{run}/final.safetensors")));
    assert!(last("one") == last("two"));
    let swapped = pairs("swapped", "data.path=both", &["--set", "data.condition_side=right"]);
    place.run(&swapped).succeeds();
    assert!(last("one") != last("swapped"));
    let model = "two/final.safetensors";
    let sample = ["sample", model, "--condition", "edges", "--steps", "2"];
    place.run(&[&sample[..], &["--out", "s/"]].concat()).succeeds();
    place.run(&[&sample[..], &["--out", "t/", "-n", "3", "--batch", "2"]].concat()).succeeds();
    for image in ["s/00005.png", "s/00002.png", "t/00002.png"] {
        read::read_picture(place.path(image)).expect("an image");
    }
    assert!(pixels(&place, "s/00001.png") == pixels(&place, "t/00001.png"));
    place.refuses(&["sample", model], &["conditioned on a picture", "--condition"]);
    place.refuses(&["sample", model, "--condition", "both"], &["[16, 32, 3]", "[16, 16, 3]"]);
    let text = place.run(&["inspect", model]).succeeds().stdout;
    assert!(text.contains("condition") && text.contains("kind=pair"), "{text}");
    place.run(&["convert", model, "d.safetensors"]).succeeds();
    let text = place.run(&["inspect", "d.safetensors"]).succeeds().stdout;
    assert!(text.contains("kind=pair"), "{text}");
    let again = ["sample", "d.safetensors", "--condition", "edges", "--steps", "2", "--out", "d/"];
    place.run(&again).succeeds();
    assert!(pixels(&place, "d/00001.png") == pixels(&place, "s/00001.png"));
    place.refuses(
        &["train", "sprites", "--set", "condition.kind=pair", "--out", "no"],
        &["family context", "edm"],
    );
    fs::remove_file(place.path("edges/p3.png")).expect("a file");
    place.refuses(
        &pairs("no", "data.path=photos", &["--set", "data.conditions=edges"]),
        &["p3", "0 pictures", "edges"],
    );
    let before = contents(place.0.path()).len();
    place.refuses(&train("sprites-inpaint", "no", "2", &["--set", "data.kind=pairs"]), &["data"]);
    assert_eq!(before, contents(place.0.path()).len());
}

/// Dropped and noisy conditions follow from the seed; a model that knows conditions of zeros is guided by its condition.
#[test]
fn an_upscaler_with_dropped_and_noisy_conditions_resumes_and_is_guided() {
    let place = Place::new();
    let more = [
        "--set",
        "condition.dropout=0.5",
        "--set",
        "condition.noise=[0.1,0.3]",
        "--set",
        "train.lr_schedule=constant",
        "--set",
        "train.lr=0.01",
    ];
    place.run(&train("sprites-upscale", "whole", "4", &more)).succeeds();
    place.run(&train("sprites-upscale", "part", "2", &more)).succeeds();
    let resume = ["train", "--out", "part", "--resume", "--steps", "4"];
    place.run(&[&resume[..], &["--set", "train.workers=0"]].concat()).succeeds();
    let micro = [&more[..], &["--set", "train.microbatch=1"]].concat();
    place.run(&train("sprites-upscale", "micro", "4", &micro)).succeeds();
    place.run(&train("sprites-upscale", "plain", "4", &more[4..])).succeeds();
    let file = |run: &str| place.path(&format!("{run}/final.safetensors"));
    assert!(tensors(&file("whole")) == tensors(&file("part")));
    assert!(difference(&file("whole"), &file("micro")) < 1e-3);
    assert!(difference(&file("whole"), &file("plain")) > 1e-3);

    for (name, shade) in [("a.png", 20), ("b.png", 230)] {
        write_png(place.path(name), &Picture::filled(4, 4, [shade; 3])).expect("a file");
    }
    let sampled = |model: &str, condition: &str, options: &[&str]| {
        let sample = ["sample", model, "--condition", condition, "--steps", "3"];
        place.run(&[&sample[..], &["--restart", "--out", "s/"], options].concat()).succeeds();
        pixels(&place, "s/00000.png")
    };
    let model = "whole/final.safetensors";
    let plain = sampled(model, "a.png", &[]);
    assert_eq!(
        plain,
        sampled(model, "a.png", &[]),
        "the noise of a condition follows from the seed"
    );
    assert_ne!(plain, sampled(model, "b.png", &[]));
    assert_ne!(plain, sampled(model, "a.png", &["--condition-guidance", "5"]));
    // 20/255 in 16 bits, and a value that 8 bits round to it.
    for (name, value) in [("even.png", 20 * 257), ("fine.png", 20 * 257 + 100)] {
        let image = Images::of_wide(Array4::from_elem((1, 4, 4, 3), value)).expect("an image");
        write_image(place.path(name), &image, 0).expect("a file");
    }
    assert_eq!(plain, sampled(model, "even.png", &[]));
    assert_ne!(plain, sampled(model, "fine.png", &[]));
    // Scale 0 is the prediction without a condition.
    let none = ["--condition-guidance", "0"];
    assert_eq!(sampled(model, "a.png", &none), sampled(model, "b.png", &none));
    let guided = ["--condition", "a.png", "--condition-guidance", "2"];
    place.refuses(&[&["sample", "plain/final.safetensors"], &guided[..]].concat(), &["dropout"]);
    place.refuses(
        &["sample", "sprites", "--condition-guidance", "2"],
        &["not conditioned on an image"],
    );
    for (set, word) in [
        ("condition.dropout=1.0", "condition.dropout 1"),
        ("condition.noise=[0.4,0.3]", "condition.noise 0.4"),
        ("condition.noise=[0,2]", "condition.noise 2"),
    ] {
        place.refuses(&train("sprites-upscale", "no", "2", &["--set", set]), &[word]);
    }
}

#[test]
fn a_plan_counts_the_channels_of_the_condition() {
    let place = Place::new();
    place.run(&train("sprites-upscale", "run", "1", &[])).succeeds();
    let parameters = |network: &str| {
        let text = place.run(&["plan", network, "--json"]).succeeds().stdout;
        let plan: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(plan["config"]["channels"], 3, "[model] as in the config of the run");
        assert_eq!(plan["condition"]["factor"], 4, "{text}");
        plan["parameters"].as_u64().expect("a number")
    };
    let (config, model) = (parameters("run/config.toml"), parameters("run/final.safetensors"));
    assert_eq!(config, model);
    let mut trained = tensors(&place.path("run/final.safetensors"));
    trained.retain(|name, _| !name.contains("resample_filter")); // a constant
    let values = |shape: &[i64]| shape.iter().product::<i64>() as u64;
    assert_eq!(config, trained.values().map(|(_, shape, _)| values(shape)).sum::<u64>());
    let text = place.run(&["plan", "run/config.toml"]).succeeds().stdout;
    assert!(text.contains("with 3 channels of its condition (low-res)"), "{text}");
}
