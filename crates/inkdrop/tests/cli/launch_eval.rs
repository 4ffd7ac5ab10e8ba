//! Several processes evaluate together, and print what one prints.
#![cfg(unix)]

use std::fs;

use super::launch::{Launched, free_port, launch, worker};
use super::support::{Outcome, Place, place_with_model};

/// Means and deviations of the channels, as inkdrop-eval's tests have it.
const EXTRACTOR: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../inkdrop-eval/tests/fixtures/extractor.pt");

/// The output of process 0, without its number; no other process prints.
fn printed(outcome: &Outcome) -> String {
    let lines = outcome.stdout.lines().map(|line| {
        line.strip_prefix("[0] ").unwrap_or_else(|| panic!("another process printed: {line}"))
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// Asserts that 1, 2 and 3 processes print the same bytes.
fn check_any_number(place: &Place, args: &[&str]) {
    let one = place.run(args).succeeds().stdout;
    assert!(one.len() > 100, "{one}");
    for processes in ["1", "2", "3"] {
        let outcome = place.run(&launch(processes, &[], args)).succeeds();
        assert_eq!(printed(&outcome), one, "{processes} processes");
    }
}

/// Four batches, of which the last is smaller: with three processes two have none in the last round.
#[test]
fn bits_per_dimension_are_those_of_one_process_to_the_last_bit() {
    let place = place_with_model();
    let args = ["eval", "bpd", "model.safetensors", "sprites:3:7", "--batch", "2", "--steps", "4"];
    check_any_number(&place, &[&args[..], &["--json"]].concat());
    check_any_number(&place, &[&args[..], &["--images", "1"]].concat());
}

#[test]
fn distances_are_those_of_one_process_to_the_last_bit() {
    let place = Place::new();
    let sets = ["eval", "distance", "sprites:2:9", "sprites:3:50", "--json"];
    let features = ["--extractor", EXTRACTOR, "--extractor-input", "unit", "--batch", "4"];
    check_any_number(&place, &[&sets[..], &features].concat());
    check_any_number(&place, &sets);
    let outcome = place.run(&launch("2", &[], &[&sets[..], &features].concat())).succeeds();
    assert_eq!(outcome.stderr.matches("below 10000").count(), 1, "{}", outcome.stderr);
}

/// Two workers in two directories, as on two machines.
fn on_two_machines(places: [&Place; 2], args: [&[&str]; 2]) -> [Outcome; 2] {
    let port = free_port();
    let start =
        |rank: usize| worker(places[rank].command(args[rank]), port, [&rank.to_string(), "2"]);
    [0, 1].map(start).map(Launched::end)
}

/// A process leaves an unreadable picture out, with a note: then it has fewer images than the others.
#[test]
fn an_unreadable_picture_of_one_process_ends_all() {
    let places = [place_with_model(), place_with_model()];
    for place in &places {
        place.run(&["data", "-n", "4", "--seed", "1", "--out", "x/"]).succeeds();
    }
    let bpd = ["eval", "bpd", "model.safetensors", "x", "--batch", "2", "--steps", "2"];
    let distance = ["eval", "distance", "sprites:2:9", "x"];
    for broken in [0, 1] {
        let path = places[broken].path("x/00002.png");
        let whole = fs::read(&path).expect("a picture");
        fs::write(&path, &whole[..whole.len() / 2]).expect("a writable folder");
        let counts = if broken == 0 { ["4", "3"] } else { ["3", "4"] };
        for args in [&bpd[..], &distance] {
            let outcomes = on_two_machines([&places[0], &places[1]], [args; 2]);
            assert!(outcomes[broken].stderr.contains("left out: x/00002.png"));
            let [first, second] = outcomes;
            let [here, there] = counts.map(|count| format!("{count} images"));
            second.fails_saying(&[&format!("this process has data of {here}"), &there]);
            first.fails_saying(&[&format!("process 1 failed: this process has data of {here}")]);
        }
        fs::write(&path, &whole).expect("a writable folder");
    }
}

/// Process 0 serves the store here, where the others would read its error; under `inkdrop launch` the launcher
/// does.
#[test]
fn an_unreadable_file_of_one_process_ends_all() {
    let places = [place_with_model(), place_with_model()];
    for place in &places {
        place.run(&["data", "-n", "4", "--seed", "1", "--out", "x.npy"]).succeeds();
    }
    for broken in [0, 1] {
        let path = places[broken].path("x.npy");
        let whole = fs::read(&path).expect("a file");
        fs::write(&path, &whole[..whole.len() / 2]).expect("a writable folder");
        let args = ["eval", "bpd", "model.safetensors", "x.npy", "--steps", "2"];
        let outcomes = on_two_machines([&places[0], &places[1]], [&args[..]; 2]);
        let words: [&[&str]; 2] = match broken {
            0 => [&["x.npy"], &["the process that serves the store has ended"]],
            _ => [&["process 1 failed: ", "x.npy"], &["x.npy"]],
        };
        for (outcome, words) in outcomes.into_iter().zip(words) {
            outcome.fails_saying(words);
        }
        fs::write(&path, &whole).expect("a writable folder");
    }
}

#[test]
fn processes_that_evaluate_different_things_say_so() {
    let place = place_with_model();
    let bpd = ["eval", "bpd", "model.safetensors", "sprites:3:4", "--steps", "2"];
    let other = [&bpd[..], &["--seed", "1"]].concat();
    let [first, second] = on_two_machines([&place, &place], [&bpd, &other]);
    second.fails_saying(&["this process has --seed 1, process 0 has 0"]);
    first.fails_saying(&["process 1 failed: this process has --seed 1"]);
    let distance = ["eval", "distance", "sprites:2:5", "sprites:3:5"];
    let other = ["eval", "distance", "sprites:2:5", "sprites:3:6"];
    let [first, second] = on_two_machines([&place, &place], [&distance, &other]);
    second.fails_saying(&["this process has data of 6 images", "process 0 has 5 images"]);
    first.fails_saying(&["process 1 failed: "]);
}
