//! Requests to stop, from a signal handler or another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::process::Signal;

/// The signal that workers get when the user stops the launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM, as job schedulers send it.
    Terminate,
}

impl StopSignal {
    /// 130 for SIGINT, 143 for SIGTERM.
    pub fn exit_code(self) -> i32 {
        128 + self.signal().as_raw()
    }

    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Terminate => Signal::TERM,
        }
    }
}

const INTERRUPT: u8 = 1;
const TERMINATE: u8 = 2;
/// Set by the second request, beside the first one.
const KILL: u8 = 4;

/// Stops a launch. Clones belong to the same launch.
///
/// The first request passes its signal on to all workers, which then save and end by themselves.
/// Every further request kills them.
#[derive(Debug, Clone, Default)]
pub struct StopHandle(Arc<AtomicU8>);

impl StopHandle {
    /// A handle without a request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests a stop. Only sets a flag: signal handlers may call it.
    pub fn request(&self, signal: StopSignal) {
        let first = match signal {
            StopSignal::Interrupt => INTERRUPT,
            StopSignal::Terminate => TERMINATE,
        };
        let set = self.0.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
        if set.is_err() {
            self.0.fetch_or(KILL, Ordering::Relaxed);
        }
    }

    /// The signal of the first request.
    pub fn requested(&self) -> Option<StopSignal> {
        let state = self.0.load(Ordering::Relaxed);
        match state & !KILL {
            INTERRUPT => Some(StopSignal::Interrupt),
            TERMINATE => Some(StopSignal::Terminate),
            _ => None,
        }
    }

    /// True after the second request.
    pub fn kills(&self) -> bool {
        self.0.load(Ordering::Relaxed) & KILL != 0
    }
}
