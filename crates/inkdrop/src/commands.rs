//! One file per subcommand.

pub mod data;
pub mod demo;
pub mod inspect;
pub mod sample;
pub mod train;
