//! Any bytes as an array in an archive with valid checksums.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|array: &[u8]| inkdrop_checkpoint::fuzzing::npz(array));
