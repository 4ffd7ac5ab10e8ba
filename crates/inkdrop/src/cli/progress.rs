//! Progress bars, on standard error.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts `unit`s and shows a message and the remaining time.
pub fn bar(total: usize, unit: &str) -> ProgressBar {
    bar_of(total, &format!("{{bar:14}} {{pos}}/{{len}} {unit} {{msg}} {{eta}} left"))
}

/// A bar of a template of indicatif, hidden if standard error is not a terminal.
pub fn bar_of(total: usize, template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total as u64).with_style(style.progress_chars("█▉▊▋▌▍▎▏ "))
}
