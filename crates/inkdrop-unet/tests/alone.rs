//! What needs libtorch's one generator, or its memory, for itself: run one after the other.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::{Mutex, MutexGuard, PoisonError};

mod alone {
    mod checkpointing;
    mod memory;
    mod seeds;
}

#[path = "unet/support.rs"]
mod support;

/// Every test here holds it.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
