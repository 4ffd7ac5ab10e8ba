//! Kernel distance (squared maximum mean discrepancy) and KID (Bińkowski et al. 2018).

use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::EvalError;
use crate::rows::Rows;

/// Unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3) with the kernel
/// (x·y/D + 1)³ of Bińkowski et al. 2018, section 4.
///
/// Its expected value is 0 for samples of one distribution, so single results may be negative.
///
/// It computes N² + M² + N·M dot products, in f64 and in blocks.
///
/// - a: [N, …], b: [M, …]; bytes are pixels and are scaled to [−1, 1], other values are unchanged
///
/// # Errors
/// Fewer than two rows, rows of different sizes, values that are not finite.
pub fn kernel_distance(a: &Tensor, b: &Tensor) -> Result<f64, EvalError> {
    let _guard = no_grad_guard();
    let (a, b) = Rows::pair(a, b, "the kernel distance", 2)?;
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (aa, bb) = (within(&a)? / (n * (n - 1.0)), within(&b)? / (m * (m - 1.0)));
    Ok(aa + bb - 2.0 * between(&a, &b)? / (n * m))
}

/// Config of the KID estimator; the defaults are those of the paper and of torch-fidelity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KidConfig {
    /// Number of pairs of subsets; at least 1.
    pub subsets: usize,
    /// Rows per subset, drawn without replacement; 2 to N.
    pub size: usize,
    /// Seed of the subsets.
    pub seed: u64,
}

impl Default for KidConfig {
    fn default() -> Self {
        Self { subsets: 100, size: 1000, seed: 0 }
    }
}

/// Kernel Inception Distance over subsets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kid {
    /// Mean of the subsets' [`kernel_distance`].
    pub mean: f64,
    /// Standard deviation of the subsets' distances (divided by their number).
    pub std: f64,
}

/// Kernel Inception Distance (Bińkowski et al. 2018): [`kernel_distance`] of random subsets.
///
/// - a: [N, D], b: [M, D]: features
///
/// # Errors
/// Fewer rows than a subset needs, and the errors of [`kernel_distance`].
pub fn kid(a: &Tensor, b: &Tensor, config: &KidConfig) -> Result<Kid, EvalError> {
    let setting = |field, given: usize, expected| {
        Err(EvalError::Setting { field, given: given.to_string(), expected })
    };
    match config {
        KidConfig { subsets: 0, .. } => return setting("subsets", 0, "at least 1"),
        KidConfig { size: size @ ..2, .. } => return setting("subset size", *size, "at least 2"),
        _ => {}
    }
    let (a, b) = Rows::pair(a, b, "KID with subsets of this size", config.size as i64)?;
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let counts = [&a, &b].map(|rows| rows.len());
    let draws = (0..config.subsets)
        .map(|_| counts.map(|count| subset(&mut rng, count, config.size)))
        .map(|[left, right]| of_subsets(&a, &left, &b, &right));
    Kid::of(draws)
}

/// [`kid`] over given subsets.
///
/// - a: [N, D], b: [M, D]: features
/// - subsets: row indices of a and of b; at least one pair, each with at least 2 rows
///
/// # Errors
/// No subsets, a subset that is too small or has invalid indices, and the errors of
/// [`kernel_distance`].
pub fn kid_over(
    a: &Tensor,
    b: &Tensor,
    subsets: &[(Vec<i64>, Vec<i64>)],
) -> Result<Kid, EvalError> {
    let (a, b) = Rows::pair(a, b, "KID", 2)?;
    Kid::of(subsets.iter().map(|(left, right)| of_subsets(&a, left, &b, right)))
}

/// [`kernel_distance`] of some rows of a and some of b.
fn of_subsets(a: &Rows, left: &[i64], b: &Rows, right: &[i64]) -> Result<f64, EvalError> {
    kernel_distance(&a.pick(left, Kind::Double)?, &b.pick(right, Kind::Double)?)
}

impl Kid {
    /// Mean and deviation of the subsets' distances, which are computed one after another.
    fn of(each: impl Iterator<Item = Result<f64, EvalError>>) -> Result<Self, EvalError> {
        let mut all = Vec::new();
        for distance in each {
            all.push(distance?);
        }
        if all.is_empty() {
            let expected = "at least one pair of subsets";
            return Err(EvalError::Setting { field: "subsets", given: "none".into(), expected });
        }
        let count = all.len() as f64;
        let mean = all.iter().sum::<f64>() / count;
        let variance = all.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Ok(Self { mean, std: variance.sqrt() })
    }
}

/// `size` distinct numbers below `of`, by a partial Fisher-Yates shuffle.
fn subset(rng: &mut ChaCha8Rng, of: i64, size: usize) -> Vec<i64> {
    let mut all: Vec<i64> = (0..of).collect();
    for at in 0..size {
        let left = (all.len() - at) as u128;
        // The high half of 64 random bits times `left`: uniform up to 1 in 2⁶⁴/left.
        let chosen = ((u128::from(rng.next_u64()) * left) >> 64) as usize;
        all.swap(at, at + chosen);
    }
    all.truncate(size);
    all
}

/// Σ k(x, y) over all pairs of distinct rows of a set.
fn within(rows: &Rows) -> Result<f64, EvalError> {
    let mut sum = 0.0;
    for left in rows.blocks() {
        let x = rows.block(left.clone(), Kind::Double)?;
        let own = kernel(&x, &x)?;
        let diagonal = own.f_diag(0)?.f_sum(Kind::Double)?;
        sum += own.f_sum(Kind::Double)?.f_sub(&diagonal)?.f_double_value(&[])?;
        for right in rows.blocks().filter(|right| right.start > left.start) {
            sum += 2.0 * total(&kernel(&x, &rows.block(right, Kind::Double)?)?)?;
        }
    }
    Ok(sum)
}

/// Σ k(x, y) over all pairs of rows of two sets.
fn between(a: &Rows, b: &Rows) -> Result<f64, EvalError> {
    let mut sum = 0.0;
    for left in a.blocks() {
        let x = a.block(left, Kind::Double)?;
        for right in b.blocks() {
            sum += total(&kernel(&x, &b.block(right, Kind::Double)?)?)?;
        }
    }
    Ok(sum)
}

/// (x·y/D + 1)³.
///
/// - x: [n, D], y: [m, D]; returns [n, m]
fn kernel(x: &Tensor, y: &Tensor) -> Result<Tensor, EvalError> {
    let products = x.f_matmul(&y.f_tr()?)?.f_div_scalar(x.size()[1])?;
    Ok(products.f_add_scalar(1.0)?.f_pow_tensor_scalar(3)?)
}

fn total(x: &Tensor) -> Result<f64, EvalError> {
    Ok(x.f_sum(Kind::Double)?.f_double_value(&[])?)
}
