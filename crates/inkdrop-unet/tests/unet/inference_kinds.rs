//! A network for inference of every kind is near the trained one of the same kind.

use inkdrop_nn::CompileOptions;
use inkdrop_torch::tch::Kind;

use super::every::all;
use super::inference_support::{LAYOUTS, Layout, check, in_kind, laid, network, sorts};

/// With timesteps known beforehand and packed weights where the kind has them, and with neither.
fn all_options() -> [CompileOptions; 2] {
    [(true, vec![500.0]), (false, vec![])].map(|(pack, times)| CompileOptions {
        pack,
        classes: vec![3],
        ..CompileOptions::at(times)
    })
}

fn check_kind(
    (kind, inputs): (Kind, Kind),
    options: &[CompileOptions],
    layouts: &[Layout],
    bound: f64,
) {
    for config in all() {
        let trained = network(&config, kind);
        for options in options {
            let ready = trained.compile(options).unwrap();
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
    check_kind((Kind::Double, Kind::Double), &all_options(), &LAYOUTS, 1e-12);
}

// 16 bits are slow on a CPU, and nothing is packed in them: one of the options for each kind.
#[test]
fn a_bf16_torso_is_the_same_within_its_own_rounding() {
    check_kind((Kind::BFloat16, Kind::Float), &all_options()[..1], &LAYOUTS[..1], 3e-2);
}

#[test]
fn a_half_torso_is_the_same_within_its_own_rounding() {
    check_kind((Kind::Half, Kind::Float), &all_options()[1..], &LAYOUTS[..1], 3e-2);
}
