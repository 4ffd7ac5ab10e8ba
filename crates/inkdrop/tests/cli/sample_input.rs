//! Requests for samples that are refused.

use super::support::place_with_model;

/// Sampling with these options fails with these words, and writes nothing.
fn refused(options: &[&str], words: &[&str]) {
    let place = place_with_model();
    let args = ["sample", "model.safetensors", "--out", "kept.png"];
    place.refuses(&[&args[..], options].concat(), words);
}

const CONTEXTS: [&str; 5] = ["hero", "non-hero", "food", "spell", "side-facing"];

#[test]
fn unknown_context_is_named_with_the_known_ones() {
    refused(&["--context", "hero=1,wizard=1"], &[&["wizard"], &CONTEXTS[..]].concat());
}

#[test]
fn unknown_class_is_named_with_the_known_ones() {
    refused(&["--class", "wizard"], &[&["wizard"], &CONTEXTS[..]].concat());
}

#[test]
fn context_weight_that_is_no_number_is_named() {
    refused(&["--context", "hero=much"], &["much", "number|=W|weight"]);
}

#[test]
fn context_weight_that_is_not_finite_is_refused() {
    refused(&["--context", "hero=nan"], &["hero", "nan|NaN", "finite|number"]);
}

#[test]
fn steps_below_one_are_refused() {
    refused(&["--steps", "0"], &["steps", "0", "1"]);
}

#[test]
fn steps_above_the_process_s_are_refused_with_its_number() {
    refused(&["--steps", "501"], &["501", "500"]);
}

#[test]
fn no_images_are_refused() {
    refused(&["-n", "0"], &["-n|count", "0", "1"]);
}

#[test]
fn empty_batch_is_refused() {
    refused(&["--batch", "0"], &["batch", "0", "1"]);
}

#[test]
fn unknown_sampler_is_named_with_the_known_ones() {
    refused(&["--sampler", "unpic"], &["unpic", "did you mean unipc?", "ddpm", "dpm++2m"]);
}

#[test]
fn eta_is_a_share_of_samplers_that_have_one() {
    refused(&["--eta", "1.5"], &["eta 1.5", "0 (deterministic) to 1"]);
    refused(&["--eta", "-1"], &["eta"]);
    refused(&["--eta", "0.5", "--sampler", "heun"], &["0.5 with heun", "ddim"]);
    refused(&["--churn", "3"], &["churn", "edm"]);
}

#[test]
fn noise_levels_are_said_once_and_known() {
    refused(&["--spacing", "karras20", "--steps", "20"], &["karras20", "--steps"]);
    refused(&["--spacing", "even"], &["even", "karras20", "trailing20"]);
    refused(&["--spacing", "at:3,2"], &["timestep 2"]);
    refused(&["--spacing", "karras20:0"], &["rho"]);
}

#[test]
fn guidance_needs_something_to_guide_towards() {
    refused(&["--guidance", "3"], &["expected a condition", "--class or --context"]);
    let hero = |options: &[&'static str], words: &[&'static str]| {
        refused(&[&["--class", "hero"], options].concat(), words);
    };
    hero(&["--guidance", "-1"], &["--guidance -1", "0 or more"]);
    hero(&["--guidance", "3", "--null-class", "2"], &["--null-class", "context"]);
    hero(&["--guidance", "3", "--guidance-interval", "5,1"], &["5,1", "LOW,HIGH"]);
    hero(&["--guidance", "3", "--guidance-rescale", "2"], &["guidance-rescale 2", "0 to 1"]);
    hero(
        &["--guidance", "3", "--autoguide", "nowhere"],
        &["no file and no built-in model nowhere"],
    );
    hero(&["--guidance", "3", "--autoguide", "sprites", "--null-class", "1"], &["--null-class"]);
    refused(&["--threshold", "7"], &["threshold 7", "0 to 1"]);
}

#[test]
fn unknown_rng_is_named_with_the_known_ones() {
    refused(&["--rng", "dice"], &["dice", "per-sample", "torch"]);
}

#[test]
fn unknown_device_is_named_with_the_known_ones() {
    refused(&["--device", "nonsense"], &["nonsense", "auto", "cpu", "cuda"]);
}

#[test]
fn a_gpu_that_is_not_there_is_refused_with_the_reason() {
    refused(&["--device", "cuda"], &["cuda|CUDA", "no |not |without|0 "]);
}
