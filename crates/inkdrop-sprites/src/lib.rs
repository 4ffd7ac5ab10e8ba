#![doc = include_str!("../README.md")]

mod art;
mod canvas;
mod dice;
mod kind;
mod palette;

use dice::Dice;

/// The names of the five classes, in label order.
pub const CLASSES: [&str; 5] = ["hero", "non-hero", "food", "spell", "side-facing"];

/// Rows and columns of a sprite.
pub const SIZE: usize = 16;

const BYTES: usize = SIZE * SIZE * 3;

/// The class of a sprite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A person seen from the front.
    Hero,
    /// A monster.
    NonHero,
    /// Something to eat.
    Food,
    /// Magic: flames, orbs, bolts, potions.
    Spell,
    /// A person in profile.
    SideFacing,
}

impl Class {
    /// All classes, in label order.
    pub const ALL: [Class; 5] =
        [Class::Hero, Class::NonHero, Class::Food, Class::Spell, Class::SideFacing];

    /// The class's place in [`CLASSES`], 0 to 4.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The class's name, one of [`CLASSES`].
    pub fn name(self) -> &'static str {
        CLASSES[self.index()]
    }

    /// The class of a name.
    ///
    /// # Errors
    /// The name is not one of [`CLASSES`].
    pub fn from_name(name: &str) -> Result<Self, UnknownClass> {
        let found = Self::ALL.into_iter().find(|class| class.name() == name);
        found.ok_or_else(|| UnknownClass { given: name.to_owned() })
    }
}

/// The error for a name that is no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown sprite class `{given}`, expected one of {}", CLASSES.join(", "))]
pub struct UnknownClass {
    /// The name.
    pub given: String,
}

/// One sprite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sprite {
    /// The class.
    pub class: Class,
    /// `[16, 16, 3]`, row-major bytes; the paper is white (255).
    pub pixels: [u8; BYTES],
}

/// Draws sprite `index` of `seed`; its class is number `index % 5`.
///
/// A pure function: the same bytes on every platform and in every release of one major version.
pub fn sprite(seed: u64, index: u64) -> Sprite {
    let class = Class::ALL[(index % 5) as usize];
    let mut dice = Dice::new(seed, index);
    let pixels = dice.pick(art::kinds(class)).draw(&mut dice);
    Sprite { class, pixels }
}
