//! Ctrl-C: the first one stops after the current step, the second one exits at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// Exit status of a command that Ctrl-C stopped.
pub const INTERRUPTED: u8 = 130;

/// A flag that Ctrl-C or SIGTERM sets.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Installs the signal handler.
    pub fn listen() -> anyhow::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let raised = flag.clone();
        ctrlc::set_handler(move || {
            if raised.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(INTERRUPTED));
            }
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(Self(flag))
    }

    /// True after the first Ctrl-C.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The error that ends a command after Ctrl-C: the state of its output, and how to continue.
#[derive(Debug, thiserror::Error)]
#[error("stopped: {0}")]
pub struct Interrupted(pub String);
