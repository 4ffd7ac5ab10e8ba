//! Food: one piece in the middle, sometimes on a plate.

use super::canvas::{Layer, NOTHING, half};
use super::kind::{Kind, Line};
use super::palette::{
    BLUE, BONE, BROWN, CYAN, EYES, GOLD, GREEN, GREY, LEATHER, LIME, MAGENTA, NIGHT, ORANGE, PINK,
    PURPLE, RED, Ramp, TAN, TEAL, WHITE, YELLOW,
};

mod baked;
mod fruit;
mod meals;
mod sweets;

/// Fruit and vegetables.
const FRESH: &[(u8, &[Ramp])] = &[
    (b'b', &[RED, ORANGE, YELLOW, LIME, GREEN, PURPLE, MAGENTA, PINK]),
    (b'l', &[GREEN, LIME, TEAL, BROWN]),
    PLATES,
    NAPKINS,
];
/// Yellow, long things.
const GOLDEN: &[(u8, &[Ramp])] = &[
    (b'b', &[YELLOW, GOLD, ORANGE, LIME, RED, PURPLE]),
    (b'l', &[GREEN, LIME, TEAL, BROWN]),
    PLATES,
    NAPKINS,
];
/// Baked or fried, with something on top.
const WARM: &[(u8, &[Ramp])] = &[
    (b'b', &[TAN, BROWN, GOLD, ORANGE, LEATHER]),
    (b't', &[RED, YELLOW, GREEN, LIME, ORANGE, WHITE, PINK, PURPLE]),
    (b'l', &[GREEN, LIME, RED, YELLOW]),
    PLATES,
    NAPKINS,
];
/// Fried meat.
const MEAT: &[(u8, &[Ramp])] = &[(b'b', &[RED, BROWN, PINK, LEATHER]), PLATES, NAPKINS];
/// With cream or icing.
const SWEET: &[(u8, &[Ramp])] = &[
    (b'b', &[TAN, BROWN, GOLD, LEATHER, BONE]),
    (b't', &[PINK, WHITE, BROWN, CYAN, LIME, YELLOW, PURPLE, RED, ORANGE, MAGENTA]),
    (b'l', &[RED, YELLOW, GREEN, BLUE]),
    PLATES,
    NAPKINS,
];
/// From the sea.
const FISHY: &[(u8, &[Ramp])] = &[
    (b'b', &[BLUE, CYAN, TEAL, ORANGE, RED, PINK, GREY, GOLD]),
    (b't', &[ORANGE, YELLOW, WHITE, RED, NIGHT, LIME]),
    (b'l', &[GREEN, LIME, YELLOW]),
    PLATES,
    NAPKINS,
];
const PLATES: (u8, &[Ramp]) = (b'm', &[WHITE, CYAN, BROWN, GREY, PINK, TEAL]);
const NAPKINS: (u8, &[Ramp]) = (b'g', &[RED, BLUE, GREEN, GOLD, WHITE, PURPLE]);

pub(super) const KINDS: &[Kind] = &[
    food(&[SERVED, fruit::APPLE, fruit::BITES], FRESH),
    food(&[SERVED, fruit::CHERRY], FRESH),
    food(&[SERVED, fruit::PEAR, fruit::BITES], FRESH),
    food(&[SERVED, fruit::BANANA], GOLDEN),
    food(&[SERVED, fruit::GRAPES], FRESH),
    food(&[SERVED, fruit::CARROT], GOLDEN),
    food(&[SERVED, fruit::MELON], FRESH),
    food(&[SERVED, fruit::STRAWBERRY], FRESH),
    food(&[SERVED, fruit::TOMATO], FRESH),
    food(&[SERVED, fruit::MUSHROOM], WARM),
    food(&[SERVED, baked::BREAD], WARM),
    food(&[SERVED, baked::CHEESE], GOLDEN),
    food(&[SERVED, meals::DRUMSTICK], WARM),
    food(&[SERVED, meals::STEAK], MEAT),
    food(&[SERVED, meals::FISH], FISHY),
    food(&[SERVED, meals::EGG], WARM),
    food(&[SERVED, baked::BURGER], WARM),
    food(&[SERVED, baked::PIZZA], WARM),
    food(&[meals::SOUP, meals::STEAM], WARM),
    food(&[SERVED, meals::SUSHI], FISHY),
    food(&[SERVED, baked::TACO], WARM),
    food(&[SERVED, sweets::CUPCAKE], SWEET),
    food(&[SERVED, sweets::CAKE], SWEET),
    food(&[sweets::CONE], SWEET),
    food(&[SERVED, sweets::DONUT, sweets::SPRINKLES], SWEET),
    food(&[sweets::LOLLY], SWEET),
    food(&[SERVED, sweets::COOKIE], SWEET),
    food(&[SERVED, sweets::PUDDING], SWEET),
];

const fn food(
    groups: &'static [&'static [Layer]],
    paints: &'static [(u8, &'static [Ramp])],
) -> Kind {
    Kind { groups, paints, eyes: &EYES, flips: 2, line: Line::Ink }
}

/// Plates and boards below the food.
const SERVED: &[Layer] = &[
    NOTHING,
    half! { 12:
        ".mMmmmmm"
        "..333333"
    },
    half! { 12:
        ".gGggggg"
        ".gmgmgmg"
        "..g.g.g."
    },
    // A wooden board.
    half! { 12:
        ".mMmmmmm"
        ".3333333"
    },
];
