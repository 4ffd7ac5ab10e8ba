//! Whether weights go in and out as they are: one binary, a module per topic.
#![allow(clippy::unwrap_used)]

mod chance;
mod folders;
mod foreign;
mod limits;
mod malice;
mod parts;
mod reading;
mod safetensors;
mod snapshots;
mod support;
mod writing;
