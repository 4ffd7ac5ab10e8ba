//! Watches collectives of NCCL, which by themselves wait for an ended process without end.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use inkdrop_torch::distributed::{NcclState, ProcessGroup};

use crate::FailureReport;

/// Time between two looks at the communicator.
const INTERVAL: Duration = Duration::from_millis(500);

/// A collective that takes longer makes the thread ask which process ended.
const SUSPICION: Duration = Duration::from_secs(4);

/// Aborts the communicator of NCCL when it has an error, when a process ended, or when a collective does
/// not end within the limit. The operation that waits fails then, as those of Gloo do.
#[derive(Debug)]
pub(crate) struct NcclWatch {
    /// Closing it ends the thread.
    _stop: Sender<()>,
}

impl NcclWatch {
    pub(crate) fn start(
        group: ProcessGroup,
        failures: FailureReport,
        limit: Duration,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let watch = move || {
            let mut suspect = None;
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let reason = match group.nccl_state() {
                    Ok(state) => trouble(&state, limit, &mut suspect, || failures.find()),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(reason) = reason {
                    // The next collective has the error, if the abort fails.
                    let _ = group.abort_nccl(&reason);
                    return;
                }
            }
        };
        thread::Builder::new().name("nccl-watch".to_string()).spawn(watch)?;
        Ok(Self { _stop: stop })
    }
}

/// Why the communicator must be aborted; `None` if all is well.
///
/// - suspect: what was found at the last look; a process that is late once may be busy
/// - find: finds the process that ended
fn trouble(
    state: &NcclState,
    limit: Duration,
    suspect: &mut Option<String>,
    find: impl FnOnce() -> Option<String>,
) -> Option<String> {
    if let Some(error) = &state.error {
        return Some(error.clone());
    }
    if state.oldest > limit {
        return Some(format!("a collective did not end within {} s", limit.as_secs()));
    }
    if state.oldest < SUSPICION {
        *suspect = None;
        return None;
    }
    let found = find();
    match found.is_some() && found == *suspect {
        true => found,
        false => {
            *suspect = found;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(seconds: u64, error: Option<&str>) -> NcclState {
        NcclState { oldest: Duration::from_secs(seconds), error: error.map(ToString::to_string) }
    }

    #[test]
    fn an_error_and_the_limit_end_a_collective_at_once() {
        let look = |state: NcclState| {
            trouble(&state, Duration::from_secs(60), &mut None, || panic!("nobody is suspected"))
        };
        assert_eq!(look(state(0, None)), None);
        assert_eq!(look(state(3, None)), None);
        assert_eq!(look(state(0, Some("remote error"))).as_deref(), Some("remote error"));
        assert!(look(state(61, None)).is_some_and(|reason| reason.contains("within 60 s")));
    }

    #[test]
    fn a_process_must_be_missed_twice_in_a_row() {
        let (limit, mut suspect) = (Duration::from_secs(60), None);
        let mut look = |seconds, found: Option<&str>| {
            let found = found.map(ToString::to_string);
            trouble(&state(seconds, None), limit, &mut suspect, || found)
        };
        assert_eq!(look(5, Some("process 1 ended")), None);
        assert_eq!(look(8, None), None);
        assert_eq!(look(11, Some("process 1 ended")), None);
        assert_eq!(look(1, None), None);
        assert_eq!(look(5, Some("process 1 ended")), None);
        assert_eq!(look(8, Some("process 1 ended")).as_deref(), Some("process 1 ended"));
    }
}
