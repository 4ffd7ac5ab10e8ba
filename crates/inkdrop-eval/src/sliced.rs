//! Sliced Wasserstein distance: how far apart are the shadows of two sets?

use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{NoiseSource, TorchNoise};

use crate::EvalError;
use crate::rows::Rows;

/// How many directions the sets are projected on.
const DIRECTIONS: i64 = 512;

/// Directions that are looked at at a time: memory holds that many numbers for each image.
const AT_ONCE: i64 = 32;

/// Quantiles that are compared at a time.
const QUANTILES: usize = 4096;

/// Sliced 2-Wasserstein distance: the root of the mean, over 512 random directions, of the squared
/// 2-Wasserstein distance of the projections (Bonneel et al. 2015, section 3), in units of the
/// numbers: [−1, 1] for pixels. At least 0, and 0 for equal sets.
///
/// In one dimension the optimal plan pairs quantiles: for sets of one size the sorted
/// projections, for others every stretch of probability between two neighbours of either set.
/// Projections are f32, sums f64. Two samples of one distribution are about
/// √(spread/N) apart, so figures compare only at one N.
///
/// It draws from libtorch's generator, which it seeds.
///
/// - a: [N, …], b: [M, …]: bytes are pixels and become [−1, 1]; other numbers stay as they are
/// - seed: of the directions; a comparison keeps to one
///
/// # Errors
/// An empty set, rows of two lengths, numbers that are not finite.
pub fn sliced_wasserstein(a: &Tensor, b: &Tensor, seed: u64) -> Result<f64, EvalError> {
    let _guard = no_grad_guard();
    let (a, b) = Rows::pair(a, b, "the sliced Wasserstein distance", 1)?;
    let directions = directions(a.width(), seed)?;
    let quantiles = quantiles(a.len(), b.len());
    let mut sum = 0.0;
    for first in (0..DIRECTIONS).step_by(AT_ONCE as usize) {
        sum += cost(&a, &b, &directions.f_narrow(1, first, AT_ONCE)?, &quantiles)?;
    }
    Ok((sum / DIRECTIONS as f64).sqrt())
}

/// The squared distances along some directions, summed up.
fn cost(a: &Rows, b: &Rows, directions: &Tensor, all: &[Quantile]) -> Result<f64, EvalError> {
    let (sorted_a, sorted_b) = (sorted(a, directions)?, sorted(b, directions)?);
    let mut sum = 0.0;
    for pairs in all.chunks(QUANTILES) {
        let at = |of: &Tensor, rows: Vec<i64>| -> Result<Tensor, EvalError> {
            Ok(of.f_index_select(0, &Tensor::f_from_slice(&rows)?)?.f_to_kind(Kind::Double)?)
        };
        let left = at(&sorted_a, pairs.iter().map(|pair| pair.a).collect())?;
        let right = at(&sorted_b, pairs.iter().map(|pair| pair.b).collect())?;
        let shares: Vec<f64> = pairs.iter().map(|pair| pair.share).collect();
        let squares = left.f_sub(&right)?.f_square()?; // [n, AT_ONCE]
        let costs = squares.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?;
        sum += costs.f_dot(&Tensor::f_from_slice(&shares)?)?.f_double_value(&[])?;
    }
    Ok(sum)
}

/// Unit vectors, [D, DIRECTIONS] in f32.
fn directions(width: i64, seed: u64) -> Result<Tensor, EvalError> {
    let device = Device::Cpu;
    let drawn = TorchNoise::seeded(seed as i64).normal(&[width, DIRECTIONS], device)?;
    let lengths = drawn.f_square()?.f_sum_dim_intlist([0i64].as_slice(), true, Kind::Float)?;
    Ok(drawn.f_div(&lengths.f_sqrt()?)?)
}

/// The projections of a set, rising, [N, AT_ONCE].
fn sorted(rows: &Rows, directions: &Tensor) -> Result<Tensor, EvalError> {
    let shadows = rows.blocks().map(|block| -> Result<Tensor, EvalError> {
        Ok(rows.block(block, Kind::Float)?.f_matmul(directions)?)
    });
    let shadows = shadows.collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&shadows, 0)?.f_sort(0, false)?.0)
}

/// A stretch of probability on which both quantile functions are constant.
struct Quantile {
    /// Which of the sorted values of each set it takes.
    a: i64,
    b: i64,
    /// Its length; all together 1.
    share: f64,
}

/// The stretches of sets of n and m values, at most n + m − 1.
fn quantiles(n: i64, m: i64) -> Vec<Quantile> {
    let (mut all, mut a, mut b, mut from) = (Vec::new(), 0, 0, 0);
    while a < n && b < m {
        // In units of 1/(n·m), value a of n ends at (a + 1)·m.
        let (end_a, end_b) = ((a + 1) * m, (b + 1) * n);
        let end = end_a.min(end_b);
        all.push(Quantile { a, b, share: (end - from) as f64 / (n * m) as f64 });
        from = end;
        a += i64::from(end_a == end);
        b += i64::from(end_b == end);
    }
    all
}
