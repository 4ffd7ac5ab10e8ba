//! Generated dataset: 16 × 16 role-playing figures in five classes, on white.

mod canvas;
mod dice;
mod food;
mod hero;
mod kind;
mod monster;
mod palette;
mod side;
mod spell;

use ndarray::{Array2, Array4};

use crate::{DataError, Images, InMemoryDataset, Labels};
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
    /// [`DataError::Unknown`] if the name is not one of [`CLASSES`].
    pub fn from_name(name: &str) -> Result<Self, DataError> {
        let found = Self::ALL.into_iter().find(|class| class.name() == name);
        found.ok_or_else(|| DataError::Unknown {
            what: "sprite class",
            given: name.to_owned(),
            expected: CLASSES.join(", "),
        })
    }
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
    let kinds = match class {
        Class::Hero => hero::KINDS,
        Class::NonHero => monster::KINDS,
        Class::Food => food::KINDS,
        Class::Spell => spell::KINDS,
        Class::SideFacing => side::KINDS,
    };
    let pixels = dice.pick(kinds).draw(&mut dice);
    Sprite { class, pixels }
}

/// Draws sprites 0 to `count` − 1 of `seed`, labelled with one-hot contexts `[count, 5]`.
pub fn dataset(seed: u64, count: usize) -> InMemoryDataset {
    let mut pixels = Array4::zeros((count, SIZE, SIZE, 3));
    let mut context = Array2::zeros((count, CLASSES.len()));
    for (index, mut image) in pixels.outer_iter_mut().enumerate() {
        let sprite = sprite(seed, index as u64);
        image.iter_mut().zip(sprite.pixels).for_each(|(to, from)| *to = from);
        context[[index, sprite.class.index()]] = 1.0;
    }
    // Lengths and shapes agree by construction.
    InMemoryDataset { images: Images::of_rgb(pixels), labels: Labels::Context(context) }
}

#[cfg(test)]
mod tests {
    use super::{food, hero, monster, side, spell};

    #[test]
    fn every_template_fits_its_sprite() {
        let kinds = [hero::KINDS, monster::KINDS, food::KINDS, spell::KINDS, side::KINDS];
        for (class, kinds) in kinds.iter().enumerate() {
            for (k, kind) in kinds.iter().enumerate() {
                for (g, group) in kind.groups.iter().enumerate() {
                    for (i, layer) in group.iter().enumerate() {
                        assert!(layer.fits(), "class {class}, kind {k}, group {g}, layer {i}");
                    }
                }
            }
        }
    }
}
