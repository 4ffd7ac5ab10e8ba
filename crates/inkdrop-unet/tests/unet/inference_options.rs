//! Times and classes known beforehand, packing and recording: other ways to the same numbers.

use inkdrop_nn::CompileOptions;
use inkdrop_torch::tch::Kind;
use inkdrop_unet::{DdpmConfig, ImprovedConfig, ModelConfig, Unet2dConfig};

use super::every::all;
use super::inference_support::{NEAR, check, given, network, pass, shape, sorts};
use super::support::{ddpm, improved, unet2d};

/// 500 is in all [`sorts`]; a context network's times are thousandths.
fn known(config: &ModelConfig) -> Vec<f64> {
    match config {
        ModelConfig::Context(_) => vec![0.5, 0.25, f64::from(0.04f32)],
        _ => vec![500.0, 3.0, 40.0],
    }
}

#[test]
fn times_known_beforehand_change_nothing() {
    for config in all() {
        let trained = network(&config, Kind::Float);
        let known = known(&config);
        for times in [known[1..].to_vec(), [known.clone(), known].concat()] {
            for classes in [vec![3, 2], vec![2, 2, 0]] {
                let options = CompileOptions { classes, ..CompileOptions::at(times.clone()) };
                let ready = trained.compile(&options).unwrap();
                for mut given in sorts(&config) {
                    given.name += &format!(", {options:?}");
                    check(&config, (trained.as_ref(), ready.as_ref()), &given, NEAR);
                }
            }
        }
    }
}

fn with_classes() -> [ModelConfig; 4] {
    [
        ModelConfig::Ddpm(DdpmConfig { classes: Some(7), ..ddpm() }),
        ModelConfig::Ddpm(DdpmConfig { classes: Some(7), time_features: None, ..ddpm() }),
        ModelConfig::Improved(ImprovedConfig { classes: Some(7), ..improved() }),
        ModelConfig::Unet2d(Unet2dConfig { classes: Some(7), ..unet2d() }),
    ]
}

#[test]
fn a_time_that_is_known_with_another_class_only_is_computed() {
    for config in with_classes() {
        let trained = network(&config, Kind::Float);
        let options = CompileOptions { classes: vec![4, 6], ..CompileOptions::at([500.0, 40.0]) };
        let ready = trained.compile(&options).unwrap();
        for class in 0..7 {
            for time in [500.0, 40.0, 41.0] {
                for batch in [1, 3] {
                    let count = batch as usize;
                    let (at, ids) = (vec![time; count], vec![class; count]);
                    let given = given(&config, &shape(&config, batch), &at, &ids);
                    check(&config, (trained.as_ref(), ready.as_ref()), &given, NEAR);
                }
            }
        }
    }
}

#[test]
fn classes_that_there_are_not_are_no_part_of_what_is_known() {
    for config in all() {
        let trained = network(&config, Kind::Float);
        let options = CompileOptions {
            classes: vec![i64::MAX, -1, 2, 1 << 20],
            ..CompileOptions::at(known(&config))
        };
        let ready = trained.compile(&options).unwrap();
        for given in sorts(&config) {
            check(&config, (trained.as_ref(), ready.as_ref()), &given, NEAR);
        }
    }
}

#[test]
fn fractions_of_steps_are_times_like_others() {
    let config = ModelConfig::Improved(improved());
    let trained = network(&config, Kind::Float);
    for times in [vec![12.5, 0.0], vec![]] {
        let ready = trained.compile(&CompileOptions::at(times)).unwrap();
        for kind in [Kind::Float, Kind::Double] {
            for at in [[12.5; 3], [12.25; 3], [0.0; 3], [-0.0; 3], [12.5, 0.0, 12.25]] {
                let mut given = given(&config, &shape(&config, 3), &at, &[]);
                given.t = inkdrop_torch::tch::Tensor::from_slice(&at).to_kind(kind);
                check(&config, (trained.as_ref(), ready.as_ref()), &given, NEAR);
            }
        }
    }
}

#[test]
fn on_a_cpu_nothing_is_recorded() {
    for config in all() {
        let trained = network(&config, Kind::Float);
        for pack in [true, false] {
            let ready = |graphs| {
                let options = CompileOptions { pack, graphs, ..CompileOptions::default() };
                trained.compile(&options).unwrap()
            };
            let (with, without) = (ready(true), ready(false));
            for given in sorts(&config).iter().take(3) {
                for _ in 0..3 {
                    assert_eq!(pass(with.as_ref(), given), pass(without.as_ref(), given));
                }
            }
        }
    }
}
