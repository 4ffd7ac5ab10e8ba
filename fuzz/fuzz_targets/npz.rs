//! Any bytes as an array inside an archive, so that no checksum stands in the way.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|array: &[u8]| inkdrop_checkpoint::fuzzing::npz(array));
