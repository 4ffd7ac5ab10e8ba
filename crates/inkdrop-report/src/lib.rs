#![doc = include_str!("../README.md")]

mod chart;
mod error;
mod events;
mod log;
mod page;
mod png;
mod run;
mod scale;

pub use error::ReportError;
pub use events::EventWriter;
pub use log::Log;
pub use page::{Animation, Extras, page};
pub use run::{Run, SAMPLES, Sample};
