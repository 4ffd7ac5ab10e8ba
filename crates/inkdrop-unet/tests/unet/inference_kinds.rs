//! A network for inference of every kind is near the trained one of the same kind.

use inkdrop_nn::CompileOptions;
use inkdrop_torch::tch::Kind;

use super::every::all;
use super::inference_support::{LAYOUTS, Layout, check, in_kind, laid, network, sorts};

fn check_kind(kind: Kind, inputs: Kind, layouts: &[Layout], bound: f64) {
    for config in all() {
        let trained = network(&config, kind);
        for (pack, times) in [(true, vec![500.0]), (false, vec![])] {
            let options = CompileOptions { pack, classes: vec![3], ..CompileOptions::at(times) };
            let ready = trained.compile(&options).unwrap();
            assert_eq!([ready.kind(), trained.kind()], [trained.params().kind(); 2]);
            for layout in layouts {
                for given in sorts(&config) {
                    let mut given = laid(in_kind(given, inputs), *layout);
                    given.name += &format!(", {kind:?}, {options:?}");
                    check(&config, (trained.as_ref(), ready.as_ref()), &given, bound);
                }
            }
        }
    }
}

#[test]
fn doubles_are_the_same_within_their_own_rounding() {
    check_kind(Kind::Double, Kind::Double, &LAYOUTS, 1e-12);
}

#[test]
fn a_bf16_torso_is_the_same_within_its_own_rounding() {
    check_kind(Kind::BFloat16, Kind::Float, &LAYOUTS[..1], 3e-2);
}

#[test]
fn a_half_torso_is_the_same_within_its_own_rounding() {
    check_kind(Kind::Half, Kind::Float, &LAYOUTS[..1], 3e-2);
}
