//! Laws of the kernel distance and of KID.

use inkdrop_eval::{KidConfig, kernel_distance, kid, kid_over};
use inkdrop_torch::tch::{Kind, Tensor};

use super::support::{close, normal};

/// The definition, pair by pair.
fn slow(a: &Tensor, b: &Tensor) -> f64 {
    let rows = |x: &Tensor| Vec::<Vec<f64>>::try_from(x).unwrap();
    let kernel = |x: &[f64], y: &[f64]| {
        let product: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
        (product / x.len() as f64 + 1.0).powi(3)
    };
    let (a, b) = (rows(a), rows(b));
    let mean = |x: &[Vec<f64>], y: &[Vec<f64>], same: bool| {
        let mut sum = 0.0;
        let mut count = 0.0;
        for (i, x) in x.iter().enumerate() {
            for (_, y) in y.iter().enumerate().filter(|(j, _)| !same || i != *j) {
                sum += kernel(x, y);
                count += 1.0;
            }
        }
        sum / count
    };
    mean(&a, &a, true) + mean(&b, &b, true) - 2.0 * mean(&a, &b, false)
}

#[test]
fn it_is_its_definition_over_several_blocks() {
    let (a, b) = (normal(1, 1100, 3), normal(2, 1030, 3) + 0.2);
    close(kernel_distance(&a, &b).unwrap(), slow(&a, &b), 1e-10, "the distance");
}

#[test]
fn it_is_unbiased() {
    // Samples of one distribution: the mean over many is 0 within a few standard errors.
    let values: Vec<f64> = (0..200)
        .map(|i| kernel_distance(&normal(2 * i, 20, 6), &normal(2 * i + 1, 25, 6)).unwrap())
        .collect();
    let mean = values.iter().sum::<f64>() / 200.0;
    let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 200.0).sqrt();
    assert!(mean.abs() < 4.0 * spread / 200f64.sqrt(), "{mean} ± {spread}");
    assert!(values.iter().any(|&value| value < 0.0), "an estimate that is never below 0 is biased");
}

#[test]
fn pixels_are_bytes_over_the_range() {
    let bytes = (normal(3, 20, 12) * 40.0 + 128.0).clamp(0.0, 255.0).to_kind(Kind::Uint8);
    let other = (normal(4, 20, 12) * 50.0 + 100.0).clamp(0.0, 255.0).to_kind(Kind::Uint8);
    let scaled = |x: &Tensor| x.to_kind(Kind::Double) / 127.5 - 1.0;
    let given = kernel_distance(&bytes.view([20, 3, 2, 2]), &other.view([20, 3, 2, 2])).unwrap();
    close(given, kernel_distance(&scaled(&bytes), &scaled(&other)).unwrap(), 1e-12, "bytes");
}

#[test]
fn subsets_of_everything_are_the_whole() {
    let (a, b) = (normal(5, 30, 4), normal(6, 30, 4) + 0.5);
    let config = KidConfig { subsets: 3, size: 30, seed: 1 };
    let all = kid(&a, &b, &config).unwrap();
    close(all.mean, kernel_distance(&a, &b).unwrap(), 1e-12, "the mean");
    assert!(all.std < 1e-12, "{}", all.std);
}

#[test]
fn the_seed_says_which_subsets() {
    let (a, b) = (normal(7, 60, 4), normal(8, 50, 4) + 0.5);
    let of = |seed| kid(&a, &b, &KidConfig { subsets: 40, size: 20, seed }).unwrap();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    let whole = kernel_distance(&a, &b).unwrap();
    assert!((of(1).mean - whole).abs() < 4.0 * of(1).std / 40f64.sqrt(), "{:?} and {whole}", of(1));
}

#[test]
fn a_mean_of_one_subset_has_no_spread() {
    let (a, b) = (normal(9, 5, 2), normal(10, 5, 2));
    let one = kid_over(&a, &b, &[(vec![0, 3], vec![4, 1])]).unwrap();
    let pick = |x: &Tensor, rows: &[i64]| x.index_select(0, &Tensor::from_slice(rows));
    close(one.mean, slow(&pick(&a, &[0, 3]), &pick(&b, &[4, 1])), 1e-12, "the mean");
    assert_eq!(one.std, 0.0);
}
