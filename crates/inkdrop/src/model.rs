//! Models: opening checkpoints, resolving network and process, conditions.

pub mod condition;
pub mod identity;
pub mod metadata;
pub mod overrides;
pub mod processes;
pub mod resolve;
pub mod scheduler;
pub mod source;
pub mod spec;
