//! Wrong images, masks and numbers: named, and nothing is written.

use inkdrop_data::picture::Picture;

use super::edit::{place, put, refused};

#[test]
fn unreadable_images_are_named() {
    let place = place();
    let whole = std::fs::read(place.path("0.png")).expect("a sprite");
    place.put("half.png", &whole[..whole.len() / 2]);
    place.put("noise.png", &[7; 300]);
    place.put("photo.jpg", b"\xff\xd8\xff\xe0");
    std::fs::create_dir(place.path("empty")).expect("a folder");
    for task in ["img2img", "invert"] {
        refused(&place, task, &["missing.png"], &["missing.png"]);
        refused(&place, task, &["half.png"], &["half.png", "broken PNG"]);
        refused(&place, task, &["noise.png"], &["noise.png", "expected a PNG, JPEG, GIF"]);
        refused(&place, task, &["photo.jpg"], &["photo.jpg", "broken JPEG"]);
        refused(&place, task, &["empty"], &["empty", "no picture"]);
        refused(&place, task, &["0.png", "missing.png"], &["missing.png"]);
        refused(&place, task, &[], &["IMAGES"]);
    }
}

#[test]
fn images_of_another_size_are_named_and_can_be_fitted() {
    let place = place();
    put(&place, "wide.png", &Picture::filled(40, 20, [9; 3]));
    let words = ["wide.png is 40 x 20 pixels", "16 x 16", "--fit"];
    refused(&place, "img2img", &["wide.png"], &words);
    refused(&place, "inpaint", &["wide.png", "--box", "0,0,4,4"], &words);
    refused(&place, "invert", &["wide.png"], &words);
    refused(&place, "interpolate", &["0.png", "wide.png"], &words);
    let args = ["edit", "img2img", "sprites", "wide.png", "--fit", "--steps", "2"];
    place.run(&args).succeeds();
}

#[test]
fn numbers_that_cannot_be_are_named() {
    let place = place();
    for strength in ["0", "1.01", "nan", "-0.5"] {
        let option = format!("--strength={strength}");
        let word = strength.replace("nan", "NaN");
        refused(&place, "img2img", &["0.png", &option], &["--strength", &word, "above 0"]);
    }
    refused(&place, "img2img", &["0.png", "-n", "0"], &["0 images"]);
    refused(&place, "img2img", &["0.png", "--batch", "0"], &["--batch 0"]);
    refused(&place, "img2img", &["0.png", "--steps", "0"], &["0"]);
    refused(&place, "img2img", &["0.png", "--steps", "501"], &["501", "500"]);
    refused(&place, "img2img", &["0.png", "--sampler", "dpm"], &["dpm"]);
    refused(&place, "img2img", &["0.png", "--class", "dragon"], &["dragon", "hero"]);
    refused(&place, "invert", &["0.png", "--steps", "0"], &["0"]);
    refused(&place, "invert", &["0.png", "--steps", "501"], &["501", "500"]);
    let area = ["0.png", "--box", "0,0,4,4"];
    let inpaint = |more: &[&str], words: &[&str]| {
        refused(&place, "inpaint", &[&area[..], more].concat(), words);
    };
    inpaint(&["--times", "0"], &["--times 0"]);
    inpaint(&["--jump", "0"], &["--jump 0"]);
    inpaint(&["--steps", "0"], &["0"]);
    for option in [["--sampler", "ddim"], ["--spacing", "karras"], ["--eta", "0.5"]] {
        let name = option[0].trim_start_matches('-');
        inpaint(&option, &[name, "RePaint", "--known-pixels"]);
    }
}

#[test]
fn masks_that_cannot_be_are_named() {
    let place = place();
    put(&place, "small.png", &Picture::filled(8, 9, [255; 3]));
    put(&place, "black.png", &Picture::filled(16, 16, [100; 3]));
    let check = |args: &[&str], words: &[&str]| {
        refused(&place, "inpaint", &[&["0.png"], args].concat(), words);
    };
    check(&[], &["--mask", "--box", "--at"]);
    check(&["--mask", "small.png"], &["small.png is 8 x 9 pixels", "16 x 16"]);
    check(&["--mask", "black.png"], &["black", "white pixels"]);
    check(&["--mask", "missing.png"], &["missing.png"]);
    check(&["--mask", "black.png", "--box", "0,0,4,4"], &["--box"]);
    check(&["--outside"], &["--mask"]);
    for area in ["8,8,9,4", "0,0,0,4", "-1,0,4,4", "16,0,1,1", "0,9223372036854775807,4,4"] {
        check(&["--box", area], &[&format!("--box {area}"), "16 x 16"]);
    }
    check(&["--box", "1,2,3"], &["--box", "1,2,3", "4 integers"]);
    check(&["--box", "0,0,16,16", "--outside"], &["white pixels"]);
    check(&["--at", "16,0"], &["--at 16,0", "0.png lies outside"]);
    check(&["--at", "0,0"], &["--at 0,0", "covers"]);
    check(&["--at", "1"], &["--at", "2 integers"]);
    check(&["--at", "1,1", "--fit"], &["--fit"]);
}

#[test]
fn other_numbers_of_ends_are_named() {
    let place = place();
    let check = |args: &[&str], words: &[&str]| refused(&place, "interpolate", args, words);
    check(&["0.png"], &["1 images", "2 for a strip"]);
    check(&["0.png", "1.png", "2.png"], &["3 images", "2", "4"]);
    check(&["--seeds", "1,2,3"], &["3 seeds", "2", "4"]);
    check(&["--seeds", "1,x"], &["--seeds", "x"]);
    check(&["0.png", "1.png", "--seeds", "1,2"], &["--seeds"]);
    check(&[], &["IMAGES|seeds"]);
    check(&["0.png", "1.png", "--columns", "1"], &["1 columns", "at least 2"]);
    check(&["0.png", "1.png", "--rows", "3"], &["--rows"]);
    check(&["--seeds", "1,2,3,4", "--columns", "3", "--rows", "1"], &["1 rows", "at least 2"]);
    check(&["--seeds", "1,2", "--columns", "99999999"], &["99999999", "10000"]);
}

#[test]
fn what_is_read_is_not_written_over() {
    let place = place();
    std::fs::create_dir(place.path("in")).expect("a folder");
    std::fs::copy(place.path("0.png"), place.path("in/00000.png")).expect("a copy");
    let words = ["is an input", "--out"];
    refused(&place, "img2img", &["0.png", "--out", "./0.png"], &words);
    refused(&place, "img2img", &["in", "--out", "in/", "--restart"], &words);
    refused(&place, "img2img", &["in/00000.png", "--out", "in/", "--restart"], &words);
    refused(&place, "invert", &["0.png", "--latents", "0.png"], &["safetensors"]);
    refused(&place, "invert", &["0.png", "--latents", "no/z.safetensors"], &["no"]);
    let mask = ["0.png", "--mask", "1.png", "--out", "1.png"];
    refused(&place, "inpaint", &mask, &words);
}
