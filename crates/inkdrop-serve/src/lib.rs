#![doc = include_str!("../README.md")]

mod api;
mod body;
pub mod engine;
mod error;
mod events;
mod guard;
mod metrics;
mod page;
mod pictures;
mod queue;
mod recipe;
mod runs;
mod server;
pub mod terminal;
mod worker;

pub use error::ServeError;
pub use server::{Limits, ServeOptions, Server};
