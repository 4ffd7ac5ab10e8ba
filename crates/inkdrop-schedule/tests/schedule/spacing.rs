//! Which steps a shorter run visits.

use inkdrop_schedule::{ScheduleError, TimestepSpacing};
use proptest::prelude::*;

fn picks(text: &str, steps: usize) -> Vec<usize> {
    text.parse::<TimestepSpacing>().unwrap().timesteps(steps).unwrap()
}

fn spacings() -> impl Strategy<Value = TimestepSpacing> {
    let list = || prop::collection::vec(0usize..5000, 1..20);
    prop_oneof![
        Just(TimestepSpacing::All),
        list().prop_map(TimestepSpacing::Sections),
        any::<usize>().prop_map(TimestepSpacing::Stride),
        any::<usize>().prop_map(TimestepSpacing::Trailing),
        (any::<usize>(), 0usize..3)
            .prop_map(|(count, offset)| TimestepSpacing::Leading { count, offset }),
        any::<usize>().prop_map(TimestepSpacing::Linspace),
        any::<usize>().prop_map(TimestepSpacing::Truncated),
        any::<usize>().prop_map(TimestepSpacing::Quadratic),
        list().prop_map(TimestepSpacing::Explicit),
    ]
}

/// All picks in one number: sum and sum of squares of each list, in base 31.
fn fold(lists: impl Iterator<Item = Vec<usize>>) -> u64 {
    lists.fold(0u64, |hash, picks| {
        let sum = picks.iter().sum::<usize>() as u64;
        let squares = picks.iter().map(|pick| pick * pick).sum::<usize>() as u64;
        let hash = hash.wrapping_mul(31).wrapping_add(sum);
        hash.wrapping_mul(31).wrapping_add(squares)
    })
}

