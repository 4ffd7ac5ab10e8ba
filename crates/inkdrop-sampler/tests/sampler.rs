//! Laws of the samplers.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "sampler/adaptive.rs"]
mod adaptive;
#[path = "sampler/brownian.rs"]
mod brownian;
#[path = "sampler/consistency_laws.rs"]
mod consistency_laws;
#[path = "sampler/edits.rs"]
mod edits;
#[path = "sampler/few_steps.rs"]
mod few_steps;
#[path = "sampler/guidance.rs"]
mod guidance;
#[path = "sampler/known_parts.rs"]
mod known_parts;
#[path = "sampler/laws.rs"]
mod laws;
#[path = "sampler/likelihood.rs"]
mod likelihood;
#[path = "sampler/many.rs"]
mod many;
#[path = "sampler/orders.rs"]
mod orders;
#[path = "sampler/schedule_fits.rs"]
mod schedule_fits;
#[path = "sampler/support.rs"]
mod support;
#[path = "sampler/types.rs"]
mod types;
