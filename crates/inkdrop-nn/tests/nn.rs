//! Laws of layers and parameters.
#![allow(missing_docs, clippy::unwrap_used)]

mod nn {
    mod attention;
    mod basics;
    mod inference;
    mod inference_norms;
    mod kinds;
    mod modulation;
    mod resample;
    mod residual;
    pub mod support;
    mod tokens;
}
