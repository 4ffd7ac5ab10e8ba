//! Canvas: composes parts, templates of letters, to a sprite of 16 × 16 pixels.

use crate::SIZE;
use crate::palette::{MATERIALS, Palette};

/// One part of a figure, drawn in letters; `.` lets through what lies below, `_` clears it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    /// The row that it starts at.
    pub top: usize,
    /// True for the left half of a symmetric part.
    pub mirrored: bool,
    pub rows: Vec<&'static str>,
}

impl Layer {
    /// True if every row has 8 or 16 columns and the part ends inside the sprite.
    #[cfg(test)]
    pub(crate) fn fits(&self) -> bool {
        let columns = if self.mirrored { SIZE / 2 } else { SIZE };
        self.top + self.rows.len() <= SIZE && self.rows.iter().all(|row| row.len() == columns)
    }
}

/// Letters on paper.
#[derive(Clone)]
pub(crate) struct Canvas([[u8; SIZE]; SIZE]);

const PAPER: u8 = b'.';

impl Canvas {
    /// Empty paper.
    pub(crate) fn new() -> Self {
        Self([[PAPER; SIZE]; SIZE])
    }

    /// Lays a part over what is there.
    ///
    /// Light falls from the left: the mirrored half has middle tones where the drawn half is light.
    pub(crate) fn draw(mut self, layer: &Layer) -> Self {
        for (y, row) in (layer.top..SIZE).zip(&layer.rows) {
            for (x, letter) in row.bytes().enumerate().take(SIZE) {
                self.set(x, y, letter);
                if layer.mirrored {
                    self.set(SIZE - 1 - x, y, middle_for_light(letter));
                }
            }
        }
        self
    }

    fn set(&mut self, x: usize, y: usize, letter: u8) {
        match letter {
            PAPER => {}
            b'_' => self.0[y][x] = PAPER,
            letter => self.0[y][x] = letter,
        }
    }

    /// Darkens the right rim of the silhouette by one tone; a line one pixel wide keeps its own.
    pub(crate) fn shade(mut self) -> Self {
        for row in &mut self.0 {
            for x in SIZE / 2..SIZE {
                if row[x] != PAPER
                    && row[x - 1] != PAPER
                    && row.get(x + 1).is_none_or(|&right| right == PAPER)
                {
                    row[x] = one_tone_darker(row[x]);
                }
            }
        }
        self
    }

    /// Draws an ink line on the paper around the figure.
    pub(crate) fn outline(self) -> Self {
        let mut outlined = self.clone();
        for y in 0..SIZE {
            for x in 0..SIZE {
                if self.0[y][x] == PAPER && self.touches_figure(x, y) {
                    outlined.0[y][x] = b'o';
                }
            }
        }
        outlined
    }

    fn touches_figure(&self, x: usize, y: usize) -> bool {
        let at = |x: usize, y: usize| {
            self.0.get(y).and_then(|row| row.get(x)).is_some_and(|&l| l != PAPER)
        };
        at(x.wrapping_sub(1), y) || at(x + 1, y) || at(x, y.wrapping_sub(1)) || at(x, y + 1)
    }

    /// Exchanges left and right.
    pub(crate) fn flip(mut self) -> Self {
        self.0.iter_mut().for_each(|row| row.reverse());
        self
    }

    /// Paints the letters: `[16, 16, 3]` bytes.
    pub(crate) fn paint(&self, palette: &Palette) -> [u8; SIZE * SIZE * 3] {
        let mut pixels = [0; SIZE * SIZE * 3];
        let letters = self.0.iter().flatten();
        for (pixel, &letter) in pixels.chunks_exact_mut(3).zip(letters) {
            pixel.copy_from_slice(&palette.colour(letter));
        }
        pixels
    }
}

fn middle_for_light(letter: u8) -> u8 {
    let material = MATERIALS.iter().find(|letters| letters[1] == letter);
    material.map_or(letter, |letters| letters[0])
}

fn one_tone_darker(letter: u8) -> u8 {
    for [middle, light, dark] in MATERIALS {
        if letter == light {
            return middle;
        }
        if letter == middle {
            return dark;
        }
    }
    letter
}
