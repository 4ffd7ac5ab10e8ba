//! Laws of the networks and their configs.
#![allow(missing_docs, clippy::unwrap_used)]

mod unet {
    mod configs;
    mod context;
    mod detect;
    mod dit;
    mod every;
    mod forward_mode;
    mod image_condition;
    mod inference;
    mod inference_kinds;
    mod inference_laws;
    mod inference_options;
    mod inference_refusals;
    mod inference_support;
    mod inputs;
    mod plans;
    mod precision;
    pub mod support;
}
