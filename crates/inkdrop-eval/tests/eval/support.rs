//! Sets to compare.

use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{NoiseSource, PerImageNoise};

/// Standard normal rows, [N, D] in f64; other seeds give independent ones.
pub fn normal(seed: u64, n: i64, d: i64) -> Tensor {
    let mut noise = PerImageNoise::new(seed, 0..n as u64);
    noise.normal(&[n, d], Device::Cpu).unwrap().to_kind(Kind::Double)
}

/// A file beside the tests.
pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Asserts that numbers agree to a share of the larger.
pub fn close(given: f64, expected: f64, share: f64, what: &str) {
    let apart = (given - expected).abs() / given.abs().max(expected.abs()).max(f64::MIN_POSITIVE);
    assert!(apart <= share, "{what}: {given} and {expected} are {apart:e} apart");
}
