//! Any bytes as a pickle of pickle.dump, such as a network snapshot of EDM; its arguments as those of a network.
#![no_main]

use inkdrop_unet::{ImageSize, ModelConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for call in inkdrop_checkpoint::fuzzing::snapshot(bytes) {
        for family in ["edm", "edm2"] {
            let arguments = serde_json::Value::from(call.keywords.clone());
            if let Ok(config) = ModelConfig::from_arguments(family, arguments, ImageSize::square(32)) {
                let _ = config.plan();
            }
        }
    }
});
