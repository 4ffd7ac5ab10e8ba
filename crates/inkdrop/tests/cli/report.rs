//! `inkdrop report`: a run as one page.

use std::fs;

use super::support::Place;

fn page(place: &Place, name: &str) -> String {
    fs::read_to_string(place.path(name)).expect("a page")
}

#[test]
fn a_finished_run_has_curves_samples_and_its_denoising() {
    let place = Place::new();
    place.train("run", "3", &["--set", "train.sample_every=1"]).succeeds();
    fs::create_dir(place.path("run/evaluations")).expect("a folder");
    let args = ["eval", "bpd", "run/final.safetensors", "sprites:3:4", "--steps", "10", "--json"];
    let bpd = place.run(&args).succeeds().stdout;
    fs::write(place.path("run/evaluations/bpd.json"), bpd).expect("a writable folder");
    let outcome = place.run(&["report", "run", "--model-steps", "4"]).succeeds();
    assert!(outcome.stderr.contains("report.html"), "{}", outcome.stderr);
    let html = page(&place, "run/report.html");
    for words in [
        "3 of 3",
        "finished",
        "images per second",
        "samples after step 3",
        "ln SNR",
        "4 steps of ddim from noise",
        "data:image/apng;base64,",
        "bits_per_dim",
        "per_step.vb",
        "family = &quot;context&quot;",
        "libtorch",
    ] {
        assert!(html.contains(words), "no `{words}`");
    }
    assert!(!html.contains("http"), "nothing is fetched");
}

#[test]
fn a_run_that_is_not_finished_is_shown_as_far_as_it_is() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    fs::remove_file(place.path("run/final.safetensors")).expect("the final weights");
    let log = fs::read_to_string(place.path("run/log.jsonl")).expect("a log");
    fs::write(place.path("run/log.jsonl"), log + "{\"step\":3,\"lo").expect("a writable folder");
    place.run(&["report", "run", "--out", "page.html"]).succeeds();
    let html = page(&place, "page.html");
    assert!(html.contains("not finished") && html.contains("1 line of the log could not be read"));
    assert!(!html.contains("from noise, seed 0"));
}

#[test]
fn a_model_that_cannot_be_read_costs_only_its_denoising() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    fs::write(place.path("run/final.safetensors"), b"cut").expect("a writable folder");
    let outcome = place.run(&["report", "run"]).succeeds();
    assert!(outcome.stderr.contains("No animation"), "{}", outcome.stderr);
    assert!(page(&place, "run/report.html").contains("No animation"));
    place.run(&["report", "run", "--no-animation", "--out", "b.html"]).succeeds();
    assert!(!page(&place, "b.html").contains("No animation"));
}

#[test]
fn what_is_no_run_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).expect("a folder");
    place.refuses(
        &["report", "nothing"],
        &["nothing does not contain a training run", "the folder does not exist"],
    );
    place.refuses(&["report", "empty"], &["empty does not contain a training run", "config.toml"]);
    place.refuses(&["report", "kept.png"], &["kept.png"]);
    place.put("empty/config.toml", b"");
    place.refuses(&["report", "empty", "--out", "page.png"], &["page.png", ".html"]);
    place.refuses(&["report", "empty", "--out", "no/such/page.html"], &["no/such"]);
    place.refuses(&["report", "empty", "--model-steps", "0"], &["--model-steps 0"]);
}
