//! Random figures of a kind: one part from each group, one colour for each material.

use super::canvas::{Canvas, Layer};
use super::dice::Dice;
use super::palette::{Palette, Ramp, Rgb, other_than};

/// A kind of figure.
pub(super) struct Kind {
    /// One part of each group is drawn, the first group at the bottom.
    pub(super) groups: &'static [&'static [Layer]],
    /// The colours that each material (by its middle letter) comes in.
    pub(super) paints: &'static [(u8, &'static [Ramp])],
    /// The colours of the letter `k`: eyes, sparks.
    pub(super) eyes: &'static [Rgb],
    /// Number of cases out of four in which left and right are exchanged.
    pub(super) flips: usize,
    /// Colour of the line around the figure.
    pub(super) line: Line,
}

/// The line around a figure.
pub(super) enum Line {
    /// Ink.
    Ink,
    /// The dark tone of the first material: figures that glow.
    Glow,
}

impl Kind {
    /// Rolls one figure: `[16, 16, 3]` bytes.
    pub(super) fn draw(&self, dice: &mut Dice) -> [u8; 768] {
        let mut canvas = Canvas::new();
        for group in self.groups {
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
        let mut palette = Palette::new().with_letter(b'k', *dice.pick(self.eyes));
        let mut taken = Vec::with_capacity(self.paints.len());
        for &(letter, ramps) in self.paints {
            let ramp = other_than(dice, ramps, &taken);
            palette = palette.with(letter, ramp);
            taken.push(ramp);
        }
        match (&self.line, taken.first()) {
            (Line::Glow, Some(first)) => palette.with_letter(b'o', first.0),
            _ => palette,
        }
    }
}
