//! Improved precision and recall (Kynkäänniemi et al. 2019).

use std::ops::Range;

use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

use crate::EvalError;
use crate::rows::Rows;

/// Precision and recall of samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecall {
    /// Share of the samples inside the manifold of the data, 0 to 1 (fidelity).
    pub precision: f64,
    /// Share of the data inside the manifold of the samples, 0 to 1 (coverage).
    pub recall: f64,
}

/// Number of neighbours k, as in the paper and in torch-fidelity.
pub const NEIGHBOURS: i64 = 3;

/// Relative tolerance of squared distances, in units of the rows' squared norms. They are computed
/// from dot products, which are rounded.
const ROUNDING: f64 = 1e-13;

/// Improved precision and recall (Kynkäänniemi et al. 2019, eq. 1 and 2).
///
/// The manifold of a set is the union of balls around its rows. The radius of a ball is the distance
/// to the k-th neighbour in the set.
///
/// It computes 2·N·M + N² + M² distances from dot products, in f64 and in blocks.
///
/// - samples: [N, D], data: [M, D]: features
/// - neighbours: k, at least 1 and less than N and M; [`NEIGHBOURS`] in the paper
///
/// # Errors
/// Too few rows, rows of different sizes, values that are not finite.
pub fn precision_recall(
    samples: &Tensor,
    data: &Tensor,
    neighbours: i64,
) -> Result<PrecisionRecall, EvalError> {
    let _guard = no_grad_guard();
    if neighbours < 1 {
        let (given, expected) = (neighbours.to_string(), "at least 1");
        return Err(EvalError::Setting { field: "neighbours", given, expected });
    }
    let (samples, data) = Rows::pair(samples, data, "precision and recall", neighbours + 1)?;
    let centre = mean(&data)?;
    let [samples, data] = [&samples, &data].map(|rows| Cloud { rows, centre: &centre });
    let precision = samples.covered(&data, &data.reach(neighbours)?)?;
    let recall = data.covered(&samples, &samples.reach(neighbours)?)?;
    Ok(PrecisionRecall { precision, recall })
}

/// The mean row, `[D]`.
fn mean(rows: &Rows) -> Result<Tensor, EvalError> {
    let none = Tensor::f_zeros([rows.width()], (Kind::Double, Device::Cpu))?;
    let sum = rows.blocks().try_fold(none, |sum, block| -> Result<Tensor, EvalError> {
        let block = rows.block(block, Kind::Double)?;
        Ok(sum.f_add(&block.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Double)?)?)
    })?;
    Ok(sum.f_div_scalar(rows.len())?)
}

/// Rows relative to a centre.
struct Cloud<'a> {
    rows: &'a Rows,
    centre: &'a Tensor,
}

impl Cloud<'_> {
    fn block(&self, block: Range<i64>) -> Result<Tensor, EvalError> {
        Ok(self.rows.block(block, Kind::Double)?.f_sub(self.centre)?)
    }

    /// The squared distance of each row to its k-th neighbour, `[N]`.
    fn reach(&self, neighbours: i64) -> Result<Tensor, EvalError> {
        let mut all = Vec::new();
        for block in self.rows.blocks() {
            let from = self.block(block)?;
            let distances = self.rows.blocks().map(|to| squares(&from, &self.block(to)?, 0.0));
            let distances = Tensor::f_cat(&distances.collect::<Result<Vec<_>, _>>()?, 1)?; // [n, N]
            all.push(distances.f_kthvalue(neighbours + 1, 1, false)?.0); // the row itself is the first
        }
        Ok(Tensor::f_cat(&all, 0)?)
    }

    /// The share of rows inside the manifold of another cloud.
    fn covered(&self, other: &Cloud, reach: &Tensor) -> Result<f64, EvalError> {
        let mut count = 0;
        for block in self.rows.blocks() {
            let from = self.block(block.clone())?;
            let none = Tensor::f_zeros([block.end - block.start], (Kind::Bool, Device::Cpu))?;
            let inside = other.rows.blocks().try_fold(none, |found, to| {
                let radius = reach.f_narrow(0, to.start, to.end - to.start)?;
                let near = squares(&from, &other.block(to)?, ROUNDING)?.f_le_tensor(&radius)?;
                Ok::<_, EvalError>(found.f_logical_or(&near.f_any_dim(1, false)?)?)
            })?;
            count += inside.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        }
        Ok(count as f64 / self.rows.len() as f64)
    }
}

/// Squared distances minus the tolerance, at least 0.
///
/// - x: [n, D], y: [m, D]; returns [n, m]
fn squares(x: &Tensor, y: &Tensor, less: f64) -> Result<Tensor, EvalError> {
    let own = |x: &Tensor| x.f_square()?.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Double);
    let sums = own(x)?.f_add(&own(y)?.f_tr()?)?;
    let products = x.f_matmul(&y.f_tr()?)?.f_mul_scalar(2.0)?;
    Ok(sums.f_mul_scalar(1.0 - less)?.f_sub(&products)?.f_clamp_min(0.0)?)
}
