//! Random figures of a kind: one part from each group, one colour for each material.

use std::sync::Arc;

use crate::canvas::{Canvas, Layer};
use crate::dice::Dice;
use crate::palette::{Palette, Ramp, Rgb, other_than};

/// The colours that each material (by its middle letter) comes in.
pub(crate) type Paints = Vec<(u8, Vec<Ramp>)>;

/// A kind of figure.
#[derive(Debug)]
pub(crate) struct Kind {
    /// One part of each group is drawn, the first group at the bottom.
    pub(crate) groups: Vec<Arc<Vec<Layer>>>,
    /// The colours that each material (by its middle letter) comes in.
    pub(crate) paints: Arc<Paints>,
    /// The colours of the letter `k`: eyes, sparks.
    pub(crate) eyes: Arc<Vec<Rgb>>,
    /// Number of cases out of four in which left and right are exchanged.
    pub(crate) flips: usize,
    /// Colour of the line around the figure.
    pub(crate) line: Line,
}

/// The line around a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Line {
    /// Ink.
    Ink,
    /// The dark tone of the first material: figures that glow.
    Glow,
}

impl Kind {
    /// Rolls one figure: `[16, 16, 3]` bytes.
    pub(crate) fn draw(&self, dice: &mut Dice) -> [u8; 768] {
        let mut canvas = Canvas::new();
        for group in &self.groups {
            canvas = canvas.draw(dice.pick(group));
        }
        let palette = self.palette(dice);
        canvas = canvas.shade().outline();
        if dice.chance(self.flips, 4) {
            canvas = canvas.flip();
        }
        canvas.paint(&palette)
    }

    /// Rolls the colours; materials of one figure differ where their choices allow.
    fn palette(&self, dice: &mut Dice) -> Palette {
        let mut palette = Palette::new().with_letter(b'k', *dice.pick(&self.eyes));
        let mut taken = Vec::with_capacity(self.paints.len());
        for (letter, ramps) in self.paints.iter() {
            let ramp = other_than(dice, ramps, &taken);
            palette = palette.with(*letter, ramp);
            taken.push(ramp);
        }
        match (&self.line, taken.first()) {
            (Line::Glow, Some(first)) => palette.with_letter(b'o', first.0),
            _ => palette,
        }
    }
}
