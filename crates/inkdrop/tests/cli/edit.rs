//! Tasks that start from images.

use std::fs;

use inkdrop_data::picture::{Picture, write_png};
use inkdrop_data::read::read_picture;
use inkdrop_data::sprites;

use super::support::Place;

/// A folder with the sprites 0 to 9 in it, as `0.png`, …: heroes are 0 and 5.
pub fn place() -> Place {
    let place = Place::new();
    let images = sprites::dataset(7, 10).images;
    for index in 0..10 {
        put(&place, &format!("{index}.png"), &Picture::of_image(&images, index).expect("a sprite"));
    }
    place
}

pub fn put(place: &Place, name: &str, picture: &Picture) {
    write_png(place.path(name), picture).expect("a writable folder");
}

pub fn pixels(place: &Place, name: &str) -> Vec<u8> {
    read_picture(place.path(name)).expect("a picture").pixels().to_vec()
}

/// Mean |difference| of two pictures.
pub fn apart(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
}

/// The difference of two pictures that rounding makes at most.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).all(|(&a, &b)| a.abs_diff(b) <= 2)
}

pub fn edit(place: &Place, task: &str, args: &[&str]) -> String {
    place.run(&[&["edit", task, "sprites"], args].concat()).succeeds().stdout
}

pub fn refused(place: &Place, task: &str, args: &[&str], words: &[&str]) {
    place.refuses(&[&["edit", task, "sprites"], args].concat(), words);
}

#[test]
fn a_little_strength_changes_little() {
    let place = place();
    for sampler in [["--steps", "10"], ["--sampler", "dpm-adaptive"]] {
        let vary = |strength: &str| {
            let args = ["0.png", "-n", "1", "--class", "hero", "--strength", strength];
            let out = ["--restart", "--out", "varied/"];
            edit(&place, "img2img", &[&args[..], &sampler, &out].concat());
            apart(&pixels(&place, "0.png"), &pixels(&place, "varied/00000.png"))
        };
        let (little, some, all) = (vary("0.1"), vary("0.4"), vary("1"));
        assert!(little < 15.0 && all > 30.0, "{little} and {all} with {sampler:?}");
        assert!(0.5 < some && some < all, "{some} and {all} with {sampler:?}");
    }
}

#[test]
fn image_i_does_not_depend_on_the_batch() {
    let place = place();
    for (batch, out) in [("1", "a/"), ("2", "b/"), ("64", "c/")] {
        let args = ["0.png", "5.png", "-n", "2", "--steps", "6", "--sampler", "ddpm", "--batch"];
        edit(&place, "img2img", &[&args[..], &[batch, "--out", out]].concat());
    }
    for number in 0..4 {
        let image = |folder: &str| pixels(&place, &format!("{folder}/0000{number}.png"));
        assert!(same(&image("a"), &image("b")) && same(&image("a"), &image("c")), "{number}");
    }
    assert!(apart(&pixels(&place, "a/00000.png"), &pixels(&place, "a/00001.png")) > 1.0);
}

#[test]
fn every_output_holds_the_same_images() {
    let place = place();
    let args = ["0.png", "5.png", "-n", "2", "--steps", "3"];
    for out in ["x.png", "x.npz", "x/"] {
        edit(&place, "img2img", &[&args[..], &["--out", out]].concat());
    }
    let mut npz = npyz::npz::NpzArchive::open(place.path("x.npz")).expect("a npz");
    let images = npz.by_name("arr_0").expect("a npz").expect("arr_0");
    assert_eq!(images.shape(), [4, 16, 16, 3]);
    let bytes: Vec<u8> = images.into_vec().expect("uint8");
    for (number, image) in bytes.chunks(768).enumerate() {
        assert!(image == pixels(&place, &format!("x/0000{number}.png")), "{number}");
    }
    // Rows of the image and two variations, four times as large, with labels.
    let sheet = read_picture(place.path("x.png")).expect("a picture");
    assert!(sheet.width() > 3 * 64 && sheet.height() > 2 * 64);
}

