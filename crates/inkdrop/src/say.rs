//! Standard output, whose reader may go away (`inkdrop inspect FILE | head`).

use std::io::{self, ErrorKind, Write};

use anyhow::Result;

/// Prints text and a line end; a reader that went away has read enough.
pub fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
