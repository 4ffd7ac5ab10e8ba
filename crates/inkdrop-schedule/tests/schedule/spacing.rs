//! Which steps a shorter run visits.

use inkdrop_schedule::{ScheduleError, Spacing};
use proptest::prelude::*;

fn picks(text: &str, steps: usize) -> Vec<usize> {
    text.parse::<Spacing>().unwrap().picks(steps).unwrap()
}

proptest! {
    #[test]
    fn every_spacing_rises_and_has_its_count(steps in 1usize..2000, share in 0.0f64..1.0) {
        let count = 1 + (share * (steps - 1) as f64) as usize;
        for spacing in [Spacing::Sections(vec![count]), Spacing::Trailing(count)] {
            let picks = spacing.picks(steps).unwrap();
            prop_assert_eq!(picks.len(), count);
            prop_assert!(picks.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(picks[count - 1] < steps);
        }
    }

    #[test]
    fn trailing_ends_at_the_last_step(steps in 1usize..2000, share in 0.0f64..1.0) {
        let count = 1 + (share * (steps - 1) as f64) as usize;
        prop_assert_eq!(Spacing::Trailing(count).picks(steps).unwrap()[count - 1], steps - 1);
    }
}

/// The notebook's range(T, 0, -T//n), whose t is our index + 1.
#[test]
fn trailing_is_the_notebooks_where_n_divides() {
    for n in [1, 2, 10, 20, 25, 50, 100, 250, 500] {
        let mut notebook: Vec<usize> = (1..=500).rev().step_by(500 / n).map(|t| t - 1).collect();
        notebook.reverse();
        assert_eq!(Spacing::Trailing(n).picks(500).unwrap(), notebook);
    }
}

#[test]
fn trailing_handles_what_does_not_divide() {
    // 10, 20/3, 10/3 back from the end, rounded: nothing negative, the end kept.
    assert_eq!(Spacing::Trailing(3).picks(10).unwrap(), [2, 6, 9]);
}

#[test]
fn sections_are_the_papers() {
    // Nichol & Dhariwal's example: 10, 15 and 20 steps from thirds of 300.
    let picks = picks("10,15,20", 300);
    assert_eq!(picks.len(), 45);
    assert_eq!((picks[0], picks[9]), (0, 99));
    assert_eq!((picks[10], picks[24]), (100, 199));
    assert_eq!((picks[25], picks[44]), (200, 299));
}

#[test]
fn sections_share_what_is_left_over() {
    // 10 = 4 + 3 + 3: the first sections are the longer ones.
    assert_eq!(picks("4,3,3", 10), (0..10).collect::<Vec<_>>());
    assert_eq!(picks("2,1,1", 10), [0, 3, 4, 7]);
}

/// Python rounds half to even. Half away from zero picks other steps for 49 of
/// the 1000 step counts at T = 1000, 25 among them.
#[test]
fn sections_round_half_to_even() {
    let away = |count: usize| -> Vec<usize> {
        let stride = if count == 1 { 1.0 } else { 999.0 / (count - 1) as f64 };
        let mut at = 0.0f64;
        let step = |_| {
            let pick = at.round() as usize;
            at += stride;
            pick
        };
        (0..count).map(step).collect()
    };
    let differ: Vec<usize> = (1..=1000)
        .filter(|&count| Spacing::Sections(vec![count]).picks(1000).unwrap() != away(count))
        .collect();
    assert_eq!(differ.len(), 49);
    assert!(differ.contains(&25));
}

#[test]
fn ddim_takes_the_first_stride_that_fits() {
    assert_eq!(picks("ddim50", 1000)[..3], [0, 20, 40]);
    assert_eq!(picks("ddim25", 100), (0..100).step_by(4).collect::<Vec<_>>());
    let error = Spacing::Stride(700).picks(1000).unwrap_err();
    assert_eq!(error, ScheduleError::NoStride { asked: 700, available: 1000 });
}

#[test]
fn counts_that_cannot_be_say_what_can() {
    for spacing in [Spacing::Trailing(0), Spacing::Stride(0), Spacing::Sections(vec![0])] {
        assert!(matches!(spacing.picks(10), Err(ScheduleError::StepCount { asked: 0, .. })));
    }
    let error = Spacing::Trailing(11).picks(10).unwrap_err();
    assert_eq!(error.to_string(), "11 sampling steps were asked for: expected 1 to 10");
    let error = Spacing::Sections(vec![2, 6]).picks(10).unwrap_err();
    assert_eq!(error, ScheduleError::Section { section: 1, size: 5, asked: 6 });
    assert!(Spacing::Sections(vec![]).picks(10).is_err());
}

#[test]
fn spacings_are_written_as_in_the_originals() {
    assert_eq!("".parse::<Spacing>(), Ok(Spacing::All));
    assert_eq!("50".parse::<Spacing>(), Ok(Spacing::Sections(vec![50])));
    assert_eq!("trailing20".parse::<Spacing>(), Ok(Spacing::Trailing(20)));
    for wrong in ["ddim", "ddimx", "1,,2", "fast", "-3"] {
        assert_eq!(wrong.parse::<Spacing>(), Err(ScheduleError::Spacing(wrong.to_string())));
    }
}
