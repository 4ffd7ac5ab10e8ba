//! What is drawn and what is kept.

use inkdrop_data::picture::Picture;
use inkdrop_data::read::{self, PictureOptions};

use super::edit::{edit, pixels, place, put};
use super::support::Place;

const FAST: [&str; 6] = ["--steps", "6", "--times", "2", "--jump", "3"];

fn inpaint(place: &Place, args: &[&str]) -> Vec<u8> {
    edit(place, "inpaint", &[args, &FAST, &["--restart", "--out", "x/"]].concat());
    pixels(place, "x/00000.png")
}

/// A mask that is white where a pixel (x, y) is to be drawn.
fn put_mask(place: &Place, white: impl Fn(usize, usize) -> bool) {
    let value = |i: usize| if white(i % 16, i / 16) { [255; 3] } else { [0; 3] };
    let bytes = (0..256).flat_map(value).collect();
    put(place, "mask.png", &Picture::new(16, 16, bytes).expect("a mask"));
}

/// Where two pictures of 16 x 16 pixels differ.
fn changed(a: &[u8], b: &[u8]) -> Vec<(usize, usize)> {
    let pixels = a.chunks(3).zip(b.chunks(3)).enumerate();
    pixels.filter(|(_, (a, b))| a != b).map(|(i, _)| (i % 16, i / 16)).collect()
}

#[test]
fn kept_pixels_are_the_image_s_own() {
    let place = place();
    let inside = |x: usize, y: usize| (3..10).contains(&x) && (5..13).contains(&y);
    for image in ["0.png", "2.png", "8.png"] {
        let drawn = inpaint(&place, &[image, "--box", "3,5,7,8", "--class", "hero"]);
        let changed = changed(&pixels(&place, image), &drawn);
        assert!(changed.len() > 20, "{image}: {} pixels were drawn", changed.len());
        assert!(changed.iter().all(|&(x, y)| inside(x, y)), "{image}: a kept pixel changed");
    }
}

#[test]
fn a_mask_and_its_box_are_the_same() {
    let place = place();
    put_mask(&place, |x, y| (3..10).contains(&x) && (5..13).contains(&y));
    let by_box = inpaint(&place, &["0.png", "--box", "3,5,7,8"]);
    assert!(inpaint(&place, &["0.png", "--mask", "mask.png"]) == by_box);
    put_mask(&place, |x, y| !((3..10).contains(&x) && (5..13).contains(&y)));
    assert!(inpaint(&place, &["0.png", "--mask", "mask.png", "--outside"]) == by_box);
}

#[test]
fn outside_draws_the_rest() {
    let place = place();
    let drawn = inpaint(&place, &["0.png", "--box", "2,2,12,12", "--outside"]);
    let changed = changed(&pixels(&place, "0.png"), &drawn);
    assert!(!changed.is_empty());
    assert!(changed.iter().all(|&(x, y)| !((2..14).contains(&x) && (2..14).contains(&y))));
}

#[test]
fn what_a_placed_image_does_not_cover_is_drawn() {
    let place = place();
    let large = read::fit(&read::read_picture(place.path("0.png")).expect("a sprite"), 20, 24);
    put(&place, "large.png", &large.expect("a size"));
    let check = |image: &str, at: (i64, i64)| {
        let drawn = inpaint(&place, &[image, "--at", &format!("{},{}", at.0, at.1)]);
        let given = read::decode_images(place.path(image), 3, &PictureOptions::default());
        let given = given.expect("a picture").images;
        let (placed, covered) = read::place(&given, (16, 16), at).expect("a canvas");
        let kept = (0..256).filter(|&i| covered[i]);
        for i in kept {
            assert!(drawn[i * 3..i * 3 + 3] == placed.bytes()[i * 3..i * 3 + 3], "{image} {i}");
        }
    };
    check("0.png", (4, 0));
    check("0.png", (-5, 6));
    check("large.png", (2, -3));
}

#[test]
fn placed_images_may_have_more_drawn() {
    let place = place();
    let drawn = inpaint(&place, &["0.png", "--at", "0,0", "--box", "3,5,7,8"]);
    assert!(inpaint(&place, &["0.png", "--box", "3,5,7,8"]) == drawn);
}

#[test]
fn variations_differ() {
    let place = place();
    let args = ["0.png", "--box", "3,5,7,8", "-n", "2"];
    inpaint(&place, &args);
    assert!(pixels(&place, "x/00000.png") != pixels(&place, "x/00001.png"));
}

/// RePaint has its own sampler.
#[test]
fn known_pixels_take_any_sampler_and_a_folder_keeps_it() {
    let place = place();
    let run = |out: &str, more: &[&str]| {
        let args = ["edit", "inpaint", "sprites", "0.png", "--box", "3,5,7,8", "--known-pixels"];
        place.run(&[&args[..], &["--steps", "4", "--out", out], more].concat())
    };
    run("ddim/", &[]).succeeds();
    run("multistep/", &["--sampler", "dpm++2m"]).succeeds();
    let of = |folder: &str| pixels(&place, &format!("{folder}/00000.png"));
    assert!(of("ddim") != of("multistep"));
    run("multistep/", &["--sampler", "dpm++2m"]).succeeds();
    run("multistep/", &[]).fails_saying(&["samples.json", "sampler", "--restart"]);
    run("ddim/", &["--sampler", "dpm++2m"]).fails_saying(&["samples.json", "sampler"]);
}
