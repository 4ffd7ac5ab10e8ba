//! How a picture file becomes the bytes of an image of the wanted size and channels.

use std::path::Path;

use super::list::Listing;
use super::{Broken, LONGEST_SIDE};
use crate::DataError;
use crate::read::{check_fit, fit, luma, read_picture, sides};

/// The size and the channels that pictures are brought to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fitting {
    size: Option<usize>,
    channels: usize,
}

/// A picture as it is wanted.
pub(super) struct Fitted {
    pub width: usize,
    pub height: usize,
    /// `[height, width, channels]`
    pub bytes: Vec<u8>,
}

impl Fitting {
    pub(super) fn new(size: Option<usize>, channels: usize) -> Result<Self, DataError> {
        if let Some(size) = size.filter(|size| !(1..=LONGEST_SIDE).contains(size)) {
            return Err(DataError::Images(format!(
                "size {size}, expected 1 to {LONGEST_SIDE}; choose the side that the network takes"
            )));
        }
        if !matches!(channels, 1 | 3) {
            return Err(DataError::Images(format!(
                "{channels} channels, expected 1 (gray) or 3 (RGB); picture files give no others"
            )));
        }
        Ok(Self { size, channels })
    }

    pub(super) fn channels(self) -> usize {
        self.channels
    }

    /// Reads a picture and fits it.
    pub(super) fn read(self, path: &Path) -> Result<Fitted, DataError> {
        let mut picture = read_picture(path)?;
        if let Some(size) = self.size {
            let fitted = fit(&picture, size, size);
            picture = fitted.map_err(|error| DataError::file(path, error.to_string()))?;
        }
        let (width, height) = (picture.width(), picture.height());
        let bytes = match self.channels {
            1 => luma(&picture).collect(),
            _ => picture.into_pixels(),
        };
        Ok(Fitted { width, height, bytes })
    }

    /// Width and height that a picture will have, from its file's header alone.
    pub(super) fn sides(self, path: &Path) -> Result<(usize, usize), DataError> {
        let found = sides(path)?;
        let Some(size) = self.size else { return Ok(found) };
        check_fit(found, (size, size)).map_err(|error| DataError::file(path, error.to_string()))?;
        Ok((size, size))
    }

    /// How many bytes all pictures take; without a size, all are taken to be of the first one's.
    pub(super) fn bytes(self, listing: &Listing, broken: Broken) -> Result<u64, DataError> {
        let (mut width, mut height) = (0, 0);
        for (path, _) in &listing.files {
            match self.sides(path) {
                Ok(sides) => {
                    (width, height) = sides;
                    break;
                }
                Err(error) if broken == Broken::Fail => return Err(error),
                Err(_) => {}
            }
        }
        let counts = [listing.files.len(), width, height, self.channels];
        Ok(counts.iter().fold(1, |product: u64, &count| product.saturating_mul(count as u64)))
    }
}
