//! Height and width of images.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Height and width of images, in pixels. In configs `32`, or `[32, 48]` where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows.
    pub height: i64,
    /// Columns.
    pub width: i64,
}

impl ImageSize {
    /// As high as wide.
    pub const fn square(side: i64) -> Self {
        Self { height: side, width: side }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected an image size: 32, or [32, 48] (height, width)")]
enum Written {
    Square(i64),
    Rectangle([i64; 2]),
}

impl Serialize for ImageSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { height, width } = *self;
        match height == width {
            true => Written::Square(height).serialize(serializer),
            false => Written::Rectangle([height, width]).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ImageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Square(side) => Self::square(side),
            Written::Rectangle([height, width]) => Self { height, width },
        })
    }
}

/// Sides as `32x48`.
pub(crate) fn product(sides: &[i64]) -> String {
    sides.iter().map(i64::to_string).collect::<Vec<_>>().join("x")
}

impl std::fmt::Display for ImageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl std::str::FromStr for ImageSize {
    type Err = String;

    /// `32x48` (height x width) or `32`.
    fn from_str(text: &str) -> Result<Self, String> {
        let side = |part: &str| part.trim().parse::<i64>().ok().filter(|&side| side > 0);
        let parsed = match text.split_once(['x', 'X', '×']) {
            Some((height, width)) => side(height).zip(side(width)),
            None => side(text).map(|side| (side, side)),
        };
        let (height, width) = parsed.ok_or_else(|| {
            format!("`{text}` is not an image size: expected 32x48 (height x width) or 32")
        })?;
        Ok(Self { height, width })
    }
}
