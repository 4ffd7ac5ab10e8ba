//! Parts and colours of magic: bright shapes with a coloured rim, sparks around them.

use super::canvas::{Layer, NOTHING, full};
use super::kind::{Kind, Line};
use super::palette::{BROWN, CYAN, GOLD, Ramp, Rgb, STEEL, VIVID, WHITE, YELLOW, rgb};

mod elements;
mod shapes;
mod tools;

const BRIGHT: &[(u8, &[Ramp])] = &[
    (b'b', &VIVID),
    (b't', &VIVID),
    (b'g', &[YELLOW, CYAN, WHITE]),
    (b'l', &[BROWN]),
    (b'm', &[STEEL, GOLD]),
];

/// Sparks.
const SPARKS: [Rgb; 4] = [rgb(0xfcd848), rgb(0x50c8f8), rgb(0xf868b0), rgb(0x98e050)];

pub(super) const KINDS: &[Kind] = &[
    spell(&[SPARKLES, elements::FIREBALL]),
    spell(&[SPARKLES, elements::FLAME]),
    spell(&[SPARKLES, elements::ICE]),
    spell(&[SPARKLES, elements::BOLT]),
    spell(&[SPARKLES, elements::DROP]),
    spell(&[SPARKLES, elements::TORNADO]),
    spell(&[SPARKLES, shapes::ORB, shapes::CORES]),
    spell(&[SPARKLES, shapes::SWIRL]),
    spell(&[SPARKLES, shapes::STAR, shapes::HEARTS_OF_STARS]),
    spell(&[SPARKLES, shapes::RING, shapes::RUNES]),
    spell(&[SPARKLES, shapes::CRESCENT]),
    spell(&[SPARKLES, shapes::HEART]),
    spell(&[SPARKLES, shapes::SNOW]),
    spell(&[SPARKLES, tools::ARROW]),
    spell(&[SPARKLES, tools::WAND]),
    spell(&[SPARKLES, tools::POTION]),
    spell(&[SPARKLES, tools::SCROLL]),
    spell(&[SPARKLES, tools::SWORD]),
];

const fn spell(groups: &'static [&'static [Layer]]) -> Kind {
    Kind { groups, paints: BRIGHT, eyes: &SPARKS, flips: 2, line: Line::Glow }
}

const SPARKLES: &[Layer] = &[
    NOTHING,
    full! { 1:
        ".k............k."
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        ".k............k."
    },
    full! { 1:
        "..............k."
        "................"
        ".k.............."
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "..............k."
        "................"
        ".k.............."
    },
    full! { 1:
        ".k.............."
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "..............k."
    },
    full! { 1:
        "..............k."
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        ".k.............."
    },
    full! { 1:
        ".k............k."
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
        "................"
    },
];
