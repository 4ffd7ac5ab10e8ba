//! Any text as a network's config, in any of the ways in which one is given.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/inkdrop-unet/tests/anything/body.rs"]
mod body;

fuzz_target!(|text: &str| body::config(text));
