//! A training run: how it begins, goes on, is watched and ends.

pub mod finish;
pub mod init;
pub mod progress;
pub mod resume;
