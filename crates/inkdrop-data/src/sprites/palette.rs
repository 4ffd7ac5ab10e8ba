//! Colours of sprites.

use super::dice::Dice;

/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

/// One material in three tones: dark, middle, light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ramp(pub(super) Rgb, pub(super) Rgb, pub(super) Rgb);

impl Ramp {
    /// True if the middle tones differ enough to distinguish two materials.
    fn differs_from(&self, other: &Ramp) -> bool {
        let steps = self.1.iter().zip(other.1).map(|(a, b)| u32::from(a.abs_diff(b)));
        steps.sum::<u32>() >= 90
    }
}

const fn ramp(dark: u32, middle: u32, light: u32) -> Ramp {
    Ramp(rgb(dark), rgb(middle), rgb(light))
}

pub(super) const fn rgb(hex: u32) -> Rgb {
    let [_, r, g, b] = hex.to_be_bytes();
    [r, g, b]
}

pub(super) const RED: Ramp = ramp(0x9c1c30, 0xdc3a3c, 0xff8068);
pub(super) const ORANGE: Ramp = ramp(0xb4501a, 0xf08424, 0xffbc60);
pub(super) const YELLOW: Ramp = ramp(0xc4841c, 0xf6c52c, 0xfff08a);
pub(super) const LIME: Ramp = ramp(0x4e8420, 0x90cc34, 0xd0f47a);
pub(super) const GREEN: Ramp = ramp(0x1e6c40, 0x36a850, 0x84dc78);
pub(super) const TEAL: Ramp = ramp(0x12646c, 0x22a494, 0x74e0c4);
pub(super) const CYAN: Ramp = ramp(0x2078ac, 0x3cb8e8, 0xa0ecfc);
pub(super) const BLUE: Ramp = ramp(0x263e9c, 0x426ee4, 0x8cb2ff);
pub(super) const INDIGO: Ramp = ramp(0x3a2884, 0x6848cc, 0xaa90f8);
pub(super) const PURPLE: Ramp = ramp(0x602484, 0xa044c8, 0xda92f4);
pub(super) const MAGENTA: Ramp = ramp(0x901c68, 0xdc3e9c, 0xff90cc);
pub(super) const PINK: Ramp = ramp(0xc05880, 0xf492b4, 0xffccdc);
pub(super) const BROWN: Ramp = ramp(0x5c3820, 0x986434, 0xcc9c60);
pub(super) const TAN: Ramp = ramp(0xa87444, 0xdcac6c, 0xf8dca4);
pub(super) const GREY: Ramp = ramp(0x545c70, 0x8c94a8, 0xc8d0dc);
pub(super) const NIGHT: Ramp = ramp(0x2a2c40, 0x484e68, 0x767e9c);
pub(super) const WHITE: Ramp = ramp(0x98a4c0, 0xdce4f0, 0xfcfcff);
pub(super) const STEEL: Ramp = ramp(0x5c6c88, 0x9cb0c8, 0xe4f0f8);
pub(super) const GOLD: Ramp = ramp(0xb0701c, 0xf0b830, 0xffec90);
pub(super) const LEATHER: Ramp = ramp(0x50301c, 0x80502c, 0xb07c48);
pub(super) const BONE: Ramp = ramp(0xa89c84, 0xe8e0c8, 0xfcfaf0);

/// Saturated colours for cloth, monsters and magic.
pub(super) const VIVID: [Ramp; 12] =
    [RED, ORANGE, YELLOW, LIME, GREEN, TEAL, CYAN, BLUE, INDIGO, PURPLE, MAGENTA, PINK];

/// Everything that cloth is dyed in.
pub(super) const CLOTH: [Ramp; 14] = [
    RED, ORANGE, YELLOW, LIME, GREEN, TEAL, CYAN, BLUE, INDIGO, PURPLE, MAGENTA, WHITE, NIGHT,
    BROWN,
];

/// Skin, from pale to dark.
pub(super) const SKIN: [Ramp; 5] = [
    ramp(0xe09c7c, 0xfcd0a8, 0xffe8cc),
    ramp(0xcc8058, 0xf4b884, 0xffd8ac),
    ramp(0xa86440, 0xdc9c64, 0xf4c090),
    ramp(0x804828, 0xb4744c, 0xd49c70),
    ramp(0x583020, 0x845038, 0xac7454),
];

/// Hair, natural and dyed.
pub(super) const HAIR: [Ramp; 10] =
    [BROWN, NIGHT, GOLD, ORANGE, RED, WHITE, LEATHER, BLUE, GREEN, PURPLE];

/// The line around every figure.
pub(super) const INK: Rgb = rgb(0x1c1830);

const WHITE_PAPER: Rgb = [255; 3];

/// The letters of the seven materials: middle, light and dark tone of each.
///
/// skin `sS5`, hair `hH4`, tunic or topping `tT7`, body `bB8`, leather or leaf `lL1`,
/// metal `mM3`, gold or garnish `gG6`.
pub(super) const MATERIALS: [[u8; 3]; 7] =
    [*b"sS5", *b"hH4", *b"tT7", *b"bB8", *b"lL1", *b"mM3", *b"gG6"];

/// The colour of each letter of a template.
pub(super) struct Palette([Rgb; 128]);

impl Palette {
    /// `.` paper, `o` ink, `w` white, `k` eyes; materials are gray until they get colours.
    pub(super) fn new() -> Self {
        let mut palette = Self([INK; 128]);
        palette.0[b'.' as usize] = WHITE_PAPER;
        palette.0[b'w' as usize] = rgb(0xfcfcff);
        MATERIALS.iter().fold(palette, |palette, letters| palette.with(letters[0], GREY))
    }

    /// Paints the material of middle letter `letter` with `ramp`.
    pub(super) fn with(mut self, letter: u8, ramp: Ramp) -> Self {
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
    pub(super) fn with_letter(mut self, letter: u8, colour: Rgb) -> Self {
        self.0[usize::from(letter & 127)] = colour;
        self
    }

    /// The colour of a letter.
    pub(super) fn colour(&self, letter: u8) -> Rgb {
        self.0[usize::from(letter & 127)]
    }
}

/// One of `ramps` that stands out from all that are `taken`, or any where none does.
pub(super) fn other_than(dice: &mut Dice, ramps: &[Ramp], taken: &[Ramp]) -> Ramp {
    let start = dice.below(ramps.len());
    let mut rotated = ramps.iter().cycle().skip(start).take(ramps.len());
    *rotated
        .find(|ramp| taken.iter().all(|other| ramp.differs_from(other)))
        .unwrap_or(&ramps[start])
}

/// Dark eye colours.
pub(super) const EYES: [Rgb; 4] = [INK, rgb(0x2c4cac), rgb(0x20683c), rgb(0x6c3820)];

/// Glowing eye colours.
pub(super) const GLARE: [Rgb; 3] = [rgb(0xe02838), rgb(0xf8d030), rgb(0x1c1830)];
