//! How pictures are decoded.

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::picture::Rgb;

/// Default of [`PictureOptions::max_pixels`]: 8192 x 8192.
pub const MOST_PIXELS: u64 = 8192 * 8192;

/// How pictures are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureOptions {
    /// What becomes of transparent pixels.
    pub transparent: Transparent,
    /// What becomes of the EXIF orientation.
    pub orientation: Orientation,
    /// What becomes of animations.
    pub animation: Animation,
    /// Largest number of pixels of a picture; larger ones are refused before memory is allocated.
    pub max_pixels: u64,
}

impl Default for PictureOptions {
    fn default() -> Self {
        let (transparent, orientation, animation) = Default::default();
        Self { transparent, orientation, animation, max_pixels: MOST_PIXELS }
    }
}

impl PictureOptions {
    pub(super) fn limits(&self) -> Limits {
        Limits { max_pixels: self.max_pixels }
    }

    pub(super) fn follows_exif(&self) -> bool {
        self.orientation == Orientation::Exif
    }
}

/// What becomes of transparent pixels. In a config: `"white"`, `"black"`, `"#rrggbb"` or `"drop"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Transparent {
    /// They are composited on a colour.
    On(Rgb),
    /// Alpha is dropped, and the colours are kept as they are stored (Pillow's `convert("RGB")`).
    Drop,
}

impl Default for Transparent {
    /// White.
    fn default() -> Self {
        Self::On([255; 3])
    }
}

impl TryFrom<String> for Transparent {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let wrong = || format!("`{name}`, expected white, black, drop or a colour as in #ff8000");
        match name.as_str() {
            "white" => Ok(Self::On([255; 3])),
            "black" => Ok(Self::On([0; 3])),
            "drop" => Ok(Self::Drop),
            text => {
                let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
                let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let [_, r, g, b] = number.ok_or_else(wrong)?.to_be_bytes();
                Ok(Self::On([r, g, b]))
            }
        }
    }
}

impl From<Transparent> for String {
    fn from(transparent: Transparent) -> Self {
        match transparent {
            Transparent::Drop => "drop".to_owned(),
            Transparent::On([255, 255, 255]) => "white".to_owned(),
            Transparent::On([0, 0, 0]) => "black".to_owned(),
            Transparent::On([r, g, b]) => format!("#{r:02x}{g:02x}{b:02x}"),
        }
    }
}

/// What becomes of the EXIF orientation, by which a camera tells how it was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Orientation {
    /// The picture is turned as viewers show it.
    #[default]
    Exif,
    /// It is ignored, as improved-diffusion's loader does.
    Ignore,
}

/// What becomes of animations: GIF, APNG and WebP files of several frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Animation {
    /// The first frame is the picture.
    #[default]
    First,
    /// An animation is an error.
    Refuse,
}
