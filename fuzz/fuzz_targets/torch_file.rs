//! Any bytes as a whole file of weights, of whatever format they look like.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| inkdrop_checkpoint::fuzzing::file(bytes));
