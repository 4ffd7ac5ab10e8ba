//! One file per subcommand.

pub mod convert;
pub mod data;
pub mod demo;
pub mod distill;
pub mod edit;
pub mod ema;
pub mod eval;
pub mod fit_schedule;
pub mod inspect;
pub mod launch;
pub mod models;
pub mod plan;
pub mod report;
pub mod sample;
#[cfg(feature = "serve")]
pub mod serve;
pub mod train;
#[cfg(feature = "serve")]
pub mod watch;
