//! Laws of the networks and their configs.
#![allow(missing_docs, clippy::unwrap_used)]

mod unet {
    mod configs;
    mod context;
    mod every;
    mod inputs;
    mod plans;
    mod precision;
    mod recognise;
    pub mod support;
}
