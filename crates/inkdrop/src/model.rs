//! Which model: where its weights are, what network and process they belong to, what it is asked.

pub mod card;
pub mod context;
pub mod describe;
pub mod foreign;
pub mod identity;
pub mod processes;
pub mod scheduler;
pub mod source;
pub mod spec;
pub mod tables;
