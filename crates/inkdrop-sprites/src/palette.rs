//! Colours of sprites.

use super::dice::Dice;

/// Red, green, blue.
pub(crate) type Rgb = [u8; 3];

/// One material in three tones: dark, middle, light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ramp(pub(crate) Rgb, pub(crate) Rgb, pub(crate) Rgb);

impl Ramp {
    /// True if the middle tones differ enough to distinguish two materials.
    fn differs_from(&self, other: &Ramp) -> bool {
        let steps = self.1.iter().zip(other.1).map(|(a, b)| u32::from(a.abs_diff(b)));
        steps.sum::<u32>() >= 90
    }
}

/// The colour of `0xrrggbb`.
pub(crate) const fn rgb(hex: u32) -> Rgb {
    let [_, r, g, b] = hex.to_be_bytes();
    [r, g, b]
}

/// Gray, for materials without colours.
const GREY: Ramp = Ramp(rgb(0x545c70), rgb(0x8c94a8), rgb(0xc8d0dc));

/// The line around every figure.
pub(crate) const INK: Rgb = rgb(0x1c1830);

const WHITE_PAPER: Rgb = [255; 3];

/// The letters of the seven materials: middle, light and dark tone of each.
///
/// skin `sS5`, hair `hH4`, tunic or topping `tT7`, body `bB8`, leather or leaf `lL1`,
/// metal `mM3`, gold or garnish `gG6`.
pub(crate) const MATERIALS: [[u8; 3]; 7] =
    [*b"sS5", *b"hH4", *b"tT7", *b"bB8", *b"lL1", *b"mM3", *b"gG6"];

/// The colour of each letter of a template.
pub(crate) struct Palette([Rgb; 128]);

impl Palette {
    /// `.` paper, `o` ink, `w` white, `k` eyes; materials are gray until they get colours.
    pub(crate) fn new() -> Self {
        let mut palette = Self([INK; 128]);
        palette.0[b'.' as usize] = WHITE_PAPER;
        palette.0[b'w' as usize] = rgb(0xfcfcff);
        MATERIALS.iter().fold(palette, |palette, letters| palette.with(letters[0], GREY))
    }

    /// Paints the material of middle letter `letter` with `ramp`.
    pub(crate) fn with(mut self, letter: u8, ramp: Ramp) -> Self {
        for [middle, light, dark] in MATERIALS {
            if middle == letter {
                self.0[dark as usize] = ramp.0;
                self.0[middle as usize] = ramp.1;
                self.0[light as usize] = ramp.2;
            }
        }
        self
    }

    /// Paints one letter with one colour.
    pub(crate) fn with_letter(mut self, letter: u8, colour: Rgb) -> Self {
        self.0[usize::from(letter & 127)] = colour;
        self
    }

    /// The colour of a letter.
    pub(crate) fn colour(&self, letter: u8) -> Rgb {
        self.0[usize::from(letter & 127)]
    }
}

/// One of `ramps` that stands out from all that are `taken`, or any where none does.
pub(crate) fn other_than(dice: &mut Dice, ramps: &[Ramp], taken: &[Ramp]) -> Ramp {
    let start = dice.below(ramps.len());
    let mut rotated = ramps.iter().cycle().skip(start).take(ramps.len());
    *rotated
        .find(|ramp| taken.iter().all(|other| ramp.differs_from(other)))
        .unwrap_or(&ramps[start])
}
