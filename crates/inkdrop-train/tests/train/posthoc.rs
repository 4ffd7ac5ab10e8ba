//! Post-hoc EMA: profiles of any width from snapshots.

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_train::{EmaDecay, EmaProfile, posthoc_coefficients, posthoc_ema};

/// The weight of each of the first `steps` steps in an average of a width.
fn weights(width: f64, steps: usize, all: usize) -> Vec<f64> {
    let decay = EmaDecay::Power { width };
    let (mut weights, mut rest) = (vec![0.0; all], 1.0);
    for step in (0..steps).rev() {
        weights[step] = rest * (1.0 - decay.at(step, 1));
        rest *= decay.at(step, 1);
    }
    weights
}

/// Snapshots of two widths give the other widths, the better the more there are (Karras et al. 2024,
/// figure 10).
#[test]
fn snapshots_sum_to_any_width() {
    for (width, error) in
        [(0.04, 0.003), (0.05, 1e-9), (0.075, 0.001), (0.1, 1e-9), (0.15, 0.003), (0.2, 0.007)]
    {
        let [few, many] = [8, 32].map(|snapshots| distance(width, snapshots));
        assert!(many < error, "width {width}: {many}");
        assert!(many < few || few < 1e-9, "width {width}: {many} with 32, {few} with 8");
    }
}

/// The relative error of the average of a width from so many snapshots of two widths each.
fn distance(width: f64, count: usize) -> f64 {
    let all = 4000;
    let step = |i: usize| (all * i / count) as f64;
    let snapshots: Vec<EmaProfile> = (1..=count)
        .flat_map(|i| [0.05, 0.1].map(|width| EmaProfile { width, step: step(i) }))
        .collect();
    let target = EmaProfile { width, step: all as f64 };
    let coefficients = posthoc_coefficients(&snapshots, target).unwrap();
    let mut sum = vec![0.0; all];
    for (snapshot, coefficient) in snapshots.iter().zip(&coefficients) {
        let profile = weights(snapshot.width, snapshot.step as usize, all);
        sum.iter_mut().zip(profile).for_each(|(sum, weight)| *sum += coefficient * weight);
    }
    let expected = weights(width, all, all);
    let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let error: Vec<f64> = sum.iter().zip(&expected).map(|(a, b)| a - b).collect();
    assert!((coefficients.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    norm(&error) / norm(&expected)
}

#[test]
fn a_snapshot_is_its_own_average() {
    let snapshots = [(0.1, 500.0), (0.1, 1000.0)];
    let snapshots = snapshots.map(|(width, step)| EmaProfile { width, step });
    let coefficients = posthoc_coefficients(&snapshots, snapshots[1]).unwrap();
    assert!(coefficients[0].abs() < 1e-12 && (coefficients[1] - 1.0).abs() < 1e-12);
}

/// Checkpoints with one weight that is the number of the step.
#[test]
fn checkpoints_are_summed() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (1..=4)
        .map(|i| {
            let (step, path) = (100 * i, folder.path().join(format!("{i}.safetensors")));
            let mut state = StateDict::default();
            for width in [0.05, 0.1] {
                let mean: f64 =
                    weights(width, step, step).iter().zip(1..).map(|(w, s)| w * f64::from(s)).sum();
                let prefix = format!("average/power={width}/");
                state.insert(format!("{prefix}w"), Tensor::from_slice(&[mean as f32]));
                state.insert(format!("{prefix}n"), Tensor::from_slice(&[step as i64]));
            }
            state.set_metadata("step", &step).unwrap();
            state.set_metadata("ema", &["power=0.05", "power=0.1"]).unwrap();
            state.save(&path).unwrap();
            path
        })
        .collect();
    for (width, step) in [(0.08, None), (0.06, None), (0.1, Some(300))] {
        let found = posthoc_ema(&paths, width, step).unwrap();
        let last = step.unwrap_or(400);
        let expected: f64 =
            weights(width, last, last).iter().zip(1..).map(|(w, s)| w * f64::from(s)).sum();
        let weight = found.get("w").unwrap();
        assert_eq!(weight.kind(), Kind::Float);
        let relative = weight.double_value(&[0]) / expected;
        assert!((relative - 1.0).abs() < 0.005, "{width} {step:?}: {relative}");
        assert_eq!(found.get("n").unwrap().int64_value(&[0]), last as i64);
    }
    let error = posthoc_ema(&paths, 0.1, Some(50)).unwrap_err().to_string();
    assert!(error.contains("power=") && error.contains("step 50"), "{error}");
    let error = posthoc_ema(&paths, 0.3, None).unwrap_err().to_string();
    assert!(error.contains("0.3"), "{error}");
    // Averages that began at step 350 are no power profiles at step 400.
    let mut state = StateDict::open(&paths[3]).unwrap();
    state.set_metadata("ema_begin", &[350, 350]).unwrap();
    state.save(&paths[3]).unwrap();
    let [one, other] = [None, Some(300)].map(|step| posthoc_ema(&paths, 0.08, step).unwrap());
    assert_eq!(one.get("w"), other.get("w"));
    let error = posthoc_ema(&paths[3..], 0.08, None).unwrap_err().to_string();
    assert!(error.contains("from the first step on"), "{error}");
}
