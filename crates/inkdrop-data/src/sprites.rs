//! Generated dataset: 16 × 16 role-playing figures in five classes, on white.

use ndarray::{Array2, Array4};

pub use inkdrop_sprites::{CLASSES, Class, SIZE, Sprite, UnknownClass, sprite};

use crate::{Images, InMemoryDataset, Labels};

/// Draws sprites 0 to `count` − 1 of `seed`, labelled with one-hot contexts `[count, 5]`.
pub fn dataset(seed: u64, count: usize) -> InMemoryDataset {
    let mut pixels = Array4::zeros((count, SIZE, SIZE, 3));
    let mut context = Array2::zeros((count, CLASSES.len()));
    for (index, mut image) in pixels.outer_iter_mut().enumerate() {
        let sprite = sprite(seed, index as u64);
        image.iter_mut().zip(sprite.pixels).for_each(|(to, from)| *to = from);
        context[[index, sprite.class.index()]] = 1.0;
    }
    // Lengths and shapes agree by construction.
    InMemoryDataset { images: Images::of_rgb(pixels), labels: Labels::Context(context) }
}
