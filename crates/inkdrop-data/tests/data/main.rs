//! Whether the crate does what it says: one binary, a module per topic.
#![allow(clippy::unwrap_used)]

mod animation;
mod folders;
mod loading;
mod npy;
mod pictures;
mod pillow;
mod reading;
mod records;
mod sequence;
mod sprites;
mod streaming;
mod writing;
