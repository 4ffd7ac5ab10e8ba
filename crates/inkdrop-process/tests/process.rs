//! Laws of the process.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "process/consistency.rs"]
mod consistency;
#[path = "process/continuous.rs"]
mod continuous;
#[path = "process/forward.rs"]
mod forward;
#[path = "process/likelihoods.rs"]
mod likelihoods;
#[path = "process/mean_flow.rs"]
mod mean_flow;
#[path = "process/objectives.rs"]
mod objectives;
#[path = "process/predictions.rs"]
mod predictions;
#[path = "process/sigma_process.rs"]
mod sigma_process;
#[path = "process/support.rs"]
mod support;
