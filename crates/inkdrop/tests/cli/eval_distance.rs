//! `inkdrop eval distance`: samples beside data.

use serde_json::Value;

use super::support::Place;

/// Means and deviations of the channels, as inkdrop-eval's tests have it.
const EXTRACTOR: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../inkdrop-eval/tests/fixtures/extractor.pt");

fn json(place: &Place, args: &[&str]) -> Value {
    let args = [&["eval", "distance"], args, &["--json"]].concat();
    serde_json::from_str(&place.run(&args).succeeds().stdout).expect("JSON")
}

fn number(told: &Value, part: &str, key: &str) -> f64 {
    told[part][key].as_f64().unwrap_or_else(|| panic!("no number {part}.{key} in {told}"))
}

#[test]
fn a_set_is_at_no_distance_from_itself_in_any_form() {
    let place = Place::new();
    place.run(&["data", "-n", "30", "--seed", "4", "--out", "a.npy"]).succeeds();
    place.run(&["data", "-n", "30", "--seed", "4", "--out", "a/"]).succeeds();
    for (a, b) in [("a.npy", "sprites:4:30"), ("a", "a.npy"), ("sprites:4:30", "a")] {
        let told = json(&place, &[a, b]);
        assert_eq!(number(&told, "pixels", "sliced_wasserstein"), 0.0, "{a}, {b}");
        assert_eq!(told["size"], serde_json::json!([16, 16, 3]));
    }
}

#[test]
fn other_sprites_are_nearer_than_half_done_ones() {
    let place = Place::new();
    let args = ["sample", "sprites", "-n", "60", "--steps", "1", "--out", "x.npz"];
    place.run(&args).succeeds();
    let near = json(&place, &["sprites:2:60", "sprites:3:80"]);
    let far = json(&place, &["x.npz", "sprites:3:80"]);
    for key in ["sliced_wasserstein", "kernel_distance"] {
        assert!(number(&near, "pixels", key) < number(&far, "pixels", key), "{key}");
    }
    assert_eq!(
        (far["samples"]["images"].as_u64(), far["data"]["images"].as_u64()),
        (Some(60), Some(80))
    );
}

#[test]
fn an_extractor_adds_fid_kid_precision_and_recall() {
    let place = Place::new();
    let features = ["--extractor", EXTRACTOR, "--extractor-input", "unit", "--batch", "7"];
    let told = json(&place, &[&["sprites:2:50", "sprites:2:50"], &features[..]].concat());
    assert!(number(&told, "features", "fid").abs() < 1e-9);
    assert_eq!(number(&told, "features", "precision"), 1.0);
    assert_eq!(number(&told, "features", "recall"), 1.0);
    assert_eq!(number(&told, "features", "width"), 6.0);
    assert_eq!(number(&told, "features", "kid_size"), 50.0);
    assert_eq!(told["features"]["sha256"].as_str().map(str::len), Some(12));

    let args = ["eval", "distance", "sprites:2:50", "sprites:3:40", "--kid-size", "20"];
    let switched = ["--extractor-switches", "true"];
    let outcome = place.run(&[&args[..], &features, &switched].concat()).succeeds();
    for word in ["3 features of extractor.pt (sha256 ", "FID", "±", "subsets of 20", "recall"] {
        assert!(outcome.stdout.contains(word), "no `{word}` in: {}", outcome.stdout);
    }
    assert!(outcome.stderr.contains("below 10000"), "{}", outcome.stderr);
}

#[test]
fn what_needs_more_images_is_left_out_and_named() {
    let place = Place::new();
    let args = ["eval", "distance", "sprites:1:1", "sprites:2:5"];
    let outcome = place.run(&args).succeeds();
    assert!(outcome.stdout.contains("sliced") && !outcome.stdout.contains("kernel"));
    assert!(outcome.stderr.contains("the kernel distance needs 2 images"), "{}", outcome.stderr);
    let args = ["eval", "distance", "sprites:1:3", "sprites:2:5", "--extractor", EXTRACTOR];
    let outcome = place.run(&args).succeeds();
    assert!(outcome.stdout.contains("FID") && !outcome.stdout.contains("recall"));
    assert!(outcome.stderr.contains("precision and recall needs 4 images"), "{}", outcome.stderr);
}
