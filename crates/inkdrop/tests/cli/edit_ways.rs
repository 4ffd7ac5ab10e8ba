//! To the noise and back, and between noises.

use inkdrop_checkpoint::StateDict;

use super::edit::{apart, edit, pixels, place, same};
use super::support::Place;

/// The mean error and the PSNR that `invert` says of each image.
fn errors(place: &Place, args: &[&str]) -> Vec<(f64, f64)> {
    let said = edit(place, "invert", &[args, &["--out", "x.png"]].concat());
    let lines = said.lines().filter(|line| line.contains("PSNR"));
    let number = |text: &str| text.parse().expect("a number");
    let error = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (number(words[3]), number(words[words.len() - 2]))
    };
    lines.map(error).collect()
}

#[test]
fn refining_leads_back_to_the_image() {
    let place = place();
    let error = |refine: &str| {
        let args = ["0.png", "5.png", "--class", "hero", "--steps", "20", "--refine", refine];
        errors(&place, &args)
    };
    let (plain, refined) = (error("0"), error("4"));
    assert_eq!((plain.len(), refined.len()), (2, 2));
    for (plain, refined) in plain.iter().zip(&refined) {
        assert!(refined.0 < plain.0 / 2.0 && refined.1 > plain.1 + 6.0, "{plain:?} {refined:?}");
    }
}

#[test]
fn latents_are_noise_for_each_image() {
    let place = place();
    let args = ["0.png", "5.png", "--steps", "25", "--batch", "1", "--latents", "z.safetensors"];
    errors(&place, &args);
    let weights = StateDict::open(&place.path("z.safetensors")).expect("latents");
    let latents = weights.get("latents").expect("latents");
    assert_eq!(latents.size(), [2, 3, 16, 16]);
    let spread = latents.std(true).double_value(&[]);
    assert!((0.7..1.4).contains(&spread), "{spread}");
    let names: Option<Vec<String>> = weights.metadata("images").expect("names");
    assert_eq!(names, Some(vec!["0".to_string(), "5".to_string()]));
}

#[test]
fn an_inversion_reports_again_what_is_there() {
    let place = place();
    let args = ["0.png", "--steps", "6", "--out", "x/"];
    let first = edit(&place, "invert", &args);
    assert!(first.contains("PSNR") && edit(&place, "invert", &args) == first);
}

#[test]
fn the_ends_of_a_way_are_the_images() {
    let place = place();
    let args =
        ["0.png", "5.png", "--columns", "4", "--steps", "30", "--class", "hero", "--out", "x/"];
    edit(&place, "interpolate", &args);
    let made = |number: usize| pixels(&place, &format!("x/0000{number}.png"));
    let (a, b) = (pixels(&place, "0.png"), pixels(&place, "5.png"));
    assert!(apart(&made(0), &a) < 6.0, "{}", apart(&made(0), &a));
    assert!(apart(&made(3), &b) < 6.0, "{}", apart(&made(3), &b));
    assert!(apart(&made(1), &a) < apart(&made(2), &a));
}

#[test]
fn the_corners_of_a_grid_are_the_images() {
    let place = place();
    let images = ["0.png", "5.png", "2.png", "7.png"];
    let args = ["--columns", "3", "--rows", "2", "--steps", "20", "--refine", "5", "--out", "x/"];
    edit(&place, "interpolate", &[&images[..], &args].concat());
    for (image, number) in images.iter().zip([0, 2, 3, 5]) {
        let away = apart(&pixels(&place, image), &pixels(&place, &format!("x/0000{number}.png")));
        assert!(away < 12.0, "{image}: {away}");
    }
}

#[test]
fn the_ends_of_seeds_are_their_first_samples() {
    let place = place();
    let args = ["--columns", "3", "--steps", "5", "--class", "food", "--out", "x/"];
    edit(&place, "interpolate", &[&["--seeds", "3,4"], &args[..]].concat());
    for (seed, number) in [("3", 0), ("4", 2)] {
        let args = ["-n", "1", "--steps", "5", "--class", "food", "--seed", seed, "--restart"];
        let sample = ["sample", "sprites", "--out", "s/"];
        place.run(&[&sample[..], &args].concat()).succeeds();
        let (a, b) =
            (pixels(&place, "s/00000.png"), pixels(&place, &format!("x/0000{number}.png")));
        assert!(same(&a, &b), "seed {seed}");
    }
}

#[test]
fn a_grid_of_seeds_does_not_depend_on_the_batch() {
    let place = place();
    for (batch, out) in [("2", "a/"), ("64", "b/")] {
        let args = ["--seeds", "1,2,3,4", "--columns", "2", "--steps", "4", "--batch"];
        edit(&place, "interpolate", &[&args[..], &[batch, "--out", out]].concat());
    }
    for number in 0..4 {
        let image = |folder: &str| pixels(&place, &format!("{folder}/0000{number}.png"));
        assert!(same(&image("a"), &image("b")), "{number}");
    }
}
