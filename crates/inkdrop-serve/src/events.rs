//! Server-sent events: one stream of all jobs and runs for every page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::server::App;

/// Events that a slow page may be behind; it misses older ones.
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
}

/// `GET /v1/events`: the stream, until the server stops.
pub async fn stream(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (receiver, stopping) = (app.events.0.subscribe(), app.stopping.subscribe());
    let stream = stream::unfold((receiver, stopping), |(mut receiver, mut stopping)| async move {
        loop {
            let event = tokio::select! {
                event = receiver.recv() => event,
                _ = stopping.wait_for(|stopping| *stopping) => return None,
            };
            match event {
                Ok(text) => return Some((Ok(Event::default().data(&*text)), (receiver, stopping))),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
}
