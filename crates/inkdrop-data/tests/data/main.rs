//! Whether the crate does what it says: one binary, a module per topic.
#![allow(clippy::unwrap_used)]

mod animation;
mod arrays;
mod depth;
mod folders;
mod formats;
mod kinds;
mod layouts;
mod loading;
mod npy;
mod opening;
mod pictures;
mod pillow;
mod reading;
mod records;
mod sequence;
mod sprites;
mod streaming;
mod writing;
