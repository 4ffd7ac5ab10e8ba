//! The library: pipelines, samples and training, without the program.

#![allow(clippy::unwrap_used)]

#[path = "library/consistency.rs"]
mod consistency;
#[path = "library/edit.rs"]
mod edit;
#[path = "library/layers.rs"]
mod layers;
#[path = "library/pipeline.rs"]
mod pipeline;
#[path = "library/processes.rs"]
mod processes;
#[path = "library/training.rs"]
mod training;
