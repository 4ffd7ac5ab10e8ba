//! What the fuzzer and the property tests do with a text: all that a program does with a config.

use inkdrop_unet::{ImageSize, ImprovedFlags, ModelConfig, Shapes};
use serde_json::Value;

const FAMILIES: [&str; 10] = [
    "context",
    "ddpm",
    "dit",
    "edm",
    "edm2",
    "improved",
    "improved-super-res",
    "jit",
    "lucid",
    "unet2d",
];

/// A text as a config, as published arguments, as flags, as a size, or as keys and shapes.
pub fn config(text: &str) {
    let _ = text.parse::<ImageSize>();
    let flags = ImprovedFlags::parse(text.split_whitespace());
    if let Ok(config) = flags.and_then(|flags| flags.model()) {
        look(&config);
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    if let Ok(config) = serde_json::from_value::<ModelConfig>(value.clone()) {
        look(&config);
    }
    for family in FAMILIES {
        let size = ImageSize { height: 32, width: 48 };
        if let Ok(config) = ModelConfig::from_arguments(family, value.clone(), size) {
            look(&config);
        }
    }
    if let Ok(found) = ModelConfig::detect(&shapes(&value)) {
        assert!(found.config.check().is_ok(), "a network that cannot be was recognised");
        look(&found.config);
    }
}

/// `{"key": [1, 2], …}` as keys and shapes.
fn shapes(value: &Value) -> Shapes {
    let entries = value.as_object().into_iter().flatten();
    let shape = |value: &Value| -> Option<Vec<i64>> {
        value.as_array()?.iter().map(Value::as_i64).collect()
    };
    entries.filter_map(|(key, value)| Some((key.clone(), shape(value)?))).collect()
}

fn look(config: &ModelConfig) {
    let _ = (config.image_shape(), config.outputs(), config.contexts(), config.classes());
    let sound = config.check();
    if let Ok(plan) = config.plan() {
        assert!(sound.is_ok(), "a plan of what cannot be");
        assert!(plan.parameters() >= 0 && plan.gflop() >= 0.0);
        let memory = plan.memory(1 << 20);
        assert!(memory.weights <= memory.inference && memory.inference <= memory.training);
    }
    for size in
        [vec![64], vec![64, 96], vec![8, 64, 64], vec![i64::MAX, i64::MIN], vec![1 << 20; 3]]
    {
        let _ = config.plan_at(&size);
    }
    if sound.is_err() {
        return;
    }
    let text = serde_json::to_string(config).expect("a config has a text");
    let again: ModelConfig = serde_json::from_str(&text).expect("a config reads what it writes");
    let equal = serde_json::to_string(&again).expect("a config has a text") == text;
    assert!(equal, "a config is what it writes");
}
