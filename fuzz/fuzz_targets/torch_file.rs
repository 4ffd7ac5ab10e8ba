//! Any bytes as a file of weights of any format.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| inkdrop_checkpoint::fuzzing::file(bytes));
