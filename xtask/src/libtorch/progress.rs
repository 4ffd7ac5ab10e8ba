//! How far a long step is: a bar in a terminal, one line elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// A bar over `total` bytes of `what` done to `name`; fits 80 columns.
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
