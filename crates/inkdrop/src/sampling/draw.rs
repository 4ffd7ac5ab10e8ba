//! Tensors to images and pictures.

use anyhow::Result;
use inkdrop_data::Images;
use inkdrop_data::picture::{Grid, Picture};
use inkdrop_process::pixels;
use inkdrop_torch::tch::Tensor;
use ndarray::{Array4, s};

/// Tensors in [-1, 1] as images.
///
/// - x: [B, C, H, W]
pub fn images(x: &Tensor) -> Result<Images> {
    let size: Vec<usize> = x.size().iter().map(|&axis| axis as usize).collect();
    let shape = (size[0], size[2], size[3], size[1]);
    Ok(Images::new(Array4::from_shape_vec(shape, pixels::from_tensor(x)?)?)?)
}

/// Images `from..to` of a set.
pub fn part(images: &Images, from: usize, to: usize) -> Result<Images> {
    Ok(Images::new(images.view().slice(s![from..to, .., .., ..]).to_owned())?)
}

/// A nearly square grid of unlabelled images.
pub fn square(images: &Images) -> Result<Picture> {
    let columns = (images.len() as f64).sqrt().ceil() as usize;
    rows(images, columns, &[])
}

/// A grid with `columns` images per row and labels on the left.
pub fn rows(images: &Images, columns: usize, labels: &[String]) -> Result<Picture> {
    let mut grid = Grid::new().scale(scale(images.height()));
    for (row, from) in (0..images.len()).step_by(columns.max(1)).enumerate() {
        let label = labels.get(row).cloned().unwrap_or_default();
        grid = grid.row(label, part(images, from, (from + columns).min(images.len()))?);
    }
    Ok(grid.render())
}

/// Small images are enlarged four times.
pub fn scale(height: usize) -> usize {
    if height <= 32 { 4 } else { 1 }
}
