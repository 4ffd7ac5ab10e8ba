//! Server-sent events: one stream of all jobs and runs for every page.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast;

/// Number of events buffered for a slow page; it misses older ones.
const BACKLOG: usize = 64;

/// The sender of all events.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<Arc<str>>);

impl Events {
    /// A stream without listeners.
    pub fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    /// Sends an event to all pages that listen. It never waits: a page that does not read misses events.
    pub fn send(&self, event: &Value) {
        if self.is_watched() {
            // An error says that nobody listens.
            let _ = self.0.send(event.to_string().into());
        }
    }

    /// True if a page listens.
    pub fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// The events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.subscribe()
    }
}
