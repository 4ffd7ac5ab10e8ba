//! Ctrl-C: the first one finishes what is begun, the second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use inkdrop_nn::{Conditioning, Network, NetworkError};
use inkdrop_torch::tch::{Device, Kind, Tensor};

/// The exit status of a command that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// A flag that Ctrl-C (or SIGTERM) raises.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for Ctrl-C from now on.
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

    /// Whether to stop.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A network that makes no more passes from the moment that Ctrl-C is pressed: so a sampler stops
/// at its next step, whichever it is.
pub struct Stoppable {
    network: Box<dyn Network>,
    stop: Stop,
    obeyed: Arc<AtomicBool>,
}

impl Stoppable {
    /// Wraps a network.
    pub fn new(network: Box<dyn Network>, stop: Stop) -> Self {
        Self { network, stop, obeyed: Arc::default() }
    }

    /// Whether a pass was refused.
    pub fn stopped(&self) -> bool {
        self.obeyed.load(Ordering::Relaxed)
    }
}

impl Network for Stoppable {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Tensor, NetworkError> {
        if self.stop.raised() {
            self.obeyed.store(true, Ordering::Relaxed);
            return Err(NetworkError::Stopped);
        }
        self.network.forward(x, t, conditioning)
    }

    fn device(&self) -> Device {
        self.network.device()
    }

    fn kind(&self) -> Kind {
        self.network.kind()
    }
}
