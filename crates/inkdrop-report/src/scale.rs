//! Axes of charts: scale and ticks.

/// Approximate number of ticks of an axis.
const TICKS: f64 = 5.0;

/// An axis from its lowest to its highest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// Creates an axis that covers all values. A logarithmic one requires positive values.
    ///
    /// - values: finite
    pub(crate) fn of(values: impl Iterator<Item = f64>, log: bool) -> Option<Self> {
        let bounds = |all: Option<(f64, f64)>, value: f64| match all {
            None => Some((value, value)),
            Some((low, high)) => Some((low.min(value), high.max(value))),
        };
        let (low, high) = values.fold(None, bounds)?;
        let margin = match () {
            _ if high > low => return Some(Self { low, high, log }),
            _ if low == 0.0 => 1.0,
            _ => low.abs() * 0.1,
        };
        Some(Self { low: low - margin, high: high + margin, log })
    }

    /// The same axis with a margin at both ends.
    pub(crate) fn with_room(self) -> Self {
        let share = 0.04;
        if self.log {
            let factor = (self.high / self.low).powf(share);
            if !factor.is_finite() {
                return self; // from end to end of all numbers
            }
            return Self { low: self.low / factor, high: self.high * factor, ..self };
        }
        let room = (self.high - self.low) * share;
        // A curve that reaches 0 starts at the axis.
        let low = if self.low >= 0.0 { (self.low - room).max(0.0) } else { self.low - room };
        Self { low, high: self.high + room, ..self }
    }

    /// Position of a value: 0 at the low end, 1 at the high end.
    pub(crate) fn at(&self, value: f64) -> f64 {
        if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// Low end, high end and kind, for the page's script.
    pub(crate) fn text(&self) -> String {
        format!("{:e} {:e} {}", self.low, self.high, if self.log { "log" } else { "linear" })
    }

    /// Ticks at round numbers, rising.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        if !self.log || self.low <= 0.0 || !self.high.is_finite() {
            return self.linear();
        }
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let of = |factors: &[f64]| -> Vec<f64> {
            let ticks = decades
                .clone()
                .flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
            ticks.filter(|tick| (self.low..=self.high).contains(tick)).collect()
        };
        let tens = of(&[1.0]);
        match tens.len() {
            0 | 1 => {
                let more = of(&[1.0, 2.0, 5.0]);
                if more.len() < 2 { self.linear() } else { more }
            }
            2 => of(&[1.0, 3.0]),
            many => tens.into_iter().step_by(many.div_ceil(7)).collect(),
        }
    }

    fn linear(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / TICKS;
        let ten = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| round * ten >= rough);
        let step = step.unwrap_or(10.0) * ten;
        // The step is zero, not finite, or vanishes in the rounding of the values.
        if !(step.is_normal() && self.low.abs().max(self.high.abs()) / step < 1e9) {
            return vec![self.low, self.high];
        }
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|count| count as f64 * step).collect()
    }
}

/// Formats a number briefly: `0.05`, `12`, `350k`, `2e-5`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "not finite".to_string();
    }
    match size {
        0.0 => "0".to_string(),
        ..1e-3 => exponent(value),
        ..1.0 => trimmed(format!("{value:.4}")),
        ..1e2 => trimmed(format!("{value:.2}")),
        ..1e4 => trimmed(format!("{value:.0}")),
        ..1e6 => format!("{}k", trimmed(format!("{:.1}", value / 1e3))),
        ..1e9 => format!("{}M", trimmed(format!("{:.1}", value / 1e6))),
        _ => exponent(value),
    }
}

fn exponent(value: f64) -> String {
    let text = format!("{value:.1e}");
    text.replace(".0e", "e")
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(low: f64, high: f64, log: bool) -> Scale {
        Scale::of([low, high].into_iter(), log).expect("two numbers")
    }

    #[test]
    fn ticks_are_round_and_on_the_axis() {
        assert_eq!(scale(0.0, 300.0, false).ticks(), [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(scale(-12.0, 7.0, false).ticks(), [-10.0, -5.0, 0.0, 5.0]);
        assert_eq!(scale(0.09, 0.7, true).ticks(), [0.1, 0.2, 0.5]);
        assert_eq!(scale(1e-5, 1.0, true).ticks().len(), 6);
        for (low, high) in [(3.0, 3.1), (1e-9, 1e9), (0.5, 0.50001), (2e4, 8e5)] {
            for log in [false, true] {
                let scale = scale(low, high, log).with_room();
                let ticks = scale.ticks();
                assert!((2..=9).contains(&ticks.len()), "{scale:?}: {ticks:?}");
                assert!(
                    ticks.is_sorted() && ticks.iter().all(|&t| (0.0..=1.0).contains(&scale.at(t)))
                );
            }
        }
    }

    #[test]
    fn extreme_numbers_end() {
        for (low, high) in [(0.0, 5e-324), (1e-300, 1e308), (-1e308, 1e308), (1.0, 1.0 + 2e-16)] {
            for log in [false, true] {
                assert!(scale(low, high, log).with_room().ticks().len() < 20, "{low} {high} {log}");
            }
        }
    }

    #[test]
    fn one_number_is_in_the_middle() {
        for value in [0.0, 3.0, -2.0] {
            let scale = Scale::of(std::iter::once(value), false).expect("a number");
            assert!((scale.at(value) - 0.5).abs() < 1e-12);
        }
        assert_eq!(Scale::of(std::iter::empty(), false), None);
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.05, "0.05"),
            (12.0, "12"),
            (1500.0, "1500"),
            (350_000.0, "350k"),
            (2e-5, "2e-5"),
            (1.25e6, "1.2M"),
            (-0.5, "-0.5"),
            (f64::NAN, "not finite"),
            (3e10, "3e10"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
