//! Timestep sampling.

use inkdrop_train::{TimestepConfig, TimestepSampler};

#[test]
fn uniform_samples_are_uniform_and_follow_the_seed() {
    let sampler = TimestepSampler::new(TimestepConfig::Uniform, 10);
    let drawn = sampler.sample(20_000, 3);
    assert_eq!(drawn, sampler.sample(20_000, 3));
    assert_ne!(drawn, sampler.sample(20_000, 4));
    assert!(drawn.importance_weights.iter().all(|&weight| (weight - 1.0).abs() < 1e-12));
    for step in 0..10 {
        let count = drawn.t.iter().filter(|&&t| t == step).count() as f64;
        assert!((count - 2000.0).abs() < 200.0, "step {step}: {count} of 20,000");
    }
}

/// numpy on the same losses: √mean(l²) over the last ten, normalised, mixed with 0.001 of even.
#[test]
fn second_moments_count_once_all_steps_have_ten_losses() {
    let mut sampler = TimestepSampler::new(TimestepConfig::LossSecondMoment, 3);
    for round in 0..10 {
        assert_eq!(sampler.probabilities(), vec![1.0 / 3.0; 3], "round {round}");
        sampler.update(&[0, 1, 2], &[100.0, 5.0, 1.0]);
    }
    for _ in 0..10 {
        sampler.update(&[0], &[2.0]); // the oldest losses are forgotten
    }
    for (p, expected) in sampler.probabilities().into_iter().zip([2.0, 5.0, 1.0]) {
        let expected = expected / 8.0 * 0.999 + 0.001 / 3.0;
        assert!((p - expected).abs() < 1e-12, "{p}, expected {expected}");
    }
}

/// The mean of weight·loss over uneven draws is that of the loss over even ones.
#[test]
fn importance_weights_keep_the_mean_unbiased() {
    let losses = [3.0, 0.5, 1.0, 7.0];
    let mut sampler = TimestepSampler::new(TimestepConfig::LossSecondMoment, 4);
    for _ in 0..10 {
        sampler.update(&[0, 1, 2, 3], &losses);
    }
    let drawn = sampler.sample(100_000, 1);
    let mean =
        drawn.t.iter().zip(&drawn.importance_weights).map(|(&t, w)| w * losses[t]).sum::<f64>()
            / 1e5;
    // Draws in proportion to the loss leave almost no variance: that is why they are drawn so.
    assert!((mean - 2.875).abs() < 0.01, "{mean}");
    let often = drawn.t.iter().filter(|&&t| t == 3).count() as f64 / 1e5;
    assert!((often - 7.0 / 11.5).abs() < 0.01, "{often}");
}