proptest! {
    #[test]
    fn every_spacing_rises_and_has_its_count(steps in 1usize..2000, share in 0.0f64..1.0) {
        let count = 1 + (share * (steps - 1) as f64) as usize;
        let room = steps - 1 - (count - 1) * (steps / count);
        for spacing in [
            TimestepSpacing::Sections(vec![count]),
            TimestepSpacing::Trailing(count),
            TimestepSpacing::Leading { count, offset: (share * room as f64) as usize },
            TimestepSpacing::Leading { count, offset: room },
            TimestepSpacing::Linspace(count),
            TimestepSpacing::Truncated(count),
            TimestepSpacing::Quadratic(count),
            TimestepSpacing::Stride(count),
            TimestepSpacing::Explicit((steps - count..steps).collect()),
        ] {
            let picks = match spacing.timesteps(steps) {
                Err(ScheduleError::RepeatedTimesteps { most, .. }) if count > most => continue,
                Err(ScheduleError::NoStride { .. }) => continue,
                picks => picks.unwrap(),
            };
            prop_assert_eq!(picks.len(), count);
            prop_assert!(picks.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(picks[count - 1] < steps);
        }
    }

    #[test]
    fn texts_are_written_as_they_are_read(spacing in spacings()) {
        let text = spacing.to_string();
        let read: TimestepSpacing = text.parse().unwrap();
        prop_assert_eq!(&read, &spacing);
        prop_assert_eq!(read.to_string(), text);
        let json = serde_json::to_string(&spacing).unwrap();
        prop_assert_eq!(serde_json::from_str::<TimestepSpacing>(&json).unwrap(), spacing);
    }

    #[test]
    fn trailing_ends_at_the_last_step(steps in 1usize..2000, share in 0.0f64..1.0) {
        let count = 1 + (share * (steps - 1) as f64) as usize;
        prop_assert_eq!(TimestepSpacing::Trailing(count).timesteps(steps).unwrap()[count - 1], steps - 1);
    }
}

/// The notebook's range(T, 0, -T//n), whose t is our index + 1.
#[test]
fn trailing_is_the_notebooks_where_n_divides() {
    for n in [1, 2, 10, 20, 25, 50, 100, 250, 500] {
        let mut notebook: Vec<usize> = (1..=500).rev().step_by(500 / n).map(|t| t - 1).collect();
        notebook.reverse();
        assert_eq!(TimestepSpacing::Trailing(n).timesteps(500).unwrap(), notebook);
    }
}

#[test]
fn trailing_handles_what_does_not_divide() {
    // 10, 20/3, 10/3 back from the end, rounded: nothing negative, the end kept.
    assert_eq!(TimestepSpacing::Trailing(3).timesteps(10).unwrap(), [2, 6, 9]);
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
        .filter(|&count| {
            TimestepSpacing::Sections(vec![count]).timesteps(1000).unwrap() != away(count)
        })
        .collect();
    assert_eq!(differ.len(), 49);
    assert!(differ.contains(&25));
}

/// The numbers of the next three tests come from Python 3 and numpy 2.4: the
/// same fold over the lists that the original rules give.
///
/// Here: `stride = 999 / (n - 1)` (1 for n = 1), `cur += stride` from 0.0, `round(cur)`.
#[test]
fn sections_are_pythons_for_every_count() {
    let all =
        (1..=1000).map(|count| TimestepSpacing::Sections(vec![count]).timesteps(1000).unwrap());
    assert_eq!(fold(all), 15_830_233_177_082_036_836);
}

/// The timesteps of `ddim_sample` in denoising-diffusion-pytorch.
#[test]
fn truncated_is_that_of_lucidrains() {
    assert_eq!(picks("truncated7", 200), [27, 56, 84, 113, 141, 170, 199]);
    assert_eq!(picks("truncated4", 1000), [249, 499, 749, 999]);
    assert_eq!(picks("truncated10", 10), (0..10).collect::<Vec<_>>());
}

/// `np.linspace(0, T - 1, n).round()`; at T = 1000 also what diffusers 0.35 gives.
#[test]
fn linspace_is_numpys_for_every_count() {
    let all = (1..=1000).map(|count| TimestepSpacing::Linspace(count).timesteps(1000).unwrap());
    assert_eq!(fold(all), 2_436_724_237_092_481_212);
    let all = (1..=300usize).flat_map(|steps| {
        (1..=steps).map(move |count| TimestepSpacing::Linspace(count).timesteps(steps).unwrap())
    });
    assert_eq!(fold(all), 9_445_837_986_645_364_042);
    assert_eq!(picks("linspace1", 1000), [0]);
    assert_eq!(picks("linspace3", 10), [0, 4, 9]);
}

/// `np.linspace(0, np.sqrt(T * 0.8), n) ** 2` as integers, for every T up to
/// 2000 and every n before the first that visits a step twice.
#[test]
fn quadratic_is_numpys_wherever_it_rises() {
    let fitting = |steps: usize| {
        let picks = move |count| TimestepSpacing::Quadratic(count).timesteps(steps);
        (1..=steps).map(picks).map_while(Result::ok)
    };
    assert_eq!((1..=2000).flat_map(fitting).count(), 54350);
    assert_eq!(fold((1..=2000).flat_map(fitting)), 5_208_818_306_262_358_972);
    assert_eq!(picks("quadratic20", 1000)[..5], [0, 2, 8, 19, 35]);
}

#[test]
fn quadratic_names_the_largest_count_that_rises() {
    for steps in 1..=2000 {
        let error = TimestepSpacing::Quadratic(steps).timesteps(steps).err();
        let Some(ScheduleError::RepeatedTimesteps { most, .. }) = error else {
            assert!(steps <= 4 && error.is_none(), "{error:?} at {steps}");
            continue;
        };
        assert!(TimestepSpacing::Quadratic(most).timesteps(steps).is_ok());
        assert!(TimestepSpacing::Quadratic(most + 1).timesteps(steps).is_err());
    }
    let error = TimestepSpacing::Quadratic(50).timesteps(1000).unwrap_err().to_string();
    assert!(error.contains("at most 29") && error.contains("`linspace50`"), "{error}");
}

#[test]
fn leading_strides_from_its_offset() {
    assert_eq!(picks("leading4", 10), [0, 2, 4, 6]);
    assert_eq!(picks("leading4+3", 10), [3, 5, 7, 9]);
    // Stable Diffusion's in diffusers: steps_offset 1.
    assert_eq!(picks("leading50+1", 1000), (0..50).map(|i| 20 * i + 1).collect::<Vec<_>>());
    let error = TimestepSpacing::Leading { count: 4, offset: 4 }.timesteps(10).unwrap_err();
    assert_eq!(error, ScheduleError::Offset { offset: 4, last: 10, available: 10 });
    assert!(TimestepSpacing::Leading { count: 4, offset: usize::MAX }.timesteps(10).is_err());
}

#[test]
fn an_offset_is_left_out_in_json_where_there_is_none() {
    let leading: TimestepSpacing = serde_json::from_str(r#"{"leading":{"count":5}}"#).unwrap();
    assert_eq!(leading, TimestepSpacing::Leading { count: 5, offset: 0 });
    assert!(
        serde_json::from_str::<TimestepSpacing>(r#"{"leading":{"count":5,"start":1}}"#).is_err()
    );
}

#[test]
fn explicit_steps_rise_and_lie_inside() {
    assert_eq!(picks("at:0,10,500", 501), [0, 10, 500]);
    for (wrong, position, step) in [(vec![3, 3], 1, 3), (vec![5, 4], 1, 4), (vec![0, 10], 1, 10)] {
        let error = TimestepSpacing::Explicit(wrong).timesteps(10).unwrap_err();
        assert_eq!(error, ScheduleError::TimestepMap { position, timestep: step, available: 10 });
    }
    let error = TimestepSpacing::Explicit(vec![]).timesteps(10).unwrap_err();
    assert_eq!(error, ScheduleError::StepCount { requested: 0, available: 10 });
}

#[test]
fn ddim_takes_the_first_stride_that_fits() {
    assert_eq!(picks("ddim50", 1000)[..3], [0, 20, 40]);
    assert_eq!(picks("ddim25", 100), (0..100).step_by(4).collect::<Vec<_>>());
    let error = TimestepSpacing::Stride(700).timesteps(1000).unwrap_err();
    assert_eq!(error, ScheduleError::NoStride { requested: 700, available: 1000 });
}

#[test]
fn counts_that_cannot_be_say_what_can() {
    for spacing in ["trailing0", "ddim0", "0", "leading0", "linspace0", "quadratic0"] {
        let spacing: TimestepSpacing = spacing.parse().unwrap();
        assert!(matches!(
            spacing.timesteps(10),
            Err(ScheduleError::StepCount { requested: 0, .. })
        ));
    }
    let error = TimestepSpacing::Trailing(11).timesteps(10).unwrap_err();
    assert_eq!(error.to_string(), "11 sampling steps: expected 1 to 10");
    let error = TimestepSpacing::Sections(vec![2, 6]).timesteps(10).unwrap_err();
    assert_eq!(error, ScheduleError::Section { section: 1, size: 5, requested: 6 });
    assert!(TimestepSpacing::Sections(vec![]).timesteps(10).is_err());
}

#[test]
fn spacings_are_written_as_in_the_originals() {
    assert_eq!("".parse::<TimestepSpacing>(), Ok(TimestepSpacing::All));
    assert_eq!("50".parse::<TimestepSpacing>(), Ok(TimestepSpacing::Sections(vec![50])));
    assert_eq!("trailing20".parse::<TimestepSpacing>(), Ok(TimestepSpacing::Trailing(20)));
    assert_eq!(
        "leading9".parse::<TimestepSpacing>(),
        Ok(TimestepSpacing::Leading { count: 9, offset: 0 })
    );
    let wrong = ["ddim", "ddimx", "1,,2", "fast", "-3", "leading", "leading5+", "leading+5"];
    for wrong in wrong.into_iter().chain(["leading5-1", "linspace", "quadratic2.5", "at:", "at:1,"])
    {
        assert_eq!(
            wrong.parse::<TimestepSpacing>(),
            Err(ScheduleError::TimestepSpacing(wrong.to_string()))
        );
    }
    let error = "fast".parse::<TimestepSpacing>().unwrap_err().to_string();
    for form in
        ["50", "10,15,20", "ddim50", "trailing50", "leading50+1", "linspace50", "quadratic20"]
    {
        assert!(error.contains(&format!("`{form}`")), "{error}");
    }
    assert!(error.contains("`at:0,10,500`"));
}
