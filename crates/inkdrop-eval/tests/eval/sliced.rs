//! Laws of the sliced Wasserstein distance.

use inkdrop_eval::sliced_wasserstein;
use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};

use super::support::{close, normal};

/// For sets of one size, all at once.
fn plain(a: &Tensor, b: &Tensor) -> f64 {
    manual_seed(0);
    let (a, b) = (a.flatten(1, -1), b.flatten(1, -1));
    let directions = Tensor::randn([a.size()[1], 512], (Kind::Float, Device::Cpu));
    let lengths = directions.square().sum_dim_intlist([0i64].as_slice(), true, Kind::Float).sqrt();
    let directions = directions / lengths;
    let sorted = |x: &Tensor| x.matmul(&directions).sort(0, false).0;
    (sorted(&a) - sorted(&b)).square().mean(Kind::Double).sqrt().double_value(&[])
}

#[test]
fn sets_of_one_size_pair_their_sorted_shadows() {
    let image = |seed, spread: f64| (normal(seed, 1500, 48) * spread).to_kind(Kind::Float);
    let (a, b) = (image(1, 0.3).view([1500, 3, 4, 4]), image(2, 0.5).view([1500, 3, 4, 4]));
    close(sliced_wasserstein(&a, &b, 0).unwrap(), plain(&a, &b), 1e-5, "the distance");
}

#[test]
fn rows_that_are_repeated_change_nothing() {
    let (a, b) = (normal(3, 6, 5), normal(4, 15, 5) + 0.3);
    let given = sliced_wasserstein(&a, &b, 0).unwrap();
    // Both as thirty rows.
    let (a, b) = (a.repeat([5, 1]), b.repeat([2, 1]));
    close(given, sliced_wasserstein(&a, &b, 0).unwrap(), 1e-6, "30 rows");
}

#[test]
fn a_set_that_is_moved_is_as_far_as_its_shadows_move() {
    // The mean square of a unit vector's share of a step of length s in D dimensions is s²/D.
    let x = normal(5, 200, 16);
    let step = sliced_wasserstein(&x, &(&x + 2.0), 7).unwrap();
    close(step, 2.0, 0.1, "a step of 2 along every axis");
    assert_ne!(step, sliced_wasserstein(&x, &(&x + 2.0), 8).unwrap(), "the seed draws directions");
}

#[test]
fn it_is_symmetric_and_nothing_for_equal_sets() {
    let (a, b) = (normal(6, 70, 4), normal(7, 40, 4));
    assert_eq!(sliced_wasserstein(&a, &a, 0).unwrap(), 0.0);
    let there = sliced_wasserstein(&a, &b, 0).unwrap();
    close(there, sliced_wasserstein(&b, &a, 0).unwrap(), 1e-12, "both ways");
}
