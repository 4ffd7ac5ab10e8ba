//! Which images a request gets.

use std::path::Path;

use npyz::npz::NpzArchive;

use super::support::{Place, TINY, place_with_model};

type Samples = (Vec<u64>, Vec<u8>, Option<Vec<i64>>);

/// The arrays of a file of samples: shape and pixels, and labels where it has some.
fn read(path: &Path) -> Samples {
    let mut file = NpzArchive::open(path).expect("a npz");
    let images = file.by_name("arr_0").expect("a npz").expect("arr_0");
    let shape = images.shape().to_vec();
    let pixels = images.into_vec::<u8>().expect("uint8");
    let labels = file.by_name("arr_1").expect("a npz");
    (shape, pixels, labels.map(|array| array.into_vec::<i64>().expect("int64")))
}

/// What these options sample.
fn sampled(place: &Place, options: &[&str]) -> Samples {
    let args = ["sample", "model.safetensors", "--out", "x.npz"];
    place.run(&[&args[..], options].concat()).succeeds();
    read(&place.path("x.npz"))
}

fn close(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a.abs_diff(*b) <= 1)
}

const IMAGE: usize = 16 * 16 * 3;

#[test]
fn an_image_is_the_same_whatever_the_count_and_the_batch() {
    let place = place_with_model();
    for sampler in ["ddpm", "ddim"] {
        let options = ["--sampler", sampler, "--steps", "4", "--seed", "5"];
        let of = |more: &[&str]| sampled(&place, &[&options[..], more].concat()).1;
        let five = of(&["-n", "5", "--batch", "5"]);
        let three = of(&["-n", "3", "--batch", "2", "--rng", "per-sample"]);
        assert!(close(&five[..3 * IMAGE], &three), "{sampler}");
        assert!(!close(&five[..IMAGE], &five[IMAGE..2 * IMAGE]), "{sampler}: images are equal");
    }
}

#[test]
fn the_seed_decides_the_images() {
    let place = place_with_model();
    let of =
        |rng, seed| sampled(&place, &["-n", "2", "--steps", "4", "--rng", rng, "--seed", seed]).1;
    let first = of("torch", "3");
    assert_eq!(first, of("torch", "3"));
    assert!(!close(&first, &of("torch", "4")));
    let own = of("per-sample", "3");
    assert!(!close(&first, &own), "both generators draw the same");
    assert!(!close(&own, &of("per-sample", "4")));
}

#[test]
fn npz_holds_images_and_the_labels_of_one_class() {
    let place = place_with_model();
    let (shape, _, labels) = sampled(&place, &["-n", "3", "--steps", "2", "--class", "food"]);
    assert_eq!(shape, [3, 16, 16, 3]);
    assert_eq!(labels, Some(vec![2; 3]));
    let (shape, _, labels) =
        sampled(&place, &["-n", "2", "--steps", "2", "--context", "hero=1,food=0.6"]);
    assert_eq!(shape, [2, 16, 16, 3]);
    assert_eq!(labels, None);
}

#[test]
fn classes_go_round_image_by_image_and_stopped_runs_go_on() {
    let place = place_with_model();
    let args = ["-n", "7", "--steps", "2", "--batch", "4", "--class"];
    let (_, images, labels) = sampled(&place, &[&args[..], &["each"]].concat());
    assert_eq!(labels, Some(vec![0, 1, 2, 3, 4, 0, 1]));
    let (_, food, _) = sampled(&place, &[&args[..], &["food"]].concat());
    let third = 2 * 16 * 16 * 3..3 * 16 * 16 * 3;
    assert!(close(&images[third.clone()], &food[third]), "image 2 is that of its class");
    let (_, _, labels) = sampled(&place, &[&args[..], &["spell,hero"]].concat());
    assert_eq!(labels, Some(vec![3, 0, 3, 0, 3, 0, 3]));
    let folder = ["sample", "model.safetensors", "-n", "6", "--steps", "2", "--class", "each"];
    let into = |count: &str| {
        let mut args = [&folder[..], &["--batch", "2", "--out", "each/"]].concat();
        args[3] = count;
        place.run(&args).succeeds().stderr
    };
    into("4");
    assert!(into("6").contains("continuing: 4 of 6"), "the conditions are those of the request");
}

#[test]
fn a_class_is_a_context_of_weight_one() {
    let place = place_with_model();
    let of = |more: &[&str]| sampled(&place, &[&["-n", "2", "--steps", "20"], more].concat()).1;
    let class = of(&["--class", "spell"]);
    assert_eq!(class, of(&["--context", "spell=1"]));
    assert_ne!(class, of(&["--context", "hero=500,food=-350"]), "the context changes nothing");
}

/// Every option of guidance has its own effect, and a scale of 1 has none.
#[test]
fn guidance_changes_what_it_is_told_to() {
    let place = Place::new();
    // A weaker model of the same process.
    let weak = ["train", "sprites", "--out", "weak", "--steps", "2"];
    place.run(&[&weak[..], &TINY[..]].concat()).succeeds();
    let guided = |more: &[&str]| {
        // The built-in model, which knows what a hero is.
        let asked = ["sample", "sprites", "--out", "x.npz", "-n", "2", "--steps", "4"];
        place.run(&[&asked[..], &["--class", "hero"], more].concat()).succeeds();
        read(&place.path("x.npz")).1
    };
    let plain = guided(&[]);
    assert!(guided(&["--guidance", "1"]) == plain);
    let free = guided(&["--guidance", "4"]);
    let others = [
        guided(&["--guidance", "4", "--guidance-interval", "1.5,1000"]),
        guided(&["--guidance", "4", "--guidance-rescale", "0.9"]),
        guided(&["--guidance", "4", "--threshold", "0.9"]),
        guided(&["--guidance", "4", "--autoguide", "weak/final.safetensors"]),
    ];
    for (i, one) in others.iter().enumerate() {
        assert!(*one != plain && *one != free, "option {i}");
        assert!(others[..i].iter().all(|other| other != one), "option {i}");
    }
    assert!(guided(&["--threshold", "0.5"]) != plain);
    assert!(guided(&["--guidance", "4", "--guidance-interval", "900,1000"]) == plain);
}

#[test]
fn steps_need_not_divide_the_process_s() {
    let place = place_with_model();
    for options in [["--steps", "30", "--sampler", "ddim"], ["--steps", "1", "--sampler", "ddpm"]] {
        let (shape, _, _) = sampled(&place, &[&["-n", "1"], &options[..]].concat());
        assert_eq!(shape, [1, 16, 16, 3]);
    }
}

#[test]
fn ddpm_takes_all_steps_where_none_are_said() {
    let place = place_with_model();
    let of = |more: &[&str]| sampled(&place, &[&["-n", "1", "--sampler", "ddpm"], more].concat()).1;
    assert_eq!(of(&[]), of(&["--steps", "500"]));
}
