//! Exponential moving averages of the weights.

use inkdrop_nn::Params;
use inkdrop_torch::tch::no_grad;
use inkdrop_train::{EmaDecay, EmaSet, MasterWeights, TrainError};

use super::support::{build, equal};

const KEY: &str = "out.3.bias";

fn value(params: &Params) -> f64 {
    params.get(KEY).unwrap().tensor.double_value(&[0])
}

fn set(params: &Params, value: f64) {
    no_grad(|| {
        let _ = params.get(KEY).unwrap().tensor.shallow_clone().fill_(value);
    });
}

#[test]
fn averages_follow_each_decay() {
    let live = build();
    set(live.params(), 0.0);
    let master = MasterWeights::new(live.params()).unwrap();
    let rules: Vec<EmaDecay> = ["0.5:warm-up", "0.5", "0.5:start=2", "0", "power=0.2"]
        .iter()
        .map(|rule| rule.parse().unwrap())
        .collect();
    let mut averages = EmaSet::new(build(), &master, &rules).unwrap();
    assert!(equal(averages.network().params(), live.params()), "they start as the weights");
    let read = |averages: &EmaSet| {
        rules
            .iter()
            .map(|&rule| averages.weights(rule).unwrap().get(KEY).unwrap().double_value(&[0]))
            .collect::<Vec<f64>>()
    };
    set(live.params(), 1.0);
    averages.update(&master, 0).unwrap();
    // Of the start, these keep 1/10, 1/2, nothing, nothing, nothing.
    for (found, expected) in read(&averages).into_iter().zip([0.9, 0.5, 1.0, 1.0, 1.0]) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }
    set(live.params(), 3.0);
    averages.update(&master, 1).unwrap();
    let warm = 0.9 * 2.0 / 11.0 + 3.0 * 9.0 / 11.0;
    let power = EmaDecay::Power { width: 0.2 }.at(1);
    let powered = power + 3.0 * (1.0 - power);
    for (found, expected) in read(&averages).into_iter().zip([warm, 1.75, 2.0, 3.0, powered]) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }
    assert!((value(averages.network().params()) - warm).abs() < 1e-6, "the first is the network");
}

/// A power profile w(s) ∝ s^γ has the standard deviation of its name.
#[test]
fn a_power_profile_is_as_wide_as_it_says() {
    for width in [0.05, 0.1, 0.2, 0.25] {
        let rule = EmaDecay::Power { width };
        let steps = 20_000;
        // The weight of step s in the average after the last.
        let mut weights = vec![0.0; steps];
        let mut rest = 1.0;
        for step in (0..steps).rev() {
            let kept = rule.at(step);
            weights[step] = rest * (1.0 - kept);
            rest *= kept;
        }
        let sum: f64 = weights.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        let moment = |power: i32| {
            let place = |step: usize| ((step + 1) as f64 / steps as f64).powi(power);
            weights.iter().enumerate().map(|(s, w)| w * place(s)).sum::<f64>()
        };
        let spread = (moment(2) - moment(1).powi(2)).sqrt();
        assert!((spread - width).abs() < 2e-4, "{spread}, expected {width}");
    }
}

#[test]
fn decays_are_text_and_back() {
    for text in
        ["0.9999", "0", "0.5:warm-up", "0.999:start=2000", "0.9:start=3:warm-up", "power=0.1"]
    {
        let rule: EmaDecay = text.parse().unwrap();
        assert_eq!(rule.to_string(), text);
        assert_eq!(serde_json::to_string(&rule).unwrap(), format!("{text:?}"));
    }
    for wrong in [
        "1",
        "1.0",
        "-0.1",
        "NaN",
        "",
        "0.9:",
        "0.9:late",
        "0.9:start=x",
        "power=0",
        "power=0.288",
        "power=",
    ] {
        let error = wrong.parse::<EmaDecay>().unwrap_err().to_string();
        assert!(error.contains("train.ema") && error.contains("warm-up"), "{wrong}: {error}");
    }
    assert_eq!("0.999:start=20".parse::<EmaDecay>().unwrap().file_name(), "0.999_start-20");
}

#[test]
fn no_decay_and_the_same_decay_twice_are_refused() {
    let live = build();
    let master = MasterWeights::new(live.params()).unwrap();
    for rules in [vec![], vec![EmaDecay::constant(0.9), EmaDecay::constant(0.9)]] {
        let error = EmaSet::new(build(), &master, &rules).err().unwrap();
        assert!(matches!(error, TrainError::Field { field: "train.ema", .. }));
    }
}
