//! What a page shows of a run at any point of its life, and what is in an event file.
#![allow(missing_docs, clippy::unwrap_used)]

mod report {
    mod events;
    mod folder;
    mod log;
    mod page;
}
