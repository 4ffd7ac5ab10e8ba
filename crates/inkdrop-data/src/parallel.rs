//! How many files are worked on at once, and their results taken in order.

use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, available_parallelism, scope};

use crate::DataError;

/// Results that a thread may be ahead by.
const AHEAD: usize = 4;

/// Works on items, on as many threads as the machine runs at once, and hands each result over in
/// the order of the items, up to the first error.
pub(crate) fn parallel_map<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut each: impl FnMut(usize, R) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let threads = available_parallelism().map_or(1, NonZero::get).min(items.len());
    scope(|scope| {
        let mut results = Vec::new();
        for first in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let (work, mine) = (&work, items.iter().skip(first).step_by(threads));
            let thread = move || {
                for item in mine {
                    if sender.send(work(item)).is_err() {
                        return;
                    }
                }
            };
            Builder::new().spawn_scoped(scope, thread).map_err(|error| DataError::Workers {
                wanted: threads,
                problem: error.to_string(),
            })?;
            results.push(receiver);
        }
        for index in 0..items.len() {
            // A thread that has ended early has panicked, which the scope passes on.
            let Ok(result) = results[index % threads].recv() else { break };
            each(index, result)?;
        }
        Ok(())
    })
}
