//! Masks for inpainting, and the canvas for outpainting.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use inkdrop::data::{Images, read};
use inkdrop::mask::Mask;

use crate::options::read_picture;

/// Integers separated by commas: `X,Y` or `X,Y,W,H`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers<const N: usize>(pub [i64; N]);

impl<const N: usize> FromStr for Numbers<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split(',').map(|part| part.trim().parse().ok());
        let numbers = numbers.collect::<Option<Vec<i64>>>().and_then(|all| all.try_into().ok());
        numbers.map(Self).ok_or_else(|| format!("expected {N} integers separated by commas"))
    }
}

/// Mask options.
#[derive(Debug, clap::Args)]
pub struct MaskOptions {
    /// Mask, a picture of the size of the model: white is inpainted, black is kept
    #[arg(long, value_name = "PNG", conflicts_with = "rectangle")]
    mask: Option<PathBuf>,
    /// Inpaint a rectangle: left, top, width and height in pixels
    #[arg(long = "box", value_name = "X,Y,W,H", allow_hyphen_values = true)]
    rectangle: Option<Numbers<4>>,
    /// Invert the mask
    #[arg(long)]
    outside: bool,
    /// Place the images, of any size, on an empty canvas with their upper left corner at X,Y, and
    /// outpaint the rest
    #[arg(long, value_name = "X,Y", allow_hyphen_values = true, conflicts_with = "fit")]
    at: Option<Numbers<2>>,
}

impl MaskOptions {
    /// Input files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.mask.iter().cloned().collect()
    }

    /// Position of the images on the canvas, for outpainting.
    pub fn at(&self) -> Option<(i64, i64)> {
        self.at.map(|Numbers([x, y])| (x, y))
    }

    /// The mask of every image, on a canvas of (width, height).
    pub fn mask(&self, (width, height): (usize, usize)) -> Result<Mask> {
        let mut mask = match (&self.mask, self.rectangle) {
            (Some(path), _) => of_file(path, (width, height))?,
            (None, Some(Numbers(sides))) => of_box(sides, (width, height))?,
            (None, None) => {
                ensure!(self.at.is_some(), "no region to inpaint: expected --mask, --box or --at");
                ensure!(!self.outside, "--outside: expected --mask or --box with it");
                return Ok(vec![false; width * height]);
            }
        };
        if self.outside {
            mask.iter_mut().for_each(|pixel| *pixel = !*pixel);
        }
        Ok(mask)
    }
}

fn of_file(path: &Path, (width, height): (usize, usize)) -> Result<Mask> {
    let picture = read_picture(path)?;
    let (w, h) = (picture.width(), picture.height());
    ensure!(
        (w, h) == (width, height),
        "--mask {} is {w} x {h} pixels, expected {width} x {height}, the size of the model",
        path.display()
    );
    Ok(read::luma(&picture).map(|value| value >= 128).collect())
}

fn of_box([x, y, w, h]: [i64; 4], (width, height): (usize, usize)) -> Result<Mask> {
    let inside = |from: i64, length: i64, side: usize| {
        from >= 0 && length > 0 && from.checked_add(length).is_some_and(|end| end <= side as i64)
    };
    if !inside(x, w, width) || !inside(y, h, height) {
        bail!(
            "--box {x},{y},{w},{h}: expected X,Y,W,H inside of {width} x {height} pixels, W and H at least 1"
        );
    }
    let within = |i: usize| {
        let (column, row) = ((i % width) as i64, (i / width) as i64);
        (x..x + w).contains(&column) && (y..y + h).contains(&row)
    };
    Ok((0..width * height).map(within).collect())
}

/// An image on a white canvas of (width, height), and the mask of the rest.
pub fn place(image: &Images, size: (usize, usize), at: (i64, i64)) -> Result<(Images, Mask)> {
    let (canvas, covered) = read::place(image, size, at)?;
    Ok((canvas, covered.into_iter().map(|covered| !covered).collect()))
}
