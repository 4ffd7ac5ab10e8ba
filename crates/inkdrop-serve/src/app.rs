//! The state of a server that all requests share, and its limits.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;

use crate::engine::{Backend, EngineError, JobImages};
use crate::error::ApiError;
use crate::events::Events;
use crate::guard::Guard;
use crate::metrics::{Ended, Metrics};
use crate::queue::{JobStatus, Queue};

/// Limits of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of images per request.
    pub images: usize,
    /// Maximum number of sampling steps per request.
    pub steps: usize,
    /// Maximum number of images per pass of the network.
    pub pass_images: usize,
    /// Maximum number of waiting requests.
    pub waiting: usize,
    /// Maximum number of finished jobs whose images are kept.
    pub finished: usize,
    /// Maximum memory of the animations of finished jobs in bytes; the newest job keeps its animation in any case.
    pub animation_bytes: usize,
    /// Maximum size of a request body in bytes.
    pub body: usize,
    /// Maximum number of open connections.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            images: 64,
            steps: 1000,
            pass_images: 64,
            waiting: 64,
            finished: 64,
            animation_bytes: 256 << 20,
            body: 16 << 20,
            connections: 256,
        }
    }
}

/// A run that the server shows.
#[derive(Debug, Clone)]
pub struct RunEntry {
    /// Name in addresses and on the page.
    pub name: String,
    /// Its directory.
    pub folder: PathBuf,
}

/// The state that all requests share.
pub(crate) struct Shared {
    pub backend: Arc<dyn Backend>,
    pub queue: Queue,
    pub events: Events,
    pub metrics: Metrics,
    pub guard: Guard,
    pub limits: Limits,
    pub runs: Vec<RunEntry>,
    pub stopping: watch::Sender<bool>,
}

pub(crate) type App = Arc<Shared>;

impl Shared {
    /// The directory of a run by its name.
    pub fn run(&self, name: &str) -> Result<PathBuf, ApiError> {
        let entry = self.runs.iter().find(|run| run.name == name);
        entry.map(|run| run.folder.clone()).ok_or_else(|| {
            let names: Vec<&str> = self.runs.iter().map(|run| run.name.as_str()).collect();
            ApiError::missing(match names.is_empty() {
                true => format!(
                    "there is no run `{name}`: no run directory was given to `inkdrop serve`"
                ),
                false => format!("there is no run `{name}`: expected one of {}", names.join(", ")),
            })
        })
    }

    /// Ends a job, and tells the pages.
    pub fn finish(&self, id: &str, result: Result<JobImages, EngineError>) {
        self.queue.finish(id, result, |status| {
            self.metrics.ended(match status {
                JobStatus::Done { .. } => Ended::Done,
                JobStatus::Failed { .. } => Ended::Failed,
                _ => Ended::Cancelled,
            });
        });
        let status = self.queue.status(id);
        self.events.send(&json!({ "type": "job", "job": id, "state": status }));
    }
}
