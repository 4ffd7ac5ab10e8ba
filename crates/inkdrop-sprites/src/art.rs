//! The art: colours, parts and figures, read from assets/sprites.txt.
//!
//! ```text
//! ramp NAME DARK MIDDLE LIGHT         a material in three tones, as rrggbb
//! eyes NAME COLOUR…
//! paints NAME                         then lines of a letter and the ramps it comes in
//! part NAME                           then one layer
//! group NAME                          then layers: half TOP or full TOP with rows of letters,
//!                                     `use PART`, or `nothing`
//! kind CLASS LINE FLIPS EYES PAINTS GROUP…
//! ```

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::Class;
use crate::canvas::Layer;
use crate::kind::{Kind, Line, Paints};
use crate::palette::{Ramp, Rgb, rgb};

const TEXT: &str = include_str!("../assets/sprites.txt");

/// The kinds of figures of each class.
static KINDS: LazyLock<[Vec<Kind>; 5]> =
    LazyLock::new(|| read(TEXT).expect("the art is valid, a test reads it"));

/// The kinds of figures of a class.
pub(crate) fn kinds(class: Class) -> &'static [Kind] {
    &KINDS[class.index()]
}

/// What the lines so far have named.
#[derive(Default)]
struct Art {
    ramps: HashMap<&'static str, Ramp>,
    eyes: HashMap<&'static str, Arc<Vec<Rgb>>>,
    paints: HashMap<&'static str, Paints>,
    groups: HashMap<&'static str, Vec<Layer>>,
}

/// Reads the art; the error is the line that means nothing.
fn read(text: &'static str) -> Result<[Vec<Kind>; 5], &'static str> {
    let (mut art, mut kinds) = (Art::default(), <[Vec<Kind>; 5]>::default());
    // The paints or the group that the next lines belong to.
    let mut open = "";
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&'static str> = line.split_whitespace().collect();
        let done = match words[..] {
            ["kind", class, ..] => match (place(class), art.kind(&words)) {
                (Some(place), Some(kind)) => {
                    kinds[place].push(kind);
                    Some(())
                }
                _ => None,
            },
            ["part" | "group" | "paints", name] => {
                open = name;
                Some(())
            }
            _ => art.line(open, &words),
        };
        done.ok_or(line)?;
    }
    Ok(kinds)
}

/// Index of a class by its name in the art.
fn place(class: &str) -> Option<usize> {
    ["hero", "monster", "food", "spell", "side"].iter().position(|name| *name == class)
}

fn colour(text: &str) -> Option<Rgb> {
    u32::from_str_radix(text, 16).ok().map(rgb)
}

impl Art {
    /// Reads a line that names nothing below it.
    fn line(&mut self, open: &'static str, words: &[&'static str]) -> Option<()> {
        match *words {
            ["ramp", name, dark, middle, light] => {
                let ramp = Ramp(colour(dark)?, colour(middle)?, colour(light)?);
                self.ramps.insert(name, ramp);
            }
            ["eyes", name, ref colours @ ..] => {
                let colours = colours.iter().map(|text| colour(text)).collect::<Option<_>>()?;
                self.eyes.insert(name, Arc::new(colours));
            }
            ["nothing"] => self.group(open).push(Layer::default()),
            ["use", part] => {
                let layer = self.groups.get(part)?.first()?.clone();
                self.group(open).push(layer);
            }
            [half @ ("half" | "full"), top] => {
                let (top, mirrored) = (top.parse().ok()?, half == "half");
                self.group(open).push(Layer { top, mirrored, rows: Vec::new() });
            }
            [row] => self.group(open).last_mut()?.rows.push(row),
            [letter, ref names @ ..] if letter.len() == 1 => {
                let ramps = names.iter().map(|name| self.ramps.get(name).copied());
                let ramps = ramps.collect::<Option<_>>()?;
                self.paints.entry(open).or_default().push((letter.as_bytes()[0], ramps));
            }
            _ => return None,
        }
        Some(())
    }

    fn group(&mut self, name: &'static str) -> &mut Vec<Layer> {
        self.groups.entry(name).or_default()
    }

    fn kind(&self, words: &[&'static str]) -> Option<Kind> {
        let ["kind", _, line, flips, eyes, paints, ref groups @ ..] = *words else { return None };
        let group = |name: &&'static str| Some(Arc::new(self.groups.get(name)?.clone()));
        Some(Kind {
            groups: groups.iter().map(group).collect::<Option<_>>()?,
            paints: Arc::new(self.paints.get(paints)?.clone()),
            eyes: self.eyes.get(eyes)?.clone(),
            flips: flips.parse().ok()?,
            line: match line {
                "ink" => Line::Ink,
                "glow" => Line::Glow,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_fits_its_sprite() {
        let kinds = read(TEXT).expect("valid art");
        for (class, kinds) in kinds.iter().enumerate() {
            assert!(!kinds.is_empty());
            for (k, kind) in kinds.iter().enumerate() {
                for (g, group) in kind.groups.iter().enumerate() {
                    for (i, layer) in group.iter().enumerate() {
                        assert!(layer.fits(), "class {class}, kind {k}, group {g}, layer {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_that_means_nothing_is_named() {
        for line in [
            "ramp RED 9c1c30 dc3a3c",
            "ramp RED 9c1c30 dc3a3c red",
            "eyes EYES none",
            "b RED",
            "........",
            "use nothing.there",
            "half top",
            "kind hero ink 0 EYES PAINTS",
            "kind dragon ink 0 EYES PAINTS",
            "something else entirely",
        ] {
            assert_eq!(read(line).err(), Some(line));
        }
    }
}
