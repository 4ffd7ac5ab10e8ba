//! Training reports: an HTML page of a run, and event files for TensorBoard. Does not link libtorch.
//!
//! | item | content |
//! |---|---|
//! | [`Run`] | the folder of a run: config, log, sample grids, evaluations |
//! | [`Log`] | the metrics in log.jsonl: a curve for each key |
//! | [`page()`] | the HTML page: curves, samples over time, the schedule, the config |
//! | [`EventWriter`] | event files for TensorBoard: scalars, images and texts |
//!
//! The run may be finished, stopped or in progress. Its log may have gaps and broken lines.
//!
//! ```
//! use inkdrop_report::{Extras, Run, page};
//!
//! # let folder = tempfile::tempdir().expect("a temporary folder");
//! # let folder = folder.path();
//! std::fs::write(folder.join("config.toml"), "[train]\nsteps = 100\n")?;
//! std::fs::write(folder.join("log.jsonl"), "{\"step\":10,\"loss\":0.5}\n")?;
//!
//! let run = Run::open(folder)?;
//! assert_eq!(run.log.curve("loss"), [(10.0, 0.5)]);
//! let environment = vec![("device".to_string(), "cpu".to_string())];
//! let html = page(&run, &Extras { environment, ..Extras::default() });
//! assert!(html.contains("10 of 100") && html.contains("There are no samples yet."));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
