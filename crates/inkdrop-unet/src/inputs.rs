//! The inputs of a [`Unet`](crate::Unet): checks and preparation.

use inkdrop_nn::{Conditioning, NetworkError};
use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

/// Shapes of the inputs, and their preparation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InputSpec {
    /// Number of axes of the image: 1, 2 or 3.
    pub dims: usize,
    /// Channels of x.
    pub channels: i64,
    /// Height and width, with `padding` at both ends, must be multiples of this.
    pub multiple: i64,
    /// Zero padding that the network adds at both ends and crops from the output (nanodiffusion).
    pub padding: i64,
    /// The network computes with 2·x − 1 (diffusers' `center_input_sample`).
    pub center: bool,
    /// Number of classes of a class-conditional network.
    pub classes: Option<i64>,
    /// The network takes low-resolution images (improved-diffusion's SuperResModel).
    pub low_res: bool,
    /// The network takes the length of a time interval (MeanFlow).
    pub interval: bool,
    /// The network takes an earlier prediction of x0 beside x (self-conditioning).
    pub self_condition: bool,
    /// Number of augmentation labels, which may be left out.
    pub augment: Option<i64>,
}

impl InputSpec {
    /// Images with this many channels, without preparation or conditions.
    pub fn images(channels: i64) -> Self {
        let (padding, center, classes, augment) = (0, false, None, None);
        let (low_res, interval, self_condition) = (false, false, false);
        Self {
            dims: 2,
            channels,
            multiple: 1,
            padding,
            center,
            classes,
            low_res,
            interval,
            self_condition,
            augment,
        }
    }

    /// Channels of the first convolution's input.
    pub fn network_channels(&self) -> i64 {
        let images = 1 + i64::from(self.low_res) + i64::from(self.self_condition);
        self.channels.saturating_mul(images)
    }

    /// x as the first convolution takes it: padded, centred, or concatenated with the upsampled
    /// low-resolution images or the self-condition.
    pub fn prepare(&self, x: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        if self.padding > 0 {
            return Ok(x.f_constant_pad_nd([self.padding; 4])?);
        }
        if self.center {
            return Ok(x.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?);
        }
        if self.self_condition {
            // The condition stands first; without one, zeros (Chen et al. 2022).
            let condition = match &conditioning.self_condition {
                Some(x0) => x0.f_to_kind(x.kind())?,
                None => x.f_zeros_like()?,
            };
            return Ok(Tensor::f_cat(&[&condition, x], 1)?);
        }
        match &conditioning.low_res {
            Some(small) => Ok(Tensor::f_cat(&[x, &upsample(small, &x.size()[2..])?], 1)?),
            None => Ok(x.shallow_clone()),
        }
    }

    /// Crops the padding from the output.
    pub fn crop(&self, out: Tensor, x: &Tensor) -> Result<Tensor> {
        match (self.padding, &x.size()[..]) {
            (1.., [_, _, height, width]) => {
                Ok(out.f_narrow(2, self.padding, *height)?.f_narrow(3, self.padding, *width)?)
            }
            _ => Ok(out),
        }
    }

