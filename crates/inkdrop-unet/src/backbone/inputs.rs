//! Whether what a network is given fits it.

use inkdrop_nn::{Conditioning, NetworkError};
use inkdrop_torch::tch::Tensor;

/// What a network takes.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// Axes of the image: 1, 2 or 3.
    pub dims: usize,
    /// Channels of x.
    pub channels: i64,
    /// Height and width, with `padding` at both ends, are multiples of this.
    pub multiple: i64,
    /// Padding that the network adds itself.
    pub padding: i64,
    /// How many classes it knows.
    pub classes: Option<i64>,
    /// Whether it takes small images.
    pub low_res: bool,
}

impl Expected {
    /// # Errors
    /// What does not fit, its shape and what the network takes.
    pub fn check(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<(), NetworkError> {
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
    ) -> Result<(), NetworkError> {
        let Conditioning { context, classes, low_res } = conditioning;
        if context.is_some() {
            return Err(NetworkError::Unexpected { input: "context" });
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
        match (self.low_res, low_res) {
            (true, Some(images)) => {
                let given = images.size();
                if given.len() != size.len() || given[..2] != size[..2] {
                    let expected = format!("[{}, {}, …] like x, but smaller", size[0], size[1]);
                    return Err(NetworkError::Shape { input: "low_res", given, expected });
                }
            }
            (true, None) => {
                let expected = "the small images to make large ones of".to_string();
                return Err(NetworkError::Missing { input: "low_res", expected });
            }
            (false, Some(_)) => return Err(NetworkError::Unexpected { input: "low_res" }),
            (false, None) => {}
        }
        Ok(())
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
