//! Parts and colours of heroes: a person seen from the front, feet on row 14.

use super::canvas::{Layer, NOTHING, half};
use super::kind::{Kind, Line};
use super::palette::{BROWN, CLOTH, EYES, GOLD, GREY, HAIR, LEATHER, NIGHT, Ramp, SKIN, STEEL};

mod gear;
mod hair;
mod hats;
mod outfits;

const METAL: [Ramp; 3] = [STEEL, GREY, STEEL];
const BOOTS: [Ramp; 3] = [LEATHER, BROWN, NIGHT];

pub(super) const KINDS: &[Kind] = &[
    person(&[gear::CAPES, HEADS, outfits::ALL, hair::ALL, BEARDS, gear::WEAPONS, gear::SHIELDS]),
    person(&[
        gear::CAPES,
        HEADS,
        outfits::ALL,
        hair::UNDER_HATS,
        hats::ALL,
        BEARDS,
        gear::WEAPONS,
        gear::SHIELDS,
    ]),
];

const fn person(groups: &'static [&'static [Layer]]) -> Kind {
    const PAINTS: &[(u8, &[Ramp])] = &[
        (b's', &SKIN),
        (b'h', &HAIR),
        (b't', &CLOTH),
        (b'b', &CLOTH),
        (b'l', &BOOTS),
        (b'm', &METAL),
        (b'g', &[GOLD]),
    ];
    Kind { groups, paints: PAINTS, eyes: &EYES, flips: 0, line: Line::Ink }
}

const HEADS: &[Layer] = &[
    half! { 2:
        "....ssss"
        "...sSSss"
        "...sSsss"
        "...sssss"
        "...ssoss"
        "...sskss"
        "....5sss"
    },
    // Pointed ears.
    half! { 2:
        "....ssss"
        "...sSSss"
        "...sSsss"
        ".s.sssss"
        "..sssoss"
        "...sskss"
        "....5sss"
    },
    // Blushing.
    half! { 2:
        "....ssss"
        "...sSSss"
        "...sSsss"
        "...sssss"
        "...ssoss"
        "...s5kss"
        "....ssss"
    },
];

const BEARDS: &[Layer] = &[
    NOTHING,
    NOTHING,
    NOTHING,
    NOTHING,
    NOTHING,
    NOTHING,
    half! { 7:
        "...h..hh"
        "...4hhhh"
        "....4hhh"
    },
    half! { 7:
        "......hh"
    },
];
