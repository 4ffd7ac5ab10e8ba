//! The optimizer against torch.optim.

use inkdrop_nn::{Init, Params, Weight};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad};
use inkdrop_train::{
    Adam, AdamConfig, GroupConfig, LossScaler, MasterWeights, OptimizerType, TrainError,
};

fn weight(params: &mut Params, name: &str, values: &[f32]) -> Weight {
    let shape = [values.len() as i64];
    let weight = params.root().weight(name, &shape, Init::Constant(0.0)).unwrap();
    no_grad(|| weight.shallow_clone().copy_(&Tensor::from_slice(values)));
    weight
}

/// Five steps on Σ c·p², c = (1, 0.1, 3), in PyTorch 2.11: torch.optim.Adam(lr=0.1), and
/// torch.optim.AdamW(lr=0.1, weight_decay=0.2).
#[test]
fn adam_and_adamw_step_as_pytorchs_do() {
    for (weight_decay, expected) in [
        (0.0, [0.507963717, -1.50295579, 0.0278144255]),
        (0.2, [0.433738261, -1.33190763, 0.00366744399]),
    ] {
        let mut params = Params::new(Kind::Float, Device::Cpu);
        let p = weight(&mut params, "p", &[1.0, -2.0, 0.5]);
        let mut master = MasterWeights::new(&params).unwrap();
        let config = AdamConfig { weight_decay, ..AdamConfig::default() };
        let mut adam = Adam::new(&master, config).unwrap();
        for _ in 0..5 {
            master.zero_grad().unwrap();
            (p.square() * Tensor::from_slice(&[1.0f32, 0.1, 3.0])).sum(Kind::Float).backward();
            adam.step(&master.gradients(1.0).unwrap(), 0.1).unwrap();
        }
        for (i, expected) in expected.into_iter().enumerate() {
            assert!((p.double_value(&[i as i64]) - expected).abs() < 2e-7, "{weight_decay}");
        }
    }
}

/// The same by torch.optim.RAdam(lr=0.1, decoupled_weight_decay=True): five steps without
/// rectification, then seven with it.
#[test]
fn radam_steps_as_pytorchs_does() {
    for (weight_decay, steps, expected) in [
        (0.0, 5, [0.201647937, -1.80431747, -0.223020986]),
        (0.0, 12, [0.180145666, -1.77446747, -0.209554464]),
        (0.2, 5, [0.157374144, -1.62402999, -0.215088934]),
        (0.2, 12, [0.117770426, -1.38205659, -0.174236327]),
    ] {
        let mut params = Params::new(Kind::Float, Device::Cpu);
        let p = weight(&mut params, "p", &[1.0, -2.0, 0.5]);
        let mut master = MasterWeights::new(&params).unwrap();
        let optimizer = OptimizerType::Radam;
        let config = AdamConfig { weight_decay, optimizer, ..AdamConfig::default() };
        let mut radam = Adam::new(&master, config).unwrap();
        for _ in 0..steps {
            master.zero_grad().unwrap();
            (p.square() * Tensor::from_slice(&[1.0f32, 0.1, 3.0])).sum(Kind::Float).backward();
            radam.step(&master.gradients(1.0).unwrap(), 0.1).unwrap();
        }
        for (i, expected) in expected.into_iter().enumerate() {
            let found = p.double_value(&[i as i64]);
            assert!((found - expected).abs() < 2e-7, "{weight_decay} {steps}: {found}");
        }
    }
}

