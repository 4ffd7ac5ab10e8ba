//! Any text as a config: refused, or a network that can be planned. Never a panic.
//!
//! The body stands in `anything/body.rs`, which the fuzzer runs, too.
#![allow(missing_docs, clippy::unwrap_used)]

use proptest::prelude::*;

#[path = "anything/body.rs"]
mod body;

const TEXTS: [&str; 6] = [
    r#"{"family":"ddpm","size":32,"channels":3,"features":128,"multipliers":[1,2,2,2],"blocks":2,"attention":[1],"groups":32,"padding":1,"classes":10}"#,
    r#"{"family":"improved","size":[32,64],"channels":3,"outputs":6,"features":64,"multipliers":[0.5,1.0,2.0],"blocks":3,"attention":[1,2],"heads":4,"head_channels":32,"dims":3}"#,
    r#"{"_class_name":"UNet2DModel","block_out_channels":[32,64],"down_block_types":["DownBlock2D","AttnDownBlock2D"],"up_block_types":["AttnUpBlock2D","UpBlock2D"],"sample_size":[32,16],"attention_head_dim":8,"norm_num_groups":8}"#,
    r#"{"input_blocks.0.0.weight":[64,3,3,3],"time_embed.0.weight":[256,64],"out.2.weight":[3,64,3,3],"input_blocks.1.0.emb_layers.1.weight":[128,256],"input_blocks.1.0.out_layers.0.weight":[64]}"#,
    r#"{"init_conv.weight":[8,3,3,3],"downs.0.conv_1.weight":[8,8,3,3],"downs.1.downsample.weight":[8,8,3,3],"downs.2.conv_1.weight":[16,8,3,3]}"#,
    "--image_size 64 --num_channels=192 --attention_resolutions 32,16,8 --learn_sigma True --channel_mult 1,2,3,4",
];

/// Numbers that tempt arithmetic to overflow.
const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "1e308",
    "9223372036854775807",
    "-9223372036854775808",
    "65536",
    "1048576",
    "0.0001",
    "null",
    "[]",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_configs_never_panic(
        text in 0..TEXTS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..NUMBERS.len()), 1..6),
    ) {
        let mut text = TEXTS[text].to_string();
        for (at, number) in changes {
            // The place of some number in the text.
            let digits: Vec<usize> = text.match_indices(|c: char| c.is_ascii_digit()).map(|(i, _)| i).collect();
            if digits.is_empty() {
                break;
            }
            let from = digits[at.index(digits.len())];
            let length = text[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - from);
            text.replace_range(from..from + length, NUMBERS[number]);
        }
        body::config(&text);
    }

    #[test]
    fn any_text_never_panics(text in ".{0,200}") {
        body::config(&text);
    }
}

#[test]
fn the_texts_are_read_as_they_stand() {
    for text in TEXTS {
        body::config(text);
    }
}
