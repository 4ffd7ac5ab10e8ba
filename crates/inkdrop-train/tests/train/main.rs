//! Laws of training: one binary, a module per topic.
#![allow(clippy::unwrap_used)]

mod adam;
mod averages;
mod recipe;
mod resume;
mod run;
mod steps;
mod support;
mod timesteps;
