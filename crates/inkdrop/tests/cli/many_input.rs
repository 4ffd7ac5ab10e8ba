//! Requests that do not go with what is there.

use std::fs;

use super::support::{Place, place_with_model};

const SAMPLE: [&str; 6] = ["sample", "model.safetensors", "--steps", "2", "--batch", "4"];

fn refused(place: &Place, options: &[&str], words: &[&str]) {
    place.refuses(&[&SAMPLE[..], options].concat(), words);
}

fn sample(place: &Place, options: &[&str]) {
    place.run(&[&SAMPLE[..], options].concat()).succeeds();
}

#[test]
fn another_request_is_refused_with_its_first_difference() {
    let place = place_with_model();
    sample(&place, &["-n", "6", "--out", "x/"]);
    let ways: [(&[&str], &str); 6] = [
        (&["--seed", "1"], "seed is 0 there, 1 now"),
        (&["--class", "food"], "condition.contexts is [0.0,0.0,0.0,0.0,0.0] there, [0.0,0.0,1.0"),
        (&["--context", "food=1"], "condition.contexts is [0.0"),
        (&["--sampler", "ddpm"], "sampler is ddim there, ddpm now"),
        (&["--precision", "bf16"], "precision is f32 there, bf16 now"),
        (&["-n", "5"], "count is 6 there, 5 now"),
    ];
    for (way, words) in ways {
        let options = [&["-n", "6", "--out", "x/"], way].concat();
        let options = if way[0] == "-n" { [&["--out", "x/"], way].concat() } else { options };
        refused(&place, &options, &["x/samples.json", words, "--out", "--restart"]);
    }
    let args = ["sample", "model.safetensors", "-n", "6", "--out", "x/"];
    let steps = [&args[..], &["--batch", "4", "--steps", "3"]].concat();
    place.refuses(&steps, &["levels is trailing2 there, trailing3 now"]);
    let batch = [&args[..], &["--batch", "2", "--steps", "2"]].concat();
    place.refuses(&batch, &["batch is 4 there, 2 now"]);
}

/// What is compared is what the words stand for.
#[test]
fn the_same_request_in_other_words_goes_on() {
    let place = place_with_model();
    let said = ["-n", "6", "--out", "x/", "--class", "food", "--sampler", "euler_a"];
    sample(&place, &said);
    let again = ["--context", "food=1", "--sampler", "euler-ancestral", "--eta", "1"];
    let base = ["sample", "model.safetensors", "--steps", "2", "--batch", "4", "-n", "6"];
    let outcome = place.run(&[&base[..], &["--out", "x/"], &again].concat()).succeeds();
    assert!(outcome.stderr.contains("nothing to do"), "{}", outcome.stderr);
    let less = [&base[..], &["--out", "x/", "--context", "food=1"], &again[2..4]].concat();
    let less = [&less[..], &["--eta", "0.5"]].concat();
    place.refuses(&less, &["sampler is euler-ancestral there, euler-ancestral, eta 0.5 now"]);
}

#[test]
fn a_model_is_known_by_its_weights_and_not_by_its_name() {
    let place = place_with_model();
    sample(&place, &["-n", "6", "--out", "x/"]);
    fs::rename(place.path("model.safetensors"), place.path("moved.safetensors")).expect("a file");
    let moved = ["sample", "moved.safetensors", "--steps", "2", "--batch", "4", "-n", "6"];
    let outcome = place.run(&[&moved[..], &["--out", "x/"]].concat()).succeeds();
    assert!(outcome.stderr.contains("nothing to do"), "{}", outcome.stderr);
    place.train("run", "1", &[]).succeeds();
    fs::rename(place.path("run/final.safetensors"), place.path("model.safetensors")).expect("one");
    refused(&place, &["-n", "6", "--out", "x/"], &["model.weights is sha256:"]);
}

#[test]
fn pictures_of_nobody_knows_what_are_kept() {
    let place = place_with_model();
    sample(&place, &["-n", "6", "--out", "x/"]);
    fs::remove_file(place.path("x/samples.json")).expect("a manifest");
    let words = ["x holds 6 numbered PNG files", "samples.json", "--out", "--restart"];
    refused(&place, &["-n", "6", "--out", "x/"], &words);
    let part = ["-n", "8", "--out", "x/", "--shard", "0/2", "--restart"];
    refused(&place, &part, &["without --shard", "samples.json"]);
    place.put("x/samples.json", b"{\"count\": 6}");
    refused(&place, &["-n", "6", "--out", "x/"], &["x/samples.json", "--restart"]);
    sample(&place, &["-n", "5", "--out", "x/", "--restart"]);
    assert!(!place.path("x/00005.png").exists());
}

#[test]
fn an_array_of_nobody_knows_what_is_kept() {
    let place = place_with_model();
    place.put("x.npz.partial.npy", b"something");
    let words = ["x.npz.partial.npy", "x.npz.partial.json", "--restart"];
    refused(&place, &["-n", "6", "--out", "x.npz"], &words);
    sample(&place, &["-n", "6", "--out", "x.npz", "--restart"]);
    assert!(!place.path("x.npz.partial.npy").exists());
}

#[test]
fn parts_that_cannot_be_are_refused() {
    let place = place_with_model();
    for part in ["2/2", "0/0", "-1/2", "1", "a/b"] {
        refused(
            &place,
            &["--out", "x.npz", "--shard", part],
            &["--shard|-1", "I/N|tip|unexpected"],
        );
    }
    refused(&place, &["-n", "9", "--out", "x/", "--shard", "0/4"], &["9 images", "at most 3"]);
    refused(&place, &["--out", "x.png", "--shard", "0/2"], &["x.png", "x.npz", "directory/"]);
    let torch = ["--out", "x.npz", "--shard", "0/2", "--rng", "torch"];
    refused(&place, &torch, &["--shard", "--rng torch", "per-sample"]);
}