/// The first step of Adam is lr·sign(gradient), less than that by ε, whatever the betas.
#[test]
fn eps_and_betas_are_as_they_are_set() {
    let step = |config: AdamConfig, steps: usize| {
        let mut params = Params::new(Kind::Float, Device::Cpu);
        let p = weight(&mut params, "p", &[1.0]);
        let mut master = MasterWeights::new(&params).unwrap();
        let mut adam = Adam::new(&master, config).unwrap();
        for slope in [2.0, -1.0].into_iter().take(steps) {
            master.zero_grad().unwrap();
            (&*p * slope).sum(Kind::Float).backward();
            adam.step(&master.gradients(1.0).unwrap(), 0.1).unwrap();
        }
        1.0 - p.double_value(&[0])
    };
    let eps = AdamConfig { eps: 2.0, ..AdamConfig::default() };
    assert!((step(eps, 1) - 0.1 * 2.0 / (2.0 + 2.0)).abs() < 1e-6);
    // Second step with β = (0.5, 0): m̂ = (0.5·1 + 0.5·(−1)) / (1 − 0.25) = 0, so nothing moves.
    let betas = AdamConfig { betas: [0.5, 0.0], ..AdamConfig::default() };
    assert!((step(betas, 2) - 0.1).abs() < 1e-6);
}

/// torch.nn.utils.clip_grad_norm_(2.0) of gradients (3, 4, 0) and (12): a norm of 13.
#[test]
fn long_gradients_are_scaled_down_together() {
    let mut params = Params::new(Kind::Float, Device::Cpu);
    let a = weight(&mut params, "a", &[1.0, 1.0, 1.0]);
    let b = weight(&mut params, "b", &[1.0]);
    let mut master = MasterWeights::new(&params).unwrap();
    for (most, factor) in [(2.0, 2.0 / 13.000001), (20.0, 1.0)] {
        master.zero_grad().unwrap();
        let slopes = Tensor::from_slice(&[3.0f32, 4.0, 0.0]);
        ((&*a * slopes).sum(Kind::Float) + (&*b * 12.0).sum(Kind::Float)).backward();
        let mut gradients = master.gradients(1.0).unwrap();
        let norm = gradients.norm().unwrap();
        assert!((norm.double_value(&[]) - 13.0).abs() < 1e-5);
        gradients.clip(&norm, most).unwrap();
        let (a, b) = (a.grad(), b.grad());
        assert!((a.double_value(&[1]) - 4.0 * factor).abs() < 1e-6);
        assert!((b.double_value(&[0]) - 12.0 * factor).abs() < 1e-6);
    }
}

#[test]
fn groups_have_their_own_rates_and_decays() {
    let mut params = Params::new(Kind::Float, Device::Cpu);
    let names = ["conv.weight", "conv.bias", "norm.weight"];
    let weights = names.map(|name| weight(&mut params, name, &[1.0]));
    let mut master = MasterWeights::new(&params).unwrap();
    let group = |names: &[&str], lr, weight_decay| GroupConfig {
        names: names.iter().map(ToString::to_string).collect(),
        lr,
        weight_decay,
    };
    let groups = vec![group(&["*.bias"], 0.0, None), group(&["norm*", "*bias"], 0.5, Some(0.0))];
    let config = AdamConfig { weight_decay: 2.0, groups, ..AdamConfig::default() };
    let mut adam = Adam::new(&master, config).unwrap();
    master.zero_grad().unwrap();
    weights.iter().map(|w| w.sum(Kind::Float)).reduce(|a, b| a + b).unwrap().backward();
    adam.step(&master.gradients(1.0).unwrap(), 0.1).unwrap();
    let after = weights.map(|w| w.double_value(&[0]));
    let expected = [1.0 * (1.0 - 0.1 * 2.0) - 0.1, 1.0, 1.0 - 0.05];
    for (after, expected) in after.into_iter().zip(expected) {
        assert!((after - expected).abs() < 1e-6, "{after}, expected {expected}");
    }

    let typo = AdamConfig { groups: vec![group(&["*.bais"], 1.0, None)], ..AdamConfig::default() };
    let error = Adam::new(&master, typo).unwrap_err();
    assert!(matches!(&error, TrainError::Field { given, .. } if given == "*.bais"), "{error}");
}

