//! Images on their way: what is to be made, how far it is, and where it goes.

pub mod draw;
pub mod film;
pub mod guide;
pub mod job;
pub mod manifest;
pub mod many;
pub mod meter;
pub mod output;
pub mod request;
pub mod shard;
pub mod sheet;
pub mod stop;
