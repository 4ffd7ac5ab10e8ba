//! Paired measurements: alternating order, ratios and verdicts.

use anyhow::Result;

use super::statistics::Summary;

/// Minimum number of pairs for a verdict.
const FEW: usize = 5;

/// Two figures that were measured one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// inkdrop's figure.
    pub ours: f64,
    /// The baseline's figure; inkdrop's second figure in an A/A row.
    pub theirs: f64,
}

/// The quantity that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Seconds per repetition, the median within a process.
    Seconds,
    /// Wall time of a whole process, in seconds.
    Wall,
    /// Peak resident memory in MiB.
    Peak,
}

impl Figure {
    /// The ratio of a pair. Time: theirs / ours, larger is better. Memory: ours / theirs, smaller is better.
    pub fn ratio(self, pair: Pair) -> f64 {
        match self {
            Self::Seconds | Self::Wall => pair.theirs / pair.ours,
            Self::Peak => pair.ours / pair.theirs,
        }
    }

    /// Summary of the paired ratios.
    pub fn ratios(self, pairs: &[Pair]) -> Option<Summary> {
        Summary::of(&pairs.iter().map(|&pair| self.ratio(pair)).collect::<Vec<_>>())
    }

    /// The verdict on a baseline.
    ///
    /// A ratio inside the spread of A/A, or of its inverse, is "even"; few pairs give "too few".
    pub fn verdict(self, baseline: &[Pair], same: &[Pair]) -> &'static str {
        let (Some(baseline), Some(noise)) = (self.ratios(baseline), self.ratios(same)) else {
            return "";
        };
        let (ratio, most) = (baseline.median, noise.most.max(1.0 / noise.least));
        match self {
            _ if same.len() < FEW => "too few",
            _ if (1.0 / most..=most).contains(&ratio) => "even",
            Self::Seconds | Self::Wall if ratio > 1.0 => "faster",
            Self::Seconds | Self::Wall => "slower",
            Self::Peak if ratio < 1.0 => "less",
            Self::Peak => "more",
        }
    }
}

/// Runs both, one after the other; every other pair runs the second one first.
pub fn pair<A, B>(
    number: usize,
    mut first: impl FnMut() -> Result<A>,
    mut second: impl FnMut() -> Result<B>,
) -> Result<(A, B)> {
    if number.is_multiple_of(2) {
        let first = first()?;
        Ok((first, second()?))
    } else {
        let second = second()?;
        Ok((first()?, second))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn the_order_is_swapped_every_other_pair() {
        let log = RefCell::new(String::new());
        let run = |name: char| {
            log.borrow_mut().push(name);
            Ok(name)
        };
        for number in 0..4 {
            assert_eq!(pair(number, || run('A'), || run('B')).unwrap(), ('A', 'B'));
        }
        assert_eq!(*log.borrow(), "ABBAABBA");
    }

    #[test]
    fn a_failure_ends_the_pair() {
        let failing = || -> Result<f64> { anyhow::bail!("no") };
        assert!(
            pair(0, failing, || -> Result<f64> { unreachable!("the first one failed") }).is_err()
        );
    }

    #[test]
    fn ratios_are_paired() {
        let pairs = [(1.0, 2.0), (10.0, 20.0), (2.0, 3.0)];
        let pairs = pairs.map(|(ours, theirs)| Pair { ours, theirs });
        let time = Figure::Seconds.ratios(&pairs).unwrap();
        assert_eq!((time.least, time.median, time.most), (1.5, 2.0, 2.0));
        assert_eq!(Figure::Peak.ratios(&pairs).unwrap().median, 0.5);
        assert_eq!(Figure::Wall.ratios(&[]), None);
    }

    #[test]
    fn nothing_inside_the_spread_of_the_same_is_claimed() {
        let pairs = |ratios: &[f64]| -> Vec<Pair> {
            ratios.iter().map(|&theirs| Pair { ours: 1.0, theirs }).collect()
        };
        let same = pairs(&[0.8, 1.0, 1.1, 1.0, 1.0]);
        let word = |figure: Figure, ratio| figure.verdict(&pairs(&[ratio]), &same);
        let words = [0.79, 0.81, 1.24, 1.26].map(|ratio| word(Figure::Seconds, ratio));
        assert_eq!(words, ["slower", "even", "even", "faster"], "5/4 is as far as 4/5");
        // Of memory the ratio is ours over theirs.
        assert_eq!(
            [0.5, 1.1, 2.0].map(|theirs| word(Figure::Peak, theirs)),
            ["more", "even", "less"]
        );
        assert_eq!(Figure::Seconds.verdict(&pairs(&[9.0]), &same[..4]), "too few");
        assert_eq!(Figure::Seconds.verdict(&pairs(&[9.0]), &[]), "");
    }
}
