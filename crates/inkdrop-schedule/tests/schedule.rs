//! Laws of schedules and spacings.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "schedule/spacing.rs"]
mod spacing;
#[path = "schedule/tables.rs"]
mod tables;
