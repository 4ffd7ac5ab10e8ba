//! Parts and colours of people in profile: facing right, one eye, a nose, feet on row 14.

use super::canvas::Layer;
use super::kind::{Kind, Line};
use super::palette::{BROWN, CLOTH, EYES, GOLD, GREY, HAIR, LEATHER, NIGHT, Ramp, SKIN, STEEL};

mod bodies;
mod gear;
mod hats;
mod heads;

pub(super) const KINDS: &[Kind] = &[
    walker(&[gear::BEHIND, bodies::ALL, heads::FACES, heads::HAIR, heads::BEARDS, gear::HELD]),
    walker(&[
        gear::BEHIND,
        bodies::ALL,
        heads::FACES,
        heads::UNDER_HATS,
        hats::ALL,
        heads::BEARDS,
        gear::HELD,
    ]),
];

const fn walker(groups: &'static [&'static [Layer]]) -> Kind {
    const PAINTS: &[(u8, &[Ramp])] = &[
        (b's', &SKIN),
        (b'h', &HAIR),
        (b't', &CLOTH),
        (b'b', &CLOTH),
        (b'l', &[LEATHER, BROWN, NIGHT]),
        (b'm', &[STEEL, GREY]),
        (b'g', &[GOLD]),
    ];
    Kind { groups, paints: PAINTS, eyes: &EYES, flips: 1, line: Line::Ink }
}
