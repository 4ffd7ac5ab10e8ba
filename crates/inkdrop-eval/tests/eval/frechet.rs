//! Laws of the Fréchet distance.

use inkdrop_eval::{EvalError, Moments, frechet_distance};
use inkdrop_torch::tch::{Kind, Tensor};

use super::support::{close, normal};

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    frechet_distance(&Moments::of(a).unwrap(), &Moments::of(b).unwrap()).unwrap()
}

/// Rows whose mean is exactly 0 and whose covariance is exactly 1.
fn white(n: i64, d: i64) -> Tensor {
    let x = normal(1, n, d);
    let centred = &x - x.mean_dim([0i64].as_slice(), true, Kind::Double);
    let (q, _) = Tensor::linalg_qr(&centred, "reduced");
    q * ((n - 1) as f64).sqrt()
}

#[test]
fn diagonal_gaussians_are_as_far_apart_as_their_means_and_deviations() {
    let x = white(50, 4);
    let (s1, s2) = ([1.0_f64, 2.0, 0.5, 3.0], [2.0, 2.0, 0.1, 1.0]);
    let shift = [0.0_f64, -1.0, 2.0, 0.5];
    let (t1, t2) = (Tensor::from_slice(&s1), Tensor::from_slice(&s2));
    let given = distance(&(&x * &t1), &(&x * &t2 + Tensor::from_slice(&shift)));
    let apart = |i: usize| shift[i].powi(2) + (s1[i] - s2[i]).powi(2);
    close(given, (0..4).map(apart).sum(), 1e-12, "the distance");
}

#[test]
fn a_set_is_at_no_distance_from_itself() {
    for (n, d) in [(100, 8), (10, 64), (2, 64)] {
        let x = normal(2, n, d) * 3.0 + 100.0;
        let given = distance(&x, &x);
        assert!(given.abs() < 1e-10 * 9.0 * d as f64, "{n} × {d}: {given:e}");
    }
}

#[test]
fn rows_that_are_all_equal_have_only_a_mean() {
    let ones = Tensor::ones([5, 3], (Kind::Float, inkdrop_torch::tch::Device::Cpu));
    close(distance(&ones, &(&ones * 3)), 12.0, 1e-12, "two points");
    let spread = white(20, 3);
    close(distance(&ones, &spread), 3.0 + 3.0, 1e-12, "a point and a ball");
}

#[test]
fn the_order_of_sets_and_the_axes_do_not_matter() {
    let (a, b) = (normal(3, 40, 12), normal(4, 15, 12) * 2.0);
    let (turn, _) = Tensor::linalg_qr(&normal(5, 12, 12), "reduced");
    close(distance(&a, &b), distance(&b, &a), 1e-12, "order");
    close(distance(&a, &b), distance(&a.matmul(&turn), &b.matmul(&turn)), 1e-11, "axes");
}

#[test]
fn moments_do_not_depend_on_batches() {
    let x = normal(6, 1500, 5) + 1e6;
    let whole = Moments::of(&x).unwrap();
    let mut parts = Moments::new(5);
    for part in x.split(7, 0) {
        parts.push(&part).unwrap();
    }
    assert_eq!(parts.count(), 1500);
    // numpy's two passes over all rows.
    let centred = &x - x.mean_dim([0i64].as_slice(), true, Kind::Double);
    let exact = centred.tr().matmul(&centred) / 1499.0;
    for moments in [whole, parts] {
        let apart = (moments.covariance().unwrap() - &exact).abs().max().double_value(&[]);
        assert!(apart < 1e-8, "{apart:e}");
    }
}

#[test]
fn one_row_has_no_covariance() {
    let one = Moments::of(&normal(7, 1, 3)).unwrap();
    let error = frechet_distance(&one, &one).unwrap_err();
    assert!(matches!(error, EvalError::TooFewImages { given: 1, expected: 2, .. }), "{error}");
}
