//! Sampling runs of the commands: jobs, guidance, progress, and outputs.

pub mod animation;
pub mod contact_sheet;
pub mod draw;
pub mod guidance;
pub mod interrupt;
pub mod job;
pub mod manifest;
pub mod progress;
pub mod runner;
pub mod session;
pub mod sink;
