//! Parts and colours of monsters: nearly all seen from the front, symmetric, feet on row 14.

use super::canvas::Layer;
use super::kind::{Kind, Line};
use super::palette::{
    BONE, BROWN, GLARE, GOLD, GREEN, GREY, LIME, NIGHT, ORANGE, PURPLE, RED, Ramp, STEEL, TAN,
    TEAL, VIVID, WHITE,
};

mod beasts;
mod blobs;
mod folk;

pub(super) const KINDS: &[Kind] = &[
    monster(&[blobs::SLIME, blobs::SLIME_EYES, blobs::CROWNS]),
    monster(&[blobs::GHOST, blobs::GHOST_FACES]),
    monster(&[blobs::EYE, blobs::STALKS, blobs::PUPILS]),
    monster(&[blobs::MUSHROOM, blobs::SPOTS, blobs::STEM_FACES]),
    monster(&[blobs::JELLY, blobs::JELLY_FACES]),
    monster(&[beasts::BAT, beasts::BAT_FACES]),
    monster(&[beasts::SPIDER, beasts::BACKS, beasts::MARKS]),
    monster(&[beasts::DRAGON_WINGS, beasts::DRAGON, beasts::DRAGON_HORNS]),
    monster(&[beasts::CRAB]),
    monster(&[beasts::OWL, beasts::OWL_FACES]),
    monster(&[beasts::CAT, beasts::CAT_FACES]),
    undead(&[folk::SKELETON, folk::SKELETON_GEAR]),
    monster(&[folk::GOBLIN, folk::GOBLIN_FACES, folk::CLUBS]),
    monster(&[folk::IMP_WINGS, folk::IMP, folk::IMP_HORNS]),
    monster(&[folk::ROBOT, folk::ANTENNAS, folk::SCREENS]),
    monster(&[folk::GOLEM, folk::GOLEM_EYES]),
    undead(&[folk::MUMMY, folk::MUMMY_EYES]),
];

const ANY: &[(u8, &[Ramp])] =
    &[(b'b', &VIVID), (b't', &TRIM), (b'm', &PLATES), (b'l', &[BROWN, NIGHT]), (b'g', &[GOLD])];
const TRIM: [Ramp; 10] = [RED, ORANGE, GOLD, LIME, GREEN, TEAL, PURPLE, WHITE, NIGHT, BROWN];
const PLATES: [Ramp; 2] = [STEEL, GREY];

const PALE: &[(u8, &[Ramp])] = &[
    (b'b', &[BONE, WHITE, TAN, TEAL]),
    (b't', &TRIM),
    (b'm', &PLATES),
    (b'l', &[BROWN]),
    (b'g', &[GOLD]),
];

const fn monster(groups: &'static [&'static [Layer]]) -> Kind {
    Kind { groups, paints: ANY, eyes: &GLARE, flips: 1, line: Line::Ink }
}

const fn undead(groups: &'static [&'static [Layer]]) -> Kind {
    Kind { groups, paints: PALE, eyes: &GLARE, flips: 1, line: Line::Ink }
}