/// A network in 16 bits follows weights in 32: steps too small for 16 bits add up.
#[test]
fn small_steps_add_up_beside_a_half_network() {
    for kind in [Kind::BFloat16, Kind::Half] {
        let mut params = Params::new(kind, Device::Cpu);
        let w = params.root().torso_weight("w", &[1], Init::Constant(1.0)).unwrap();
        assert_eq!(w.kind(), kind);
        let mut master = MasterWeights::new(&params).unwrap();
        let mut adam = Adam::new(&master, AdamConfig::default()).unwrap();
        for _ in 0..100 {
            master.zero_grad().unwrap();
            (w.to_kind(Kind::Float) * 1024.0).sum(Kind::Float).backward();
            adam.step(&master.gradients(1024.0).unwrap(), 1e-4).unwrap();
            master.sync_to_model().unwrap();
        }
        let live = w.to_kind(Kind::Float).double_value(&[0]);
        assert!((live - 0.99).abs() < 4e-3, "{live}: steps of 1e-4 were lost");
        let kept = master.weights().get("w").unwrap().double_value(&[0]);
        assert!((kept - 0.99).abs() < 1e-5, "{kept}"); // 100 roundings of 6e-8
    }
}

#[test]
fn patterns_of_groups_match_any_text_at_their_stars() {
    let names = ["down.0.conv.bias", "down.1.conv.weight", "out.bias"];
    for (pattern, matched) in [
        ("*", [true, true, true]),
        ("out.bias", [false, false, true]),
        ("down.*", [true, true, false]),
        ("*bias", [true, false, true]),
        ("down.*.conv.*", [true, true, false]),
        ("d*1*t", [false, true, false]),
        ("*.conv.*s", [true, false, false]),
    ] {
        let mut params = Params::new(Kind::Float, Device::Cpu);
        let weights = names.map(|name| weight(&mut params, name, &[1.0]));
        let mut master = MasterWeights::new(&params).unwrap();
        let group = GroupConfig { names: vec![pattern.into()], lr: 0.0, weight_decay: None };
        let config = AdamConfig { groups: vec![group], ..AdamConfig::default() };
        let mut adam = Adam::new(&master, config).unwrap();
        master.zero_grad().unwrap();
        weights.iter().map(|w| w.sum(Kind::Float)).reduce(|a, b| a + b).unwrap().backward();
        adam.step(&master.gradients(1.0).unwrap(), 0.1).unwrap();
        let frozen = weights.map(|w| w.double_value(&[0]) == 1.0);
        assert_eq!(frozen, matched, "{pattern}");
    }
}

/// A weight without a gradient keeps its value; without any the norm is 0.
#[test]
fn weights_that_the_loss_does_not_use_stay() {
    let mut params = Params::new(Kind::Float, Device::Cpu);
    let (a, b) = (weight(&mut params, "a", &[1.0]), weight(&mut params, "b", &[1.0]));
    let mut master = MasterWeights::new(&params).unwrap();
    let mut adam = Adam::new(&master, AdamConfig::default()).unwrap();
    let none = master.gradients(1.0).unwrap();
    assert_eq!(none.norm().unwrap().double_value(&[]), 0.0);
    adam.step(&none, 0.1).unwrap();
    a.sum(Kind::Float).backward();
    let gradients = master.gradients(1.0).unwrap();
    assert_eq!(gradients.norm().unwrap().double_value(&[]), 1.0);
    adam.step(&gradients, 0.1).unwrap();
    assert!(a.double_value(&[0]) < 1.0 && b.double_value(&[0]) == 1.0);
    master.zero_grad().unwrap();
}

#[test]
fn the_loss_scale_is_halved_or_grows() {
    let scaler = LossScaler::new(10.0);
    assert_eq!((scaler.log2(), scaler.factor()), (10.0, 1024.0));
    assert_eq!(scaler.after(false).factor(), 512.0);
    assert_eq!(scaler.after(true).log2(), 10.0 + LossScaler::GROWTH);
}
