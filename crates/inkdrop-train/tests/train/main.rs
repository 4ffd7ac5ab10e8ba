//! Laws of training: one binary, a module per topic.
#![allow(clippy::unwrap_used)]

mod config;
mod dit;
mod edm;
mod ema;
mod optimizer;
mod posthoc;
mod resume;
mod run;
mod self_condition;
mod steps;
mod support;
mod timestep_sampler;
