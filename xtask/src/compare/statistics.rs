//! Five-number summary: minimum, quartiles and maximum.

/// Five-number summary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Minimum.
    pub least: f64,
    /// First quartile.
    pub lower: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub upper: f64,
    /// Maximum.
    pub most: f64,
}

impl Summary {
    /// The summary of figures; `None` if there are none, or one is not finite.
    pub fn of(figures: &[f64]) -> Option<Self> {
        if figures.is_empty() || figures.iter().any(|figure| !figure.is_finite()) {
            return None;
        }
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile(&sorted, share);
        let [least, lower, median, upper, most] = [0.0, 0.25, 0.5, 0.75, 1.0].map(at);
        Some(Self { least, lower, median, upper, most })
    }
}

/// Quantile by linear interpolation (numpy's default).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor(), place.ceil());
    let (low, high) = (sorted[below as usize], sorted[above as usize]);
    low + (high - low) * (place - below)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn five_numbers_are_those_of_numpy() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        let Summary { least, lower, median, upper, most } = summary;
        assert_eq!([least, lower, median, upper, most], [1.0, 1.75, 2.5, 3.25, 4.0]);
        let nine: Vec<f64> = (1..=9).rev().map(f64::from).collect();
        let Summary { lower, median, upper, .. } = Summary::of(&nine).unwrap();
        assert_eq!([lower, median, upper], [3.0, 5.0, 7.0]);
    }

    #[test]
    fn one_figure_is_its_own_range() {
        let one = Summary::of(&[2.0]).unwrap();
        let Summary { least, lower, median, upper, most } = one;
        assert_eq!([least, lower, median, upper, most], [2.0; 5]);
    }

    #[test]
    fn no_figures_or_a_nan_have_no_summary() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
    }
}
