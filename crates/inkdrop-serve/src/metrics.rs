//! Counters of the server, in Prometheus' text format.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters since the start of the server.
#[derive(Debug, Default)]
pub struct Metrics {
    images: AtomicU64,
    passes: AtomicU64,
    pass_microseconds: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    full: AtomicU64,
    refused: AtomicU64,
    connections: AtomicU64,
    refused_connections: AtomicU64,
}

/// The end of a job, as a label.
#[derive(Debug, Clone, Copy)]
pub enum Ended {
    /// It has images.
    Done,
    /// It has an error.
    Failed,
    /// Its client left or cancelled it.
    Cancelled,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Metrics {
    /// Records a pass of the network.
    pub fn pass(&self, images: usize, took: Duration) {
        add(&self.images, images as u64);
        add(&self.passes, 1);
        add(&self.pass_microseconds, took.as_micros() as u64);
    }

    /// Records the end of a job.
    pub fn ended(&self, how: Ended) {
        match how {
            Ended::Done => add(&self.done, 1),
            Ended::Failed => add(&self.failed, 1),
            Ended::Cancelled => add(&self.cancelled, 1),
        }
    }

    /// Records a request that found the queue full.
    pub fn full(&self) {
        add(&self.full, 1);
    }

    /// Records a request with a foreign host or origin, or without its token.
    pub fn refused(&self) {
        add(&self.refused, 1);
    }

    /// Records a connection.
    ///
    /// - accepted: false if there were too many
    pub fn connection(&self, accepted: bool) {
        add(if accepted { &self.connections } else { &self.refused_connections }, 1);
    }

    /// All counters as text.
    ///
    /// - waiting: length of the queue
    pub fn text(&self, waiting: usize) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seconds = get(&self.pass_microseconds) as f64 / 1e6;
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
            let _ = writeln!(text, "# HELP inkdrop_{name} {help}\n# TYPE inkdrop_{name} {kind}");
            for (label, value) in values {
                let _ = writeln!(text, "inkdrop_{name}{label} {value}");
            }
        };
        let one = |value: f64| [("", value)];
        let count = |counter| get(counter) as f64;
        metric("queue_length", "gauge", "Jobs that wait.", &one(waiting as f64));
        let jobs = [
            ("{status=\"done\"}", count(&self.done)),
            ("{status=\"failed\"}", count(&self.failed)),
            ("{status=\"cancelled\"}", count(&self.cancelled)),
        ];
        metric("jobs_total", "counter", "Ended jobs.", &jobs);
        metric("images_total", "counter", "Generated images.", &one(count(&self.images)));
        metric("passes_total", "counter", "Passes of the sampler.", &one(count(&self.passes)));
        metric("pass_seconds_total", "counter", "Time of all passes.", &one(seconds));
        let full = count(&self.full);
        metric("queue_full_total", "counter", "Requests that found the queue full.", &one(full));
        let refused = count(&self.refused);
        metric(
            "refused_total",
            "counter",
            "Requests refused by host, origin or token.",
            &one(refused),
        );
        let connections = [
            ("{accepted=\"true\"}", count(&self.connections)),
            ("{accepted=\"false\"}", count(&self.refused_connections)),
        ];
        metric("connections_total", "counter", "Connections.", &connections);
        text
    }
}
