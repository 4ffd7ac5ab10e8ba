//! Masks for inpainting.

use inkdrop_data::Images;
use inkdrop_torch::tch::{Device, Tensor};
use ndarray::{Array4, ArrayView4};

use crate::Result;
use crate::error::{bail, ensure};

/// True for each pixel to generate, row by row.
pub type Mask = Vec<bool>;

/// The masks of a batch, [B, 1, H, W] in f32: 1 where pixels are generated.
///
/// # Errors
/// There is no mask, or not all have equally many pixels in `height` rows.
pub fn to_tensor(masks: &[&Mask], height: usize, device: Device) -> Result<Tensor> {
    let pixels = masks.first().map_or(0, |mask| mask.len());
    ensure!(
        pixels > 0 && height > 0 && pixels.is_multiple_of(height),
        "a mask of {pixels} pixels, expected {height} rows of at least one"
    );
    if let Some(other) = masks.iter().find(|mask| mask.len() != pixels) {
        bail!("a mask of {} pixels, expected {pixels} as in the first one", other.len());
    }
    let flat: Vec<f32> =
        masks.iter().flat_map(|mask| mask.iter().map(|&pixel| f32::from(pixel))).collect();
    let size = [masks.len() as i64, 1, height as i64, -1];
    Ok(Tensor::f_from_slice(&flat)?.f_view(size)?.f_to_device(device)?)
}

/// Generated pixels where the mask of an image is set, kept pixels elsewhere, with exactly their values. (The
/// conversion to [−1, 1] and back does not keep every one.) The result has 16 bits if either images have them.
///
/// - generated: `None` for gray
/// - masks: one for each image
///
/// # Errors
/// Masks or generated images of another number or size than the given images.
pub fn compose(generated: Option<&Images>, given: &Images, masks: &[&Mask]) -> Result<Images> {
    const GRAY: u8 = 128;
    let (count, height, width, _) = given.view().dim();
    ensure!(
        masks.len() == count && masks.iter().all(|mask| mask.len() == height * width),
        "{} masks, expected one of {height} x {width} pixels for each of the {count} images",
        masks.len()
    );
    if let Some(generated) = generated.filter(|images| images.nhwc() != given.nhwc()) {
        bail!(
            "generated images of shape {:?}, expected {:?} as the given ones",
            generated.nhwc(),
            given.nhwc()
        );
    }
    let depth = generated.map_or(given.depth(), |images| images.depth().max(given.depth()));
    let given = given.clone().with_depth(depth);
    let generated = generated.map(|images| images.clone().with_depth(depth));
    let wide = generated.as_ref().map(Images::wide);
    Ok(match given.wide() {
        Some(kept) => {
            Images::of_wide(composed(wide.flatten(), kept, 257 * u16::from(GRAY), masks))?
        }
        None => {
            let generated = generated.as_ref().map(Images::view);
            Images::new(composed(generated, given.view(), GRAY, masks))?
        }
    })
}

fn composed<T: Copy>(
    generated: Option<ArrayView4<'_, T>>,
    kept: ArrayView4<'_, T>,
    gray: T,
    masks: &[&Mask],
) -> Array4<T> {
    let width = kept.dim().2;
    Array4::from_shape_fn(kept.dim(), |at| {
        let (image, row, column, _) = at;
        match masks[image][row * width + column] {
            true => generated.as_ref().map_or(gray, |images| images[at]),
            false => kept[at],
        }
    })
}
