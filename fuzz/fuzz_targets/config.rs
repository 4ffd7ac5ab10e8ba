//! Any text as a network config, in every supported form.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/inkdrop-unet/tests/anything/body.rs"]
mod body;

fuzz_target!(|text: &str| body::config(text));
