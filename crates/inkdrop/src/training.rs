//! Training runs: start, resume, training loop, final models.

pub mod finish;
pub mod init;
pub mod progress;
pub mod resume;
