//! Any bytes as the header of a safetensors file with 256 bytes of values.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &[u8]| inkdrop_checkpoint::fuzzing::safetensors(header));
