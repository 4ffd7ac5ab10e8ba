//! An ordered parallel map over files.

use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, available_parallelism, scope};

use crate::DataError;

/// Number of results that a thread may be ahead by.
const AHEAD: usize = 4;

/// Maps `work` over items on all CPU cores, and calls `each` on the results in the order of the
/// items, up to the first error.
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
            // A thread that ended early has panicked; the scope propagates the panic.
            let Ok(result) = results[index % threads].recv() else { break };
            each(index, result)?;
        }
        Ok(())
    })
}
