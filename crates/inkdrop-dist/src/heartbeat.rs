//! Heartbeats: counters in the store that show which process ended.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use inkdrop_torch::distributed::Store;

use crate::error::ranks;

/// Time between two heartbeats.
const INTERVAL: Duration = Duration::from_millis(500);

/// A process without a heartbeat for this long has ended or stands still.
const SILENCE: Duration = Duration::from_millis(1800);

/// The error if the store does not answer.
pub(crate) const NO_STORE: &str =
    "the process that serves the store has ended, or the network to it is cut";

/// Time in which a process that fails writes its error to the store.
const GRACE: Duration = Duration::from_millis(200);

/// Raises this process's counter in the store, in a thread of its own, while it lives.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// Closing it ends the thread. Nobody waits for that: the store may not answer.
    _stop: Sender<()>,
}

impl Heartbeat {
    /// - store: a connection of its own, since a request may wait for another one
    pub(crate) fn start(store: Store, rank: usize) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let beat = move || {
            // Without a store no process can read the counter.
            while store.add(&beat_key(rank), 1).is_ok()
                && stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout)
            {}
        };
        thread::Builder::new().name("heartbeat".to_string()).spawn(beat)?;
        Ok(Self { _stop: stop })
    }
}

fn beat_key(rank: usize) -> String {
    format!("beat/{rank}")
}

fn failure_key(rank: usize) -> String {
    format!("failed/{rank}")
}

/// Writes the error of this process to the store.
pub(crate) fn report_failure(store: &Store, rank: usize, reason: &str) {
    // The store may have ended first.
    let _ = store.set(&failure_key(rank), reason);
}

fn loss_key(rank: usize) -> String {
    format!("lost/{rank}")
}

/// Writes to the store which process was lost. This process ends, too, and must not be taken for the
/// cause.
pub(crate) fn report_loss(store: &Store, rank: usize, loss: &str) {
    // The store may have ended first.
    let _ = store.set(&loss_key(rank), loss);
}

/// Waits until all other processes but the lost one have found the loss, at most two seconds: they look for it
/// in the store, which may end with this process.
pub(crate) fn wait_for_finders(store: &Store, rank: usize, world_size: usize) {
    let others = || (0..world_size).filter(|&other| other != rank);
    let found = || others().filter(|&other| store.has(&loss_key(other)).unwrap_or(true)).count();
    let start = Instant::now();
    while found() + 1 < others().count() && start.elapsed() < SILENCE {
        thread::sleep(GRACE / 4);
    }
}

/// Returns which of the other processes ended, and why; `None` if all are alive.
pub(crate) fn find_failure(store: &Store, rank: usize, world_size: usize) -> Option<String> {
    let others = (0..world_size).filter(|&other| other != rank);
    match look(store, others.collect()) {
        Ok(found) => found,
        Err(_) => Some(NO_STORE.to_string()),
    }
}

fn look(store: &Store, others: Vec<usize>) -> inkdrop_torch::Result<Option<String>> {
    thread::sleep(GRACE);
    if let Some(failure) = first_failure(store, &others)? {
        return Ok(Some(failure));
    }
    let beats = |ranks: &[usize]| -> inkdrop_torch::Result<Vec<i64>> {
        ranks.iter().map(|&rank| store.add(&beat_key(rank), 0)).collect()
    };
    let before = beats(&others)?;
    thread::sleep(SILENCE);
    if let Some(failure) = first_failure(store, &others)? {
        return Ok(Some(failure));
    }
    let after = beats(&others)?;
    let pairs = others.iter().zip(before.iter().zip(&after));
    let silent: Vec<usize> =
        pairs.filter(|(_, (before, after))| before == after).map(|(&rank, _)| rank).collect();
    Ok((!silent.is_empty()).then(|| format!("{} ended or does not answer", ranks(&silent))))
}

/// The first error that another process has written to the store, or the loss that one has found.
fn first_failure(store: &Store, others: &[usize]) -> inkdrop_torch::Result<Option<String>> {
    for &rank in others {
        if let Some(reason) = written(store, &failure_key(rank))? {
            return Ok(Some(format!("process {rank} failed: {reason}")));
        }
    }
    for &rank in others {
        if let Some(loss) = written(store, &loss_key(rank))? {
            return Ok(Some(loss));
        }
    }
    Ok(None)
}

fn written(store: &Store, key: &str) -> inkdrop_torch::Result<Option<String>> {
    store.has(key)?.then(|| store.get(key, INTERVAL)).transpose()
}
