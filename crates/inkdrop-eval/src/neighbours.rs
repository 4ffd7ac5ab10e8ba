//! Precision and recall: which rows lie where the other set is?

use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::EvalError;
use crate::rows::Rows;

/// What share of each set lies within the other's reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecall {
    /// Share of the samples that lie within the data's reach, 0 to 1: are they plausible?
    pub precision: f64,
    /// Share of the data that lies within the samples' reach, 0 to 1: is all of it covered?
    pub recall: f64,
}

/// Neighbours that decide how far a row reaches, as in the paper and in torch-fidelity.
pub const NEIGHBOURS: i64 = 3;

/// Improved precision and recall (Kynkäänniemi et al. 2019, eq. 1 and 2): a row reaches as far as
/// its k-th neighbour in its own set, and a set as far as any of its rows.
///
/// Distances are sums of squared differences in f64, not differences of squares: equal rows are at
/// distance 0 whatever their length. They are taken in blocks, N·M of them twice and N² + M² more.
///
/// - samples: [N, D], data: [M, D]: features
/// - neighbours: k, at least 1 and less than N and M; [`NEIGHBOURS`] in the paper
///
/// # Errors
/// Too few rows, rows of two lengths, numbers that are not finite.
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
    let precision = covered(&samples, &data, &reach(&data, neighbours)?)?;
    let recall = covered(&data, &samples, &reach(&samples, neighbours)?)?;
    Ok(PrecisionRecall { precision, recall })
}

/// The distance of each row to its k-th neighbour, `[N]`.
fn reach(rows: &Rows, neighbours: i64) -> Result<Tensor, EvalError> {
    let mut all = Vec::new();
    for block in rows.blocks() {
        let from = rows.block(block, Kind::Double)?;
        let apart = rows.blocks().map(|to| distances(&from, &rows.block(to, Kind::Double)?));
        let apart = Tensor::f_cat(&apart.collect::<Result<Vec<_>, _>>()?, 1)?; // [n, N]
        all.push(apart.f_kthvalue(neighbours + 1, 1, false)?.0); // the row itself is the first
    }
    Ok(Tensor::f_cat(&all, 0)?)
}

/// The share of rows that lie within the reach of a row of `set`.
fn covered(rows: &Rows, set: &Rows, reach: &Tensor) -> Result<f64, EvalError> {
    let mut count = 0;
    for block in rows.blocks() {
        let from = rows.block(block.clone(), Kind::Double)?;
        let none = Tensor::f_zeros([block.end - block.start], (Kind::Bool, from.device()))?;
        let inside = set.blocks().try_fold(none, |found, to| -> Result<Tensor, EvalError> {
            let radius = reach.f_narrow(0, to.start, to.end - to.start)?;
            let within = distances(&from, &set.block(to, Kind::Double)?)?.f_le_tensor(&radius)?;
            Ok(found.f_logical_or(&within.f_any_dim(1, false)?)?)
        })?;
        count += inside.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    }
    Ok(count as f64 / rows.len() as f64)
}

/// Euclidean distances, [n, m].
fn distances(x: &Tensor, y: &Tensor) -> Result<Tensor, EvalError> {
    const BY_DIFFERENCES: i64 = 2; // not by a matrix product
    Ok(Tensor::f_cdist(x, y, 2.0, BY_DIFFERENCES)?)
}
