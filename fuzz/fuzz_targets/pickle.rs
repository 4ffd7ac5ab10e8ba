//! Any bytes as the pickle of a torch.save file whose storages all have 256 bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| inkdrop_checkpoint::fuzzing::pickle(bytes));
