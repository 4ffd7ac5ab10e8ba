#![doc = include_str!("../README.md")]

mod chart;
mod error;
mod events;
mod live;
mod log;
mod page;
mod png;
mod run;
mod scale;

pub use error::ReportError;
pub use events::EventWriter;
pub use live::{RunRequest, SampleColours, in_progress, sample_colours, sample_path, sample_steps};
pub use log::Log;
pub use page::{Animation, Extras, page};
pub use run::{Run, SAMPLES, Sample};
