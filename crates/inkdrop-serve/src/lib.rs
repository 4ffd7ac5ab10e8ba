#![doc = include_str!("../README.md")]

mod api;
mod app;
mod body;
pub mod engine;
mod error;
mod events;
mod guard;
mod metrics;
mod page;
mod pictures;
mod queue;
mod random;
mod recipe;
mod runs;
mod server;
pub mod terminal;
mod worker;

pub use app::Limits;
pub use error::ServeError;
pub use server::{ServeOptions, Server};