#[test]
fn a_folder_goes_on_and_refuses_other_images() {
    let place = place();
    let args = ["-n", "2", "--steps", "3", "--batch", "1", "--out", "x/"];
    edit(&place, "img2img", &[&["0.png"], &args[..]].concat());
    let before = pixels(&place, "x/00001.png");
    fs::remove_file(place.path("x/00001.png")).expect("an image");
    edit(&place, "img2img", &[&["0.png"], &args[..]].concat());
    assert!(before == pixels(&place, "x/00001.png"));
    refused(
        &place,
        "img2img",
        &[&["1.png"], &args[..]].concat(),
        &["x", "another request", "inputs"],
    );
    let other = [&["0.png", "--strength", "0.5"], &args[..]].concat();
    refused(&place, "img2img", &other, &["strength is 0.6 there, 0.5 now"]);
    edit(&place, "img2img", &[&["1.png", "--restart"], &args[..]].concat());
}

#[test]
fn folders_are_their_pictures() {
    let place = place();
    fs::create_dir(place.path("in")).expect("a folder");
    for name in ["0.png", "5.png"] {
        fs::copy(place.path(name), place.path("in").join(name)).expect("a copy");
    }
    for (images, out) in [(&["in"][..], "a.png"), (&["in/"][..], "b.png")] {
        edit(&place, "img2img", &[images, &["--steps", "2", "--out", out]].concat());
    }
    let files = ["0.png", "5.png", "--steps", "2", "--out", "c.png"];
    edit(&place, "img2img", &files);
    let read = |name| fs::read(place.path(name)).expect("a picture");
    assert!(read("a.png") == read("b.png") && read("a.png") == read("c.png"));
}

#[test]
fn conditions_and_guidance_matter() {
    let place = place();
    let draw = |more: &[&str]| {
        let args = ["0.png", "-n", "1", "--steps", "4", "--restart", "--out", "x/"];
        edit(&place, "img2img", &[&args[..], more].concat());
        pixels(&place, "x/00000.png")
    };
    let (none, food) = (draw(&[]), draw(&["--class", "food"]));
    let guided = draw(&["--class", "food", "--guidance", "4"]);
    assert!(none != food && food != guided);
    assert!(draw(&["--context", "food=1"]) == food);
}

#[test]
fn an_animation_shows_all_steps() {
    let place = place();
    let animation = |task: &str, args: &[&str], frames: usize| {
        edit(&place, task, &[args, &["--out", "x.png", "--animation", "x.apng"]].concat());
        let bytes = fs::read(place.path("x.apng")).expect("an animation");
        let found = bytes.windows(4).filter(|word| word == b"fcTL").count();
        assert_eq!(found, frames, "{task}");
    };
    animation("img2img", &["0.png", "--steps", "5", "--strength", "0.6"], 3);
    animation(
        "inpaint",
        &["0.png", "--box", "0,0,4,4", "--steps", "5", "--times", "2", "--jump", "2"],
        9,
    );
    animation("invert", &["0.png", "--steps", "4"], 7);
    animation("interpolate", &["0.png", "5.png", "--columns", "3", "--steps", "4"], 4);
    animation("interpolate", &["--seeds", "1,2", "--columns", "3", "--steps", "4"], 4);
}

#[cfg(unix)]
#[test]
fn ctrl_c_writes_nothing_half() {
    use super::many_stopped::{signal, start};
    let place = place();
    let args = ["edit", "inpaint", "sprites", "0.png", "--box", "4,4,8,8", "--out", "x.png"];
    for wait in [500, 1000, 2000, 4000, 8000] {
        let child = start(&place, &args);
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let outcome = signal(child, "-INT");
        assert!(!place.path("x.png").exists());
        if outcome.code == Some(130) {
            assert!(outcome.stderr.contains("x.png was not written"), "{}", outcome.stderr);
            return;
        }
    }
    panic!("never interrupted while it drew");
}
