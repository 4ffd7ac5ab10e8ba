//! Between images of 8 or 16 bits and tensors in [-1, 1].

use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, to_device_async};

/// Images as tensors in [-1, 1]: v/127.5 − 1.
///
/// # Shapes
/// - pixels: B·H·W·C bytes in NHWC order; shape: [B, H, W, C]
/// - returns [B, C, H, W] in f32
///
/// # Errors
/// The bytes do not fill the shape.
pub fn to_tensor(pixels: &[u8], shape: [i64; 4], device: Device) -> Result<Tensor> {
    let nhwc = to_device_async(&Tensor::f_from_slice(pixels)?.f_view(shape)?, device)?;
    let x = nhwc.f_permute([0, 3, 1, 2])?.f_contiguous()?.f_to_kind(Kind::Float)?;
    Ok(x.f_div_scalar(127.5)?.f_sub_scalar(1.0)?)
}

/// Images of 16 bits as tensors in [-1, 1]: v/32767.5 − 1. f32 holds every value: [`wide_from_tensor`] returns it.
///
/// # Shapes
/// - values: B·H·W·C values in NHWC order; shape: [B, H, W, C]
/// - returns [B, C, H, W] in f32
///
/// # Errors
/// The values do not fill the shape.
pub fn wide_to_tensor(
    values: impl Iterator<Item = u16>,
    shape: [i64; 4],
    device: Device,
) -> Result<Tensor> {
    let values: Vec<f32> = values.map(f32::from).collect();
    let nhwc = to_device_async(&Tensor::f_from_slice(&values)?.f_view(shape)?, device)?;
    let x = nhwc.f_permute([0, 3, 1, 2])?.f_contiguous()?;
    Ok(x.f_div_scalar(32767.5)?.f_sub_scalar(1.0)?)
}

/// Tensors in [-1, 1] as images of 16 bits: round(clamp((x + 1)·32767.5, 0, 65535)).
///
/// # Shapes
/// - x: [B, C, H, W]
/// - returns B·H·W·C values in NHWC order
///
/// # Errors
/// x has another number of axes.
pub fn wide_from_tensor(x: &Tensor) -> Result<Vec<u16>> {
    let scaled = x.f_add_scalar(1.0)?.f_mul_scalar(32767.5)?.f_clamp(0.0, 65535.0)?.f_round()?;
    let nhwc = scaled.f_permute([0, 2, 3, 1])?.f_to_kind(Kind::Int)?;
    let flat = nhwc.f_contiguous()?.f_to_device(Device::Cpu)?.f_view(-1)?;
    let mut values = vec![0i32; flat.numel()];
    flat.f_copy_data(&mut values, flat.numel())?;
    Ok(values.into_iter().map(|value| value as u16).collect())
}

/// Tensors in [-1, 1] as images: trunc(clamp((x + 1)·127.5, 0, 255)), as improved-diffusion writes them.
///
/// # Shapes
/// - x: [B, C, H, W]
/// - returns B·H·W·C bytes in NHWC order
///
/// # Errors
/// x has another number of axes.
pub fn from_tensor(x: &Tensor) -> Result<Vec<u8>> {
    bytes(&x.f_add_scalar(1.0)?.f_mul_scalar(127.5)?.f_clamp(0.0, 255.0)?)
}

/// Tensors in [-1, 1] as images: round(255·clamp(x/2 + 1/2, 0, 1)), half to even, as the pipelines of
/// diffusers write them.
///
/// # Shapes
/// As for [`from_tensor`].
///
/// # Errors
/// x has another number of axes.
pub fn from_tensor_rounded(x: &Tensor) -> Result<Vec<u8>> {
    let unit = x.f_div_scalar(2.0)?.f_add_scalar(0.5)?.f_clamp(0.0, 1.0)?;
    bytes(&unit.f_mul_scalar(255.0)?.f_round()?)
}

/// [B, C, H, W] in 0 to 255 as bytes in NHWC order.
fn bytes(scaled: &Tensor) -> Result<Vec<u8>> {
    let nhwc = scaled.f_permute([0, 2, 3, 1])?.f_to_kind(Kind::Uint8)?;
    let flat = nhwc.f_contiguous()?.f_to_device(Device::Cpu)?.f_view(-1)?;
    let mut pixels = vec![0u8; flat.numel()];
    flat.f_copy_data(&mut pixels, flat.numel())?;
    Ok(pixels)
}
