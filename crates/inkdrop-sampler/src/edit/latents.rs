//! Ways between noises.

use inkdrop_torch::tch::{Kind, Tensor};

use crate::SamplerError;

/// The point at a share of the way from one noise to another on a sphere (Shoemake 1985, as in
/// Song et al. 2020, eq. 67): its norm stays that of noise, which a straight line's does not.
///
/// Each image has an angle of its own; noises that point the same way are joined by a straight
/// line.
///
/// - share: 0 is a, 1 is b
///
/// # Shapes
/// - a, b: [B, C, H, W]; returns the same
///
/// # Errors
/// Shapes that differ.
pub fn slerp(a: &Tensor, b: &Tensor, share: f64) -> Result<Tensor, SamplerError> {
    let dot = |a: &Tensor, b: &Tensor| -> Result<Tensor, SamplerError> {
        let axes: Vec<i64> = (1..a.dim() as i64).collect();
        Ok(a.f_mul(b)?.f_sum_dim_intlist(&axes[..], true, Kind::Double)?)
    };
    let cosine = dot(a, b)?.f_div(&dot(a, a)?.f_mul(&dot(b, b)?)?.f_sqrt()?)?;
    let angle = cosine.f_clamp(-1.0, 1.0)?.f_acos()?;
    let sine = angle.f_sin()?;
    let weight = |share: f64| -> Result<Tensor, SamplerError> {
        let on_sphere = angle.f_mul_scalar(share)?.f_sin()?.f_div(&sine)?;
        let straight = sine.f_full_like(share)?;
        Ok(straight.f_where_self(&sine.f_lt(1e-6)?, &on_sphere)?.f_to_kind(a.kind())?)
    };
    Ok(a.f_mul(&weight(1.0 - share)?)?.f_add(&b.f_mul(&weight(share)?)?)?)
}

/// A grid of noises between four corners.
///
/// # Shapes
/// - corners: top left, bottom left, top right, bottom right, [1, C, H, W] each
/// - returns [rows·columns, C, H, W], row by row
///
/// # Errors
/// No rows or columns, or shapes that differ.
pub fn latent_grid(
    corners: [&Tensor; 4],
    rows: usize,
    columns: usize,
) -> Result<Tensor, SamplerError> {
    if rows == 0 || columns == 0 {
        return Err(SamplerError::Request {
            field: "grid",
            given: format!("{rows} by {columns}"),
            expected: "at least one row and one column".into(),
        });
    }
    let share = |i: usize, count: usize| i as f64 / (count.max(2) - 1) as f64;
    let mut noises = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let left = slerp(corners[0], corners[1], share(row, rows))?;
        let right = slerp(corners[2], corners[3], share(row, rows))?;
        for column in 0..columns {
            noises.push(slerp(&left, &right, share(column, columns))?);
        }
    }
    Ok(Tensor::f_cat(&noises, 0)?)
}
