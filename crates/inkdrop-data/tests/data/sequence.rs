//! Laws of epochs and batches.

use inkdrop_data::loader::BatchSampler;
use inkdrop_data::loader::ShuffledIndices;
use proptest::prelude::*;

#[test]
fn order_is_a_function_of_seed_and_epoch() {
    let order = |seed, epoch| ShuffledIndices::new(100, seed, epoch);
    assert_eq!(order(1, 2), order(1, 2));
    assert_ne!(order(1, 2), order(1, 3));
    assert_ne!(order(1, 2), order(2, 2));
}

#[test]
fn order_never_changes() {
    assert_eq!(ShuffledIndices::new(10, 42, 3).indices(), [6, 1, 3, 7, 5, 8, 2, 4, 9, 0]);
}

#[test]
fn every_item_comes_first_equally_often() {
    let mut first = [0; 6];
    for epoch in 0..6_000 {
        first[ShuffledIndices::new(6, 0, epoch).indices()[0]] += 1;
    }
    // Standard deviation 29.
    assert!(first.iter().all(|count| (850..=1150).contains(count)), "{first:?}");
}

#[test]
fn impossible_batches_are_errors() {
    for batch in [0, 11] {
        let error = BatchSampler::new(10, batch, 0).unwrap_err().to_string();
        assert!(error.contains(&format!("batch {batch}")) && error.contains("10"), "{error}");
    }
    assert!(BatchSampler::new(0, 1, 0).is_err());
    assert!(BatchSampler::new(10, 10, 0).is_ok());
}

#[test]
fn steps_can_be_asked_for_in_any_order() {
    let one_after_another = BatchSampler::new(10, 3, 5).unwrap();
    let expected: Vec<_> = (0..12).map(|step| one_after_another.indices(step)).collect();
    let jumping = BatchSampler::new(10, 3, 5).unwrap();
    for step in [11, 0, 7, 3, 4, 1, 11] {
        assert_eq!(jumping.indices(step), expected[step], "step {step}");
    }
    assert_ne!(expected[0..4].concat(), expected[4..8].concat(), "epochs differ");
}

proptest! {
    #[test]
    fn an_epoch_visits_every_item_once(len in 1usize..200, share in 0usize..200, seed: u64, epoch in 0usize..5) {
        let batch = share % len + 1;
        let batches = BatchSampler::new(len, batch, seed).unwrap();
        let steps = batches.steps_per_epoch();
        let mut seen = Vec::new();
        for step in epoch * steps..(epoch + 1) * steps {
            let indices = batches.indices(step);
            let last = step + 1 == (epoch + 1) * steps;
            prop_assert!(indices.len() == batch || (last && !indices.is_empty() && indices.len() < batch));
            seen.extend(indices);
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..len).collect::<Vec<_>>());
    }
}
