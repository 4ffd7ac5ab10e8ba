//! Sampling runs of the commands: jobs, progress, and outputs.

pub mod animation;
pub mod contact_sheet;
pub mod job;
pub mod manifest;
pub mod progress;
pub mod run;
pub mod sink;
