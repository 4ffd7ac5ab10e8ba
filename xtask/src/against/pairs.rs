//! In which order do rivals run, and what do their pairs come to?

use anyhow::Result;

use super::statistics::Summary;

/// Two figures that were taken one right after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Of inkdrop.
    pub ours: f64,
    /// Of the rival; of inkdrop once more in an A/A row.
    pub theirs: f64,
}

/// What is measured, and so which way a ratio goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Seconds of a repetition, the median of those of a process.
    Seconds,
    /// Seconds of a whole process.
    Wall,
    /// The most that was resident in MiB.
    Peak,
}

impl Figure {
    /// Of time how often theirs holds ours: more is better. Of memory ours over theirs: less is.
    pub fn ratio(self, pair: Pair) -> f64 {
        match self {
            Self::Seconds | Self::Wall => pair.theirs / pair.ours,
            Self::Peak => pair.ours / pair.theirs,
        }
    }

    /// The paired ratios.
    pub fn ratios(self, pairs: &[Pair]) -> Option<Summary> {
        Summary::of(&pairs.iter().map(|&pair| self.ratio(pair)).collect::<Vec<_>>())
    }

    /// What may be said of a ratio: nothing of one that ours against ours has, too.
    pub fn verdict(self, ratio: f64, same: Summary) -> &'static str {
        match self {
            _ if same.contains(ratio) => "even",
            Self::Seconds | Self::Wall if ratio > 1.0 => "faster",
            Self::Seconds | Self::Wall => "slower",
            Self::Peak if ratio < 1.0 => "less",
            Self::Peak => "more",
        }
    }
}

/// Runs both, one right after the other; the second one first in every other pair.
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
        let same = Summary::of(&[0.95, 1.0, 1.04]).unwrap();
        let words = [0.9, 0.95, 1.04, 1.05].map(|ratio| Figure::Seconds.verdict(ratio, same));
        assert_eq!(words, ["slower", "even", "even", "faster"]);
        assert_eq!(Figure::Peak.verdict(0.5, same), "less");
        assert_eq!(Figure::Peak.verdict(1.5, same), "more");
    }
}
