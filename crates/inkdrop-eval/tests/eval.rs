//! The laws of the distances, and what other programs say of the same sets.
#![allow(missing_docs, clippy::unwrap_used)]

mod eval {
    mod errors;
    mod extractor;
    mod frechet;
    mod golden;
    mod kernel;
    mod neighbours;
    mod sliced;
    mod support;
}
