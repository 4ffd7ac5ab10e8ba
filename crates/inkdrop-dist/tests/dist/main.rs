//! The environment of workers, and launched processes from start to end, with /bin/sh as worker.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod configs;
mod ends;
mod environment;
mod orphans;
mod output;
mod restarts;
mod stops;
mod support;
mod worker_env;
