//! A training run: how it begins, goes on, is watched and ends.

pub mod finish;
pub mod resume;
pub mod screen;
pub mod start;
