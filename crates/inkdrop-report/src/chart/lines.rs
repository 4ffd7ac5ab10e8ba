//! A curve, downsampled to means with their range.

use std::fmt::Write;

use maud::{Markup, html};

use super::Frame;

/// Maximum number of drawn points.
const POINTS: usize = 300;

/// A curve.
#[derive(Debug)]
pub(crate) struct Line {
    /// Name of the curve.
    pub(crate) name: String,
    /// Points, x rising. If y is not finite, the curve has a gap.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Summary of neighbouring points.
struct Stretch {
    x: f64,
    low: f64,
    mean: f64,
    high: f64,
}

impl Line {
    /// Creates a curve.
    pub(crate) fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points }
    }

    /// The finite points.
    pub(crate) fn finite(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().copied().filter(|(_, y)| y.is_finite())
    }

    /// Draws the means as a line and the range as an area.
    pub(super) fn draw(&self, frame: &Frame) -> Markup {
        let each = self.points.len().div_ceil(POINTS).max(1);
        let runs = self.points.split(|(_, y)| !y.is_finite()).filter(|run| !run.is_empty());
        html! {
            @for run in runs {
                @let run: Vec<Stretch> = run.chunks(each).map(Stretch::of).collect();
                @if each > 1 {
                    @let up = run.iter().map(|stretch| (stretch.x, stretch.high));
                    @let down = run.iter().rev().map(|stretch| (stretch.x, stretch.low));
                    polygon points=(path(frame, up.chain(down))) {}
                }
                @let means: Vec<(f64, f64)> = run.iter().map(|stretch| (stretch.x, stretch.mean)).collect();
                @if let [alone] = means[..] {
                    @let (x, y) = frame.at(alone);
                    circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3" {}
                }
                polyline points=(path(frame, means.into_iter())) {}
            }
        }
    }
}

impl Stretch {
    /// - points: at least one, all finite
    fn of(points: &[(f64, f64)]) -> Self {
        let count = points.len() as f64;
        let values = || points.iter().map(|(_, y)| *y);
        Self {
            x: points.iter().map(|(x, _)| x).sum::<f64>() / count,
            low: values().fold(f64::INFINITY, f64::min),
            mean: values().sum::<f64>() / count,
            high: values().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

fn path(frame: &Frame, points: impl Iterator<Item = (f64, f64)>) -> String {
    points.fold(String::new(), |mut text, point| {
        let (x, y) = frame.at(point);
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{x:.1},{y:.1}", if text.is_empty() { "" } else { " " });
        text
    })
}
