//! Large images of small ones, by a small random network.

use inkdrop_data::picture::Picture;
use inkdrop_unet::{ImprovedConfig, ModelConfig};

use super::edit::{apart, pixels, put, same};
use super::networks::{improved_config, put_config, put_weights, weights};
use super::support::Place;

const UPSCALE: [&str; 9] =
    ["edit", "upscale", "model.pt", "--config", "net.json", "--process", "ddpm", "--steps", "3"];

/// Small pictures: `a.png` of 8 x 8 pixels in one colour, `b.png` in another, `c.png` of 4 x 4.
fn place() -> Place {
    let place = Place::new();
    let config = ModelConfig::ImprovedSuperRes(ImprovedConfig { outputs: 3, ..improved_config() });
    put_weights(&place, "model.pt", &weights(&config));
    put_config(&place, "net.json", &config);
    for (name, side, colour) in [("a.png", 8, 30), ("b.png", 8, 220), ("c.png", 4, 30)] {
        put(&place, name, &Picture::filled(side, side, [colour, 128, 90]));
    }
    place
}

fn upscale(place: &Place, args: &[&str]) {
    place.run(&[&UPSCALE[..], args].concat()).succeeds();
}

#[test]
fn what_is_drawn_depends_on_the_small_image() {
    let place = place();
    upscale(&place, &["a.png", "--out", "a/"]);
    upscale(&place, &["b.png", "--out", "b/"]);
    upscale(&place, &["c.png", "--out", "c/"]);
    let made = |folder: &str| pixels(&place, &format!("{folder}/00000.png"));
    assert_eq!(made("a").len(), 16 * 16 * 3);
    // The same noise, the network and its steps: only the small images differ.
    assert!(apart(&made("a"), &made("b")) > 1.0, "{}", apart(&made("a"), &made("b")));
    assert!(same(&made("a"), &made("c")), "one colour is the same, however small");
}

#[test]
fn variations_and_batches() {
    let place = place();
    upscale(&place, &["a.png", "b.png", "-n", "2", "--out", "x/"]);
    upscale(&place, &["a.png", "b.png", "-n", "2", "--batch", "1", "--out", "y/"]);
    let made = |folder: &str, i: usize| pixels(&place, &format!("{folder}/0000{i}.png"));
    assert!(made("x", 0) != made("x", 1));
    assert!((0..4).all(|i| same(&made("x", i), &made("y", i))));
    upscale(&place, &["a.png", "b.png", "-n", "2", "--out", "x.png"]);
}

#[test]
fn another_size_is_another_factor() {
    let place = place();
    upscale(&place, &["a.png", "--size", "32x32", "--out", "x/"]);
    assert_eq!(pixels(&place, "x/00000.png").len(), 32 * 32 * 3);
}

#[test]
fn sizes_that_cannot_be_are_named() {
    let place = place();
    let refused = |args: &[&str], words: &[&str]| {
        place.refuses(&[&UPSCALE[..], args].concat(), words);
    };
    for (width, height) in [(16, 16), (17, 9), (5, 5), (8, 4), (40, 2)] {
        put(&place, "odd.png", &Picture::filled(width, height, [9; 3]));
        let size = format!("odd.png is {width} x {height} pixels");
        refused(&["odd.png"], &[&size, "16 x 16", "--size"]);
    }
    refused(&["a.png", "c.png"], &["4 x 4", "8 x 8", "one size"]);
}

#[test]
fn upscalers_only_upscale() {
    let place = place();
    let model = ["model.pt", "--config", "net.json", "--process", "ddpm"];
    place.refuses(&[&["sample"], &model[..]].concat(), &["inkdrop edit upscale"]);
    let img2img = [&["edit", "img2img"], &model[..], &["a.png"]].concat();
    place.refuses(&img2img, &["inkdrop edit upscale"]);
    place.refuses(
        &[&["edit", "colorize"], &model[..], &["a.png"]].concat(),
        &["inkdrop edit upscale"],
    );
}

/// Models that were not trained for it enlarge and colour by what is known.
#[test]
fn any_model_enlarges_and_colours() {
    let place = place();
    place
        .run(&["sample", "sprites", "-n", "1", "--class", "hero", "--steps", "5", "--out", "h/"])
        .succeeds();
    for args in [
        &["edit", "upscale", "sprites-fast", "a.png", "-n", "2", "--out", "up/"][..],
        &[
            "edit",
            "upscale",
            "sprites",
            "a.png",
            "--sampler",
            "dpm++2m",
            "--steps",
            "5",
            "--out",
            "up2/",
        ],
        &[
            "edit",
            "colorize",
            "sprites-fast",
            "h/00000.png",
            "-n",
            "2",
            "--class",
            "hero",
            "--out",
            "colours/",
        ],
        &[
            "edit",
            "colorize",
            "sprites",
            "h/00000.png",
            "--steps",
            "5",
            "--guidance",
            "2",
            "--class",
            "hero",
            "--out",
            "colours.png",
        ],
        &[
            "edit",
            "inpaint",
            "sprites-fast",
            "h/00000.png",
            "--box",
            "4,4,6,6",
            "-n",
            "2",
            "--out",
            "in/",
        ],
        &[
            "edit",
            "inpaint",
            "sprites",
            "h/00000.png",
            "--box",
            "4,4,6,6",
            "--known-pixels",
            "--steps",
            "5",
            "--out",
            "in2/",
        ],
    ] {
        place.run(args).succeeds();
        // The same command finds its images.
        place.run(args).succeeds();
    }
    place.refuses(
        &[
            "edit",
            "inpaint",
            "sprites-fast",
            "h/00000.png",
            "--box",
            "4,4,6,6",
            "--times",
            "3",
            "--out",
            "x/",
        ],
        &["--times and --jump are for RePaint"],
    );
    let kept = |path: &str| {
        let picture = inkdrop_data::read::read_picture(place.path(path)).expect("a picture");
        let outside = |pixel: &(usize, &[u8])| {
            !(4..10).contains(&(pixel.0 / 16)) || !(4..10).contains(&(pixel.0 % 16))
        };
        let pixels = picture.pixels().chunks_exact(3).enumerate().filter(outside);
        pixels.flat_map(|(_, rgb)| rgb.to_vec()).collect::<Vec<u8>>()
    };
    for made in ["in/00000.png", "in/00001.png", "in2/00000.png"] {
        assert!(kept(made) == kept("h/00000.png"), "{made}");
    }
}
