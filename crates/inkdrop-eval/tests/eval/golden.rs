//! The figures of numpy, scipy and torch-fidelity (`fixtures/make.py`).

use inkdrop_eval::{Moments, NEIGHBOURS, frechet_distance, kid_over, precision_recall};
use inkdrop_torch::tch::Tensor;
use serde_json::Value;

use super::support::{close, fixture};

const CASES: [&str; 3] = ["tall", "wide", "equal_rows"];

fn said(case: &str) -> Value {
    let text = std::fs::read_to_string(fixture("golden.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[case].take()
}

fn sets(case: &str) -> (Tensor, Tensor) {
    let arrays = Tensor::read_npz(fixture("golden.npz")).unwrap();
    let set = |name: String| {
        let found = arrays.iter().find(|(known, _)| known.trim_end_matches(".npy") == name);
        found.unwrap().1.shallow_clone()
    };
    (set(format!("{case}_a")), set(format!("{case}_b")))
}

#[test]
fn the_frechet_distance_is_that_of_scipy_and_torch_fidelity() {
    for case in CASES {
        let (a, b) = sets(case);
        let given = frechet_distance(&Moments::of(&a).unwrap(), &Moments::of(&b).unwrap()).unwrap();
        let said = &said(case)["frechet"];
        close(given, said["factors"].as_f64().unwrap(), 1e-12, case);
        // scipy's root of a matrix without full rank is good to 8 digits or so itself.
        let share = if case == "wide" { 1e-7 } else { 1e-12 };
        for name in ["sqrtm", "torch_fidelity"] {
            close(given, said[name].as_f64().unwrap(), share, &format!("{case}, {name}"));
        }
    }
}

#[test]
fn kid_is_that_of_torch_fidelity() {
    for case in CASES {
        let (a, b) = sets(case);
        let said = &said(case)["kid"];
        let subsets: Vec<(Vec<i64>, Vec<i64>)> =
            serde_json::from_value(said["subsets"].clone()).unwrap();
        let kid = kid_over(&a, &b, &subsets).unwrap();
        close(kid.mean, said["mean"].as_f64().unwrap(), 1e-9, case);
        close(kid.std, said["std"].as_f64().unwrap(), 1e-9, case);
    }
}

#[test]
fn precision_and_recall_are_those_of_torch_fidelity() {
    for case in CASES {
        let (a, b) = sets(case);
        let said = &said(case)["precision_recall"];
        let given = precision_recall(&a, &b, NEIGHBOURS).unwrap();
        // torch-fidelity rounds its shares to f32.
        close(given.precision, said[0].as_f64().unwrap(), 1e-6, case);
        close(given.recall, said[1].as_f64().unwrap(), 1e-6, case);
    }
}
