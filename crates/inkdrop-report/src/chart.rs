//! Line charts as inline SVG, with the colours of the page.

mod lines;

use maud::{Markup, html};

use crate::scale::{Scale, short};
pub(crate) use lines::Line;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 240.0;
/// Margins: left, right, top, bottom.
const MARGINS: [f64; 4] = [50.0, 12.0, 10.0, 26.0];

/// Minimum ratio of the highest to the lowest value for a logarithmic axis.
const WIDE: f64 = 12.0;

/// A chart: curves over a common x axis.
#[derive(Debug)]
pub(crate) struct Chart {
    /// Title of the chart.
    pub(crate) title: String,
    /// Label of the x axis, such as `step`.
    pub(crate) x: &'static str,
    /// True if the y axis may be logarithmic. It is if all values are positive and span a wide range.
    pub(crate) log: bool,
    /// The curves; at most six have different colours.
    pub(crate) lines: Vec<Line>,
}

impl Chart {
    /// The chart with title and legend; `None` without a finite value.
    pub(crate) fn figure(&self) -> Option<Markup> {
        let svg = self.svg()?;
        let name = |index: usize, line: &Line| {
            html! { span class={ "key c" (index % 6) } { i {} (line.name) } }
        };
        Some(html! {
            figure.card {
                figcaption {
                    strong { (self.title) }
                    @if self.lines.len() > 1 {
                        span.legend {
                            @for (index, line) in self.lines.iter().enumerate() { (name(index, line)) }
                        }
                    }
                }
                (svg)
                p.readout aria-hidden="true" { "\u{a0}" }
            }
        })
    }

    fn svg(&self) -> Option<Markup> {
        let finite = || self.lines.iter().flat_map(Line::finite);
        let x = Scale::of(finite().map(|(x, _)| x), false)?;
        let (low, high) =
            finite().fold((f64::INFINITY, 0.0f64), |(low, high), (_, y)| (low.min(y), high.max(y)));
        let y = Scale::of(finite().map(|(_, y)| y), self.log && low > 0.0 && high / low > WIDE)?
            .with_room();
        let frame = Frame { x, y };
        Some(html! {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.words())
                data-x=(x.text()) data-y=(y.text()) data-x-name=(self.x)
                data-frame={ (MARGINS[0]) " " (WIDTH - MARGINS[1]) " " (MARGINS[2]) " " (HEIGHT - MARGINS[3]) } {
                (frame.axes(self.x))
                @for (index, line) in self.lines.iter().enumerate() {
                    g class={ "c" (index % 6) } data-name=(line.name) { (line.draw(&frame)) }
                }
                line.cursor x1="0" x2="0" y1=(MARGINS[2]) y2=(HEIGHT - MARGINS[3]) {}
            }
        })
    }

    /// Text alternative: the first and the last value of each curve.
    fn words(&self) -> String {
        let of = |line: &Line| {
            let (first, last) = (line.finite().next(), line.finite().last());
            let ((x, y), (u, v)) = first.zip(last)?;
            let at = |x, y| format!("{} at {} {}", short(y), self.x, short(x));
            Some(format!("{} from {} to {}", line.name, at(x, y), at(u, v)))
        };
        let lines: Vec<String> = self.lines.iter().filter_map(of).collect();
        format!("{}: {}", self.title, lines.join("; "))
    }
}

/// Maps values to positions in the image.
pub(crate) struct Frame {
    x: Scale,
    y: Scale,
}

impl Frame {
    /// Position of a point, clipped to the image.
    pub(crate) fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, right, top, bottom] = MARGINS;
        let (width, height) = (WIDTH - left - right, HEIGHT - top - bottom);
        let inside = |share: f64| share.clamp(0.0, 1.0);
        (left + inside(self.x.at(x)) * width, top + (1.0 - inside(self.y.at(y))) * height)
    }

    fn axes(&self, name: &str) -> Markup {
        let [left, right, _, bottom] = MARGINS;
        let (end, floor) = (WIDTH - right, HEIGHT - bottom);
        let level = |tick: f64| format!("{:.1}", self.at((0.0, tick)).1);
        let column = |tick: f64| format!("{:.1}", self.at((tick, 0.0)).0);
        html! {
            g.axis {
                @for tick in self.y.ticks() {
                    line.grid x1=(left) x2=(end) y1=(level(tick)) y2=(level(tick)) {}
                    text x=(left - 6.0) y=(level(tick)) dy="0.32em" text-anchor="end" { (short(tick)) }
                }
                line x1=(left) x2=(end) y1=(floor) y2=(floor) {}
                @for tick in self.x.ticks() {
                    @let room = self.x.at(tick) < 0.9;
                    line x1=(column(tick)) x2=(column(tick)) y1=(floor) y2=(floor + 4.0) {}
                    @if room {
                        text x=(column(tick)) y=(floor + 17.0) text-anchor="middle" { (short(tick)) }
                    }
                }
                text x=(end) y=(floor + 17.0) text-anchor="end" { (name) }
            }
        }
    }
}
