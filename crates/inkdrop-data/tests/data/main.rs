//! Whether the crate does what it says: one binary, a module per topic.
#![allow(clippy::unwrap_used)]

mod npy;
mod pictures;
mod sequence;
mod sprites;
mod writing;
