//! Which part of the images a machine of several makes.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Part `index` of `of`, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            Some((index, of)) if of > 0 => {
                Err(format!("part {index} of {of}: expected I/N with I from 0 to {}", of - 1))
            }
            _ => Err("expected I/N with I from 0 to N-1, such as 0/4 for the first of four".into()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Shard {
    /// How many parts there are.
    pub fn of(self) -> usize {
        self.of
    }

    /// This part of `count` things in a row: the parts are as even as can be.
    pub fn part(self, count: usize) -> Range<usize> {
        let edge = |i: usize| (count as u128 * i as u128 / self.of as u128) as usize;
        edge(self.index)..edge(self.index + 1)
    }

    /// `x.npz` as `x.0-of-4.npz`.
    pub fn name(self, path: &Path) -> PathBuf {
        let mut name = path.file_stem().unwrap_or_default().to_os_string();
        name.push(format!(".{}-of-{}", self.index, self.of));
        if let Some(ending) = path.extension() {
            name.push(".");
            name.push(ending);
        }
        path.with_file_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_without_overlap() {
        for (count, of) in [(1, 1), (10, 4), (4, 4), (782, 7), (usize::MAX, 3)] {
            let mut next = 0;
            for index in 0..of {
                let part = Shard { index, of }.part(count);
                assert_eq!(part.start, next);
                assert!(!part.is_empty() && part.len() <= count.div_ceil(of));
                next = part.end;
            }
            assert_eq!(next, count);
        }
    }

    #[test]
    fn only_parts_that_there_are_can_be_named() {
        let shard: Shard = "3/4".parse().expect("a part");
        assert_eq!(shard.name(Path::new("a/x.npz")), Path::new("a/x.3-of-4.npz"));
        assert_eq!(shard.to_string(), "3/4");
        for text in ["4/4", "0/0", "1", "a/b", "-1/4", "1/", "/4", "1/2/3", ""] {
            let error = text.parse::<Shard>().expect_err("no part");
            assert!(error.contains("I/N"), "{text}: {error}");
        }
    }
}
