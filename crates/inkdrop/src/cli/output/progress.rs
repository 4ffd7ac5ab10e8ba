//! Progress of a sampling run: a bar on a terminal, or a line from time to time in a log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::progress::bar_of;

/// Minimum time between two lines of a log, and maximum if little progress is made.
const LINES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// Fraction of all images that justifies a line before the maximum time.
const MIN_PROGRESS: f64 = 0.01;

/// Length of the bar in thousandths of the job.
const BAR_UNITS: usize = 1000;

/// Counts images and steps, and shows them on standard error.
pub struct SamplingProgress {
    count: Count,
    begun: Instant,
    bar: ProgressBar,
    log: Option<(Instant, f64)>,
}

/// The counters.
#[derive(Debug, Clone, Default)]
struct Count {
    /// Images of the job.
    total: usize,
    /// Images of earlier runs.
    before: usize,
    /// Images of this run in finished batches.
    done: usize,
    /// The same, plus the fraction of the current batch.
    work: f64,
    /// Solver steps of this run.
    steps: usize,
}

impl SamplingProgress {
    /// Counts to `total` images, of which `before` exist.
    pub fn new(total: usize, before: usize) -> Self {
        let bar = bar_of(BAR_UNITS, "{bar:12} {msg}");
        let log = (!std::io::stderr().is_terminal()).then(|| (Instant::now(), 0.0));
        let count = Count { total, before, ..Count::default() };
        Self { count, begun: Instant::now(), bar, log }
    }

    /// Records step `number` of `steps` of a batch.
    pub fn step(&mut self, batch: usize, number: usize, steps: usize) {
        self.count.steps += 1;
        let part = (number + 1) as f64 / steps.max(1) as f64;
        self.count.work = self.count.done as f64 + part * batch as f64;
        self.show();
    }

    /// Records a finished batch.
    pub fn batch(&mut self, images: usize) {
        self.count.done += images;
        self.count.work = self.count.done as f64;
        self.show();
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self) {
        let elapsed = self.begun.elapsed();
        self.bar.set_position((self.count.fraction() * BAR_UNITS as f64) as u64);
        self.bar.set_message(self.count.text(elapsed));
        let Some((last, part)) = &mut self.log else { return };
        if due(last.elapsed(), self.count.fraction() - *part) {
            eprintln!("{}", self.count.text(elapsed));
            (*last, *part) = (Instant::now(), self.count.fraction());
        }
    }
}

/// True if a log needs a line: after 10 s with some progress, or after 60 s.
fn due(since: Duration, more: f64) -> bool {
    since >= LINES.1 || since >= LINES.0 && more >= MIN_PROGRESS
}

impl Count {
    /// Fraction of the job, 0 to 1.
    fn fraction(&self) -> f64 {
        (self.before as f64 + self.work) / self.total.max(1) as f64
    }

    fn text(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let (images, steps) = (self.work / seconds, self.steps as f64 / seconds);
        let left = (self.total - self.before.min(self.total)) as f64 - self.work;
        let left = Duration::try_from_secs_f64(left.max(0.0) / images).unwrap_or(Duration::MAX);
        format!(
            "{}/{} images, {}/s, {} steps/s, {} left",
            self.before + self.done,
            self.total,
            rate(images),
            rate(steps),
            time(left.as_secs())
        )
    }
}

/// `0.25`, `12.3`, `615`.
fn rate(rate: f64) -> String {
    match rate {
        0.0..10.0 => format!("{rate:.2}"),
        10.0..100.0 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

/// `7 s`, `2:03`, `1:02:03`.
fn time(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes}:{rest:02}"),
        (..10_000, _) => format!("{hours}:{minutes:02}:{rest:02}"),
        _ => "long".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_there_is_how_fast_and_how_long() {
        let count = Count { total: 50_000, before: 1280, done: 640, work: 672.0, steps: 525 };
        let text = count.text(Duration::from_secs(60));
        assert_eq!(text, "1920/50000 images, 11.2/s, 8.75 steps/s, 1:11:30 left");
    }

    #[test]
    fn a_line_and_its_bar_fit_into_80_columns() {
        let most =
            Count { total: 10_000_000, before: 9_999_000, done: 999, work: 999.5, steps: 99_999 };
        for seconds in [0.0, 1e-9, 0.01, 1.0, 1e6, 1e15] {
            let text = most.text(Duration::from_secs_f64(seconds));
            if seconds >= 0.01 {
                assert!(12 + 1 + text.chars().count() <= 80, "{text}");
            }
            let none = Count { total: 50_000, ..Count::default() }.text(Duration::ZERO);
            assert!(none.contains("0/50000 images"), "{none}");
        }
    }

    #[test]
    fn a_log_gets_a_line_where_there_is_something_to_say() {
        let seconds = Duration::from_secs;
        assert!(!due(seconds(9), 0.5), "too soon");
        assert!(due(seconds(10), 0.01));
        assert!(!due(seconds(30), 0.001), "a day's run would fill its log");
        assert!(due(seconds(60), 0.0), "a slow run is alive");
    }
}
