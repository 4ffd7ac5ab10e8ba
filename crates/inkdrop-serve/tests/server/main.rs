//! A server with a toy engine, asked over real connections.
#![allow(missing_docs, clippy::unwrap_used)]

mod api;
mod client;
mod limits;
mod runs;
mod toy;
