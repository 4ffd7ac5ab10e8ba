//! The check of this crate's kernels in their first use: against libtorch's operations in f64.

use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::dropout::{Mask, word};
use crate::{GroupNormInputs, PostOp, Result, channels_last, kernels};

/// Bound of the relative difference: a hundred times what rounding leaves.
const BOUND: f64 = 1e-3;

/// The same for factors in bf16: ten times.
const BOUND_BF16: f64 = 0.1;

/// What a kernel computes wrongly; `None` if all agree with libtorch. It draws no random numbers.
pub(crate) fn problem() -> Result<Option<String>> {
    let _guard = no_grad_guard();
    for tile in [2, 4] {
        if let Some(apart) = difference(&winograd(tile)?, BOUND)? {
            return Ok(Some(format!(
                "a convolution with {tile} x {tile} tiles is off by {apart:.1e}"
            )));
        }
    }
    if kernels::has_bf16()?
        && let Some(apart) = difference(&winograd_bf16()?, BOUND_BF16)?
    {
        return Ok(Some(format!("a convolution in bf16 is off by {apart:.1e}")));
    }
    if let Some(apart) = difference(&normalisation()?, BOUND)? {
        return Ok(Some(format!("a group normalisation is off by {apart:.1e}")));
    }
    if let Some(apart) = difference(&rms_normalisation()?, BOUND)? {
        return Ok(Some(format!("an RMS normalisation is off by {apart:.1e}")));
    }
    Ok((!same_mask()?).then(|| "dropout has a wrong mask".to_string()))
}

/// Some numbers between -1 and 1.
fn numbers(shape: &[i64], step: f64) -> Result<Tensor> {
    let count: i64 = shape.iter().product();
    let line = Tensor::f_arange(count, (Kind::Float, Device::Cpu))?;
    Ok(line.f_mul_scalar(step)?.f_sin()?.f_reshape(shape)?)
}

/// What the kernel computes, and what libtorch does.
fn winograd(tile: i64) -> Result<[Tensor; 2]> {
    let (x, weight) = (numbers(&[1, 32, 9, 9], 0.7)?, numbers(&[32, 32, 3, 3], 1.3)?);
    let given =
        kernels::winograd_trained(&channels_last(&x)?, &weight, &numbers(&[32], 0.9)?, None, tile)?;
    let double = |x: &Tensor| x.f_to_kind(Kind::Double);
    let bias = double(&numbers(&[32], 0.9)?)?;
    Ok([given, double(&x)?.f_conv2d(&double(&weight)?, Some(&bias), [1, 1], [1, 1], [1, 1], 1)?])
}

/// The kernel with factors in bf16, and libtorch's convolution with the same weights.
fn winograd_bf16() -> Result<[Tensor; 2]> {
    let (x, weight) = (numbers(&[1, 32, 9, 9], 0.7)?, numbers(&[32, 32, 3, 3], 1.3)?);
    let (weight, bias) = (weight.f_to_kind(Kind::BFloat16)?, numbers(&[32], 0.9)?);
    let packed = kernels::winograd_weight(&weight, 4)?;
    let given = kernels::winograd_packed(&channels_last(&x)?, &packed, &bias, None, PostOp::None)?;
    let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.f_to_kind(Kind::Double));
    Ok([given, x?.f_conv2d(&weight?, Some(&bias?), [1, 1], [1, 1], [1, 1], 1)?])
}

fn normalisation() -> Result<[Tensor; 2]> {
    let (x, scale, shift) =
        (numbers(&[1, 32, 9, 9], 0.7)?, numbers(&[1, 32], 0.9)?, numbers(&[1, 32], 1.1)?);
    let inputs =
        GroupNormInputs { groups: 4, eps: 1e-5, before: None, scale: &scale, shift: &shift };
    let given = kernels::group_norm(&channels_last(&x)?, inputs, PostOp::Silu)?;
    let double = |x: &Tensor| x.f_to_kind(Kind::Double);
    let (scale, shift) = (double(&scale)?.f_view([32])?, double(&shift)?.f_view([32])?);
    let expected = double(&x)?.f_group_norm(4, Some(&scale), Some(&shift), 1e-5, true)?;
    Ok([given, expected.f_silu()?])
}

fn rms_normalisation() -> Result<[Tensor; 2]> {
    let (x, scale, shift) =
        (numbers(&[1, 32, 9, 9], 0.7)?, numbers(&[1, 32], 0.9)?, numbers(&[1, 32], 1.1)?);
    let given = kernels::rms_norm(&channels_last(&x)?, &scale, &shift, PostOp::Gelu)?;
    let double = |x: &Tensor| x.f_to_kind(Kind::Double);
    let (scale, shift) = (double(&scale)?.f_view([32, 1, 1])?, double(&shift)?.f_view([32, 1, 1])?);
    let unit =
        double(&x)?.f_div(&double(&x)?.f_square()?.f_sum_dim_intlist(1, true, None)?.f_sqrt()?)?;
    Ok([given, unit.f_mul(&scale)?.f_add(&shift)?.f_gelu("none")?])
}

/// True if the kernel of dropout has the mask of Philox in scalars.
fn same_mask() -> Result<bool> {
    let (key, image) = (0x0123_4567_89ab_cdef, 3);
    let mask = Mask { probability: 0.5, key, first_image: image };
    let y = mask.by_kernel(&Tensor::f_ones([1, 100], (Kind::Float, Device::Cpu))?)?;
    let kept = Vec::<f32>::try_from(&y.f_view([-1])?)?.into_iter().map(|value| value != 0.0);
    Ok(kept.eq((0..100).map(|element| word(key, image, element) >= 1 << 31)))
}

/// The relative difference if it is above a bound, or not a number.
fn difference([given, expected]: &[Tensor; 2], bound: f64) -> Result<Option<f64>> {
    let largest = |x: Tensor| x.f_abs()?.f_max()?.f_double_value(&[]);
    let apart = largest(given.f_to_kind(Kind::Double)?.f_sub(expected)?)?;
    let apart = apart / largest(expected.shallow_clone())?;
    Ok((apart > bound || apart.is_nan()).then_some(apart))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_are_right_and_a_wrong_one_is_seen() {
        assert_eq!(problem().expect("libtorch computes"), None);
        let [given, expected] = winograd(4).expect("libtorch computes");
        let apart = |given: Tensor| difference(&[given, expected.shallow_clone()], BOUND);
        assert_eq!(apart(given.shallow_clone()).ok(), Some(None));
        let wrong = |given: Tensor| apart(given).expect("numbers");
        assert!(wrong(given.roll([1], [3])).is_some_and(|apart| apart > 0.1));
        assert!(wrong(given.full_like(f64::NAN)).is_some());
    }
}
