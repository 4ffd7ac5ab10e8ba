//! Exponential moving averages of the weights.

use inkdrop_nn::Params;
use inkdrop_torch::tch::no_grad;
use inkdrop_train::{EmaDecay, EmaSet, MasterWeights, OtherData, TrainConfig, TrainError, Trainer};

use super::support::{build, config, equal, trainer};

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
    averages.update(&master, 0, 1).unwrap();
    // Of the start, these keep 1/10, 1/2, nothing, nothing, nothing.
    for (found, expected) in read(&averages).into_iter().zip([0.9, 0.5, 1.0, 1.0, 1.0]) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }
    set(live.params(), 3.0);
    averages.update(&master, 1, 1).unwrap();
    let warm = 0.9 * 2.0 / 11.0 + 3.0 * 9.0 / 11.0;
    let power = EmaDecay::Power { width: 0.2 }.at(1, 1);
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
            let kept = rule.at(step, 1);
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
    for text in [
        "0.9999",
        "0",
        "0.5:warm-up",
        "0.999:start=2000",
        "0.9:start=3:warm-up",
        "power=0.1",
        "0.995:ema-pytorch",
        "0.9:ema-pytorch:update-after-step=0:update-every=1",
        "0.9:ema-pytorch:inv-gamma=2:power=0.75:min-value=0.5",
        "halflife-kimg=500",
        "halflife-kimg=0.5:rampup-ratio=0.05",
    ] {
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
        "ema-pytorch",
        "0.9:ema-pytorch:update-every=0",
        "0.9:ema-pytorch:min-value=0.95",
        "0.9:ema-pytorch:power=x",
        "0.9:ema-pytorch:warm-up",
        "halflife-kimg=0",
        "halflife-kimg=1:rampup-ratio=0",
        "halflife-kimg=1:warm-up",
        "halflife-kimg=1:rampup-ratio=0.1:rampup-ratio=0.2",
        "0.9:start=1:start=2",
        "0.9:warm-up:warm-up",
        "0.9:ema-pytorch:power=1:power=2",
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
    let long = EmaDecay::HalfLife { kimg: 1e-300, rampup: None };
    for rules in [vec![], vec![EmaDecay::constant(0.9), EmaDecay::constant(0.9)], vec![long]] {
        let error = EmaSet::new(build(), &master, &rules).err().unwrap();
        assert!(matches!(error, TrainError::Field { field: "train.ema", .. }));
    }
}

/// The weight of a step, on both sides of the comparisons.
fn weight(step: usize) -> f64 {
    ((step * 37 + 11) % 101) as f64 / 10.0
}

/// Follows one weight, and compares the average with that of an original after some steps, counted from 0.
fn follow(rule: &str, batch: usize, expected: &[(usize, f64)]) {
    let rule: EmaDecay = rule.parse().unwrap();
    let live = build();
    set(live.params(), 0.0);
    let master = MasterWeights::new(live.params()).unwrap();
    let mut averages = EmaSet::new(build(), &master, &[rule]).unwrap();
    let mut marks = expected.iter();
    let mut mark = marks.next();
    for step in 0.. {
        let Some(&(after, value_then)) = mark else { break };
        set(live.params(), weight(step));
        averages.update(&master, step, batch).unwrap();
        if step == after {
            let found = value(averages.network().params());
            assert!((found - value_then).abs() < 1e-6, "{rule}, step {step}: {found}");
            mark = marks.next();
        }
    }
}

