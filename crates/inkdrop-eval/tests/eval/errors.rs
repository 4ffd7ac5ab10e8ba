//! Errors of the metrics, and their messages.

use inkdrop_eval::{
    EvalError, KidConfig, Moments, kernel_distance, kid, precision_recall, sliced_wasserstein,
};
use inkdrop_torch::tch::Tensor;

use super::support::normal;

fn refused<T: std::fmt::Debug>(result: Result<T, EvalError>, words: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(words), "no `{words}` in: {error}");
}

#[test]
fn sets_that_cannot_be_compared() {
    let (a, b) = (normal(1, 10, 4), normal(2, 10, 5));
    for result in [sliced_wasserstein(&a, &b, 0), kernel_distance(&a, &b)] {
        refused(result, "4 values per image, the other 5");
    }
    refused(precision_recall(&a, &b, 3), "4 values per image, the other 5");
    refused(Moments::new(4).push(&b), "4 values per image, the other 5");
    refused(sliced_wasserstein(&Tensor::from_slice(&[1.0, 2.0]), &a, 0), "has shape [2]");
}

#[test]
fn sets_that_are_too_small() {
    let (few, more) = (normal(1, 3, 4), normal(2, 10, 4));
    refused(sliced_wasserstein(&few.narrow(0, 0, 0), &more, 0), "0 images, expected at least 1");
    refused(kernel_distance(&few.narrow(0, 0, 1), &more), "1 images, expected at least 2");
    refused(precision_recall(&few, &more, 3), "3 images, expected at least 4");
    refused(kid(&few, &more, &KidConfig::default()), "3 images, expected at least 1000");
    let none = KidConfig { subsets: 0, size: 2, seed: 0 };
    refused(kid(&few, &more, &none), "subsets 0: expected at least 1");
    refused(precision_recall(&more, &more, 0), "neighbours 0: expected at least 1");
}

#[test]
fn values_that_are_not_finite() {
    let a = normal(1, 10, 4);
    let _ = a.get(6).get(2).fill_(f64::NAN);
    refused(kernel_distance(&a, &normal(2, 10, 4)), "row 6 contains NaN");
}
