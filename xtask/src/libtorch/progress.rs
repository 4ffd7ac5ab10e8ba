//! Progress bar in a terminal; a single line otherwise.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// A progress bar over `total` bytes, labelled with `what` and `name`, at most 80 columns wide.
pub fn bytes(what: &str, name: &str, total: u64) -> ProgressBar {
    if total < 10_000_000 {
        return ProgressBar::hidden();
    }
    let name = name.split('-').take(2).collect::<Vec<_>>().join("-");
    let label = format!("{what} {name}");
    if !std::io::stderr().is_terminal() {
        eprintln!("{label} ({} MB)", total / 1_000_000);
    }
    let bar = ProgressBar::new(total);
    let template = "{msg:36!} [{bar:18}] {decimal_bytes:>10} of {decimal_total_bytes}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_message(label)
}