    /// Checks all inputs.
    ///
    /// # Errors
    /// The first invalid input, with its shape and the expected one.
    pub fn check(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<(), NetworkError> {
        let size = x.size();
        let fits = |&axis: &i64| axis > 0 && (axis + 2 * self.padding) % self.multiple == 0;
        let axes = size.get(2..).unwrap_or_default();
        let halved = &axes[axes.len().saturating_sub(2)..];
        if size.len() != 2 + self.dims || size[1] != self.channels || !halved.iter().all(fits) {
            return Err(NetworkError::Shape { input: "x", given: size, expected: self.describe() });
        }
        let batch = size[0];
        if t.size() != [batch] {
            let expected = format!("[{batch}], one time per image");
            return Err(NetworkError::Shape { input: "t", given: t.size(), expected });
        }
        self.check_conditioning(&size, conditioning)
    }

    fn check_conditioning(
        &self,
        size: &[i64],
        conditioning: &Conditioning,
    ) -> std::result::Result<(), NetworkError> {
        let Conditioning {
            context,
            classes,
            low_res,
            image,
            interval,
            self_condition,
            augment,
            first_image: _,
        } = conditioning;
        if context.is_some() {
            return Err(NetworkError::Unexpected { input: "context" });
        }
        if image.is_some() {
            // ImageConditioned concatenates it with x.
            return Err(NetworkError::Unexpected { input: "image" });
        }
        match (self.classes, classes) {
            (Some(count), Some(ids)) => ids.check(size[0], count)?,
            (Some(count), None) => {
                let expected = format!("one class in 0..{count} for each image");
                return Err(NetworkError::Missing { input: "classes", expected });
            }
            (None, Some(_)) => return Err(NetworkError::Unexpected { input: "classes" }),
            (None, None) => {}
        }
        check_interval(self.interval, interval.as_ref(), size[0])?;
        match self_condition {
            Some(_) if !self.self_condition => {
                return Err(NetworkError::Unexpected { input: "self_condition" });
            }
            Some(given) if given.size() != size => {
                let (given, expected) = (given.size(), format!("{size:?} like x"));
                return Err(NetworkError::Shape { input: "self_condition", given, expected });
            }
            _ => {}
        }
        match (self.low_res, low_res) {
            (true, Some(images)) => {
                let given = images.size();
                if given.len() != size.len() || given[..2] != size[..2] {
                    let expected = format!("[{}, {}, …] like x, but smaller", size[0], size[1]);
                    return Err(NetworkError::Shape { input: "low_res", given, expected });
                }
            }
            (true, None) => {
                let expected = "the low-resolution images to upsample".to_string();
                return Err(NetworkError::Missing { input: "low_res", expected });
            }
            (false, Some(_)) => return Err(NetworkError::Unexpected { input: "low_res" }),
            (false, None) => {}
        }
        match (self.augment, augment) {
            (Some(labels), Some(rows)) if rows.size() != [size[0], labels] => {
                let expected = format!("[{}, {labels}], one row per image", size[0]);
                Err(NetworkError::Shape { input: "augment", given: rows.size(), expected })
            }
            (None, Some(_)) => Err(NetworkError::Unexpected { input: "augment" }),
            _ => Ok(()),
        }
    }

    fn describe(&self) -> String {
        let axes = ["W", "H, W", "D, H, W"][self.dims.clamp(1, 3) - 1];
        let mut text = format!("[B, {}, {axes}]", self.channels);
        if self.multiple > 1 {
            let halved = if self.dims == 1 { "W" } else { "H and W" };
            text += &format!(" with {halved} multiples of {}", self.multiple);
            if self.padding > 0 {
                text += &format!(" once padded by {} at both ends", self.padding);
            }
        }
        text
    }
}

/// Checks the length of the time interval.
///
/// - takes: the network has an embedding of it
pub(crate) fn check_interval(
    takes: bool,
    given: Option<&Tensor>,
    batch: i64,
) -> std::result::Result<(), NetworkError> {
    match given {
        None if takes => {
            let expected = "the length of a time interval for each image".to_string();
            Err(NetworkError::Missing { input: "interval", expected })
        }
        Some(_) if !takes => Err(NetworkError::Unexpected { input: "interval" }),
        Some(interval) if interval.size() != [batch] => Err(NetworkError::Shape {
            input: "interval",
            given: interval.size(),
            expected: format!("[{batch}], one length per image"),
        }),
        _ => Ok(()),
    }
}

/// Linear interpolation between pixel centres.
fn upsample(small: &Tensor, size: &[i64]) -> Result<Tensor> {
    Ok(match size.len() {
        1 => small.f_upsample_linear1d(size, false, None)?,
        3 => small.f_upsample_trilinear3d(size, false, None, None, None)?,
        _ => small.f_upsample_bilinear2d(size, false, None, None)?,
    })
}
