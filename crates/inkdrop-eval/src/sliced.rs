//! Sliced Wasserstein distance (Bonneel et al. 2015).

use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{NoiseSource, TorchNoise};

use crate::EvalError;
use crate::rows::Rows;

/// Number of random directions.
const DIRECTIONS: i64 = 512;

/// Directions per block; memory is this many values per image.
const AT_ONCE: i64 = 32;

/// Quantiles per block.
const QUANTILES: usize = 4096;

/// Sliced 2-Wasserstein distance over 512 random directions (Bonneel et al. 2015, section 3).
///
/// It is the root mean square of the 2-Wasserstein distances of the projections, in units of the
/// values ([−1, 1] for pixels). It is 0 for equal sets.
///
/// In one dimension the optimal transport plan pairs quantiles: the sorted projections, if both sets
/// have the same size. Projections are f32, sums f64. Two samples of one distribution have a distance
/// of about √(spread/N), so results are comparable only at the same N.
///
/// - a: [N, …], b: [M, …]; bytes are pixels and are scaled to [−1, 1], other values are unchanged
/// - seed: seed of the directions; results are comparable only with the same seed
///
/// # Errors
/// An empty set, rows of different sizes, values that are not finite.
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

/// The sum of squared distances along some directions.
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
    let drawn = TorchNoise::seeded(seed as i64)?.normal(&[width, DIRECTIONS], device)?;
    let lengths = drawn.f_square()?.f_sum_dim_intlist([0i64].as_slice(), true, Kind::Float)?;
    Ok(drawn.f_div(&lengths.f_sqrt()?)?)
}

/// The sorted projections of a set, [N, AT_ONCE].
fn sorted(rows: &Rows, directions: &Tensor) -> Result<Tensor, EvalError> {
    let shadows = rows.blocks().map(|block| -> Result<Tensor, EvalError> {
        Ok(rows.block(block, Kind::Float)?.f_matmul(directions)?)
    });
    let shadows = shadows.collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&shadows, 0)?.f_sort(0, false)?.0)
}

/// An interval of probability on which both quantile functions are constant.
struct Quantile {
    /// Indices of the sorted values of both sets.
    a: i64,
    b: i64,
    /// Length of the interval; the sum is 1.
    share: f64,
}

/// The intervals of sets of n and m values, at most n + m − 1.
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