/// The constants are those of ema-pytorch 0.8.3: `EMA(net, beta=…)` of a network with one parameter that
/// is `((37 * s + 11) % 101) / 10` before update s, read from `get_current_decay` and `ema_model`.
#[test]
fn averages_are_those_of_ema_pytorch() {
    let at = |rule: &str, step| rule.parse::<EmaDecay>().unwrap().at(step, 16);
    let lucid = "0.995:ema-pytorch"; // lucidrains' Trainer: beta 0.995, update_every 10
    for (step, decay) in [
        (0, 0.0),
        (1, 1.0),
        (9, 1.0),
        (100, 0.0),
        (109, 1.0),
        (110, 0.797819972038269),
        (120, 0.8686226606369019),
        (250, 0.9647346138954163),
        (1000, 0.9892802834510803),
        (4000, 0.9950000047683716),
    ] {
        assert_eq!(at(lucid, step), decay, "step {step}");
    }
    follow(
        lucid,
        16,
        &[
            (0, 1.100000023841858),
            (10, 7.800000190734863),
            (99, 0.800000011920929),
            (100, 7.5),
            (109, 7.5),
            (110, 6.812587738037109),
            (120, 6.0095319747924805),
            (250, 5.035462856292725),
            (1000, 5.237351417541504),
            (2999, 5.091562271118164),
        ],
    );
    let other =
        "0.99:ema-pytorch:update-after-step=5:update-every=1:inv-gamma=2:power=0.75:min-value=0.3";
    for (step, decay) in [
        (5, 0.0),
        (6, 0.30000001192092896),
        (7, 0.4053964614868164),
        (8, 0.49702662229537964),
        (50, 0.9063087105751038),
        (400, 0.9810905456542969),
    ] {
        assert_eq!(at(other, step), decay, "step {step}");
    }
    follow(
        other,
        16,
        &[(5, 9.5), (6, 5.019999980926514), (50, 4.808855056762695), (400, 5.09485387802124)],
    );
    let long = "0.9999:ema-pytorch:update-after-step=0:update-every=3";
    follow(
        long,
        16,
        &[
            (0, 1.100000023841858),
            (3, 1.4968502521514893),
            (300, 5.00516414642334),
            (3000, 5.002518177032471),
        ],
    );
}

/// The constants are those of EDM's update in PyTorch, `p_net.lerp(p_ema, beta)` with
/// `beta = 0.5 ** (batch / max(h, 1e-8))` and `h = min(1000 * kimg, images * ratio)`, of the same weights.
#[test]
fn averages_are_those_of_edm() {
    follow(
        "halflife-kimg=500:rampup-ratio=0.05",
        512,
        &[
            (0, 1.100000023841858),
            (1, 4.799996852874756),
            (2, 8.496386528015137),
            (20, 3.903454065322876),
            (100, 4.93297815322876),
            (3000, 4.987890720367432),
        ],
    );
    follow(
        "halflife-kimg=0.5",
        16,
        &[
            (0, 0.024130189791321754),
            (2, 0.31252923607826233),
            (100, 4.4911417961120605),
            (300, 4.990508079528809),
        ],
    );
}

/// An average that is added to a run starts there, and one that is loaded has its history.
#[test]
fn averages_know_where_they_began() {
    let [old, new]: [EmaDecay; 2] = ["0.9", "0.99"].map(|text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let saved = |name: &str, trainer: &Trainer| {
        let path = folder.path().join(name);
        trainer.state().unwrap().save(&path).unwrap();
        path
    };
    let mut first = trainer(TrainConfig { ema: vec![old], ..config(4) });
    first.run_steps(2).unwrap();
    let path = saved("first.safetensors", &first);
    let both = || trainer(TrainConfig { ema: vec![old, new], ..config(4) });
    let begins = |trainer: &Trainer| [old, new].map(|decay| trainer.ema_begin(decay));
    let mut second = both();
    second.restore(&path, OtherData::Refused).unwrap();
    assert_eq!(begins(&second), [Some(0), Some(2)]);
    let mut third = both();
    third.restore(&saved("second.safetensors", &second), OtherData::Refused).unwrap();
    assert_eq!(begins(&third), [Some(0), Some(2)]);

    let mut late = both();
    late.start_ema_from(new, &second.ema_weights(new).unwrap()).unwrap();
    late.start_at(3).unwrap();
    assert_eq!(begins(&late), [Some(3), Some(0)]);
    assert_eq!(late.ema_begin(EmaDecay::constant(0.5)), None);
}
