//! Notes on data: what was left out, and what was amiss with what was read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::DataError;

/// A note on data. It is printed, and does not stop the work.
#[derive(Debug)]
#[non_exhaustive]
pub enum Note {
    /// A file or folder that was left out, and why.
    LeftOut(DataError),
    /// Files and folders that hold no picture, counted.
    Others(Others),
    /// Pictures that were read although something is amiss.
    Remark {
        /// What is amiss.
        remark: String,
        /// The first such picture.
        first: PathBuf,
        /// Number of such pictures.
        count: usize,
    },
    /// The kind of dataset that a path was found to be.
    Found {
        /// The path.
        path: PathBuf,
        /// The kind.
        kind: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(error) => write!(f, "left out: {error}"),
            Self::Others(others) => write!(f, "left out: {others}"),
            Self::Remark { remark, first, count: 1 } => write!(f, "{}: {remark}", first.display()),
            Self::Remark { remark, first, count } => {
                write!(f, "{count} pictures: {remark}; the first is {}", first.display())
            }
            Self::Found { path, kind } => write!(f, "{}: found {kind}", path.display()),
        }
    }
}

/// Files and folders that were left out, counted by their ending or kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    counts: BTreeMap<String, usize>,
}

impl Others {
    /// Counts a file by its ending.
    pub(crate) fn add_file(&mut self, name: &Path) {
        match name.extension() {
            Some(ending) => self.add(&format!(".{}", ending.to_string_lossy().to_lowercase())),
            None => self.add("without an ending"),
        }
    }

    /// Counts a file or folder of a kind.
    pub(crate) fn add(&mut self, kind: &str) {
        *self.counts.entry(kind.to_owned()).or_default() += 1;
    }

    /// The endings and kinds.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }

    /// True if nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The note, if anything was counted.
    pub(crate) fn note(self) -> Option<Note> {
        (!self.is_empty()).then_some(Note::Others(self))
    }
}

impl fmt::Display for Others {
    /// As in `37 .txt, 2 .json`, the most frequent first; at most 20 kinds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 20;
        let mut sorted: Vec<_> = self.counts.iter().collect();
        sorted.sort_by_key(|&(_, &count)| std::cmp::Reverse(count));
        let shown = sorted.iter().take(MOST).map(|(kind, count)| format!("{count} {kind}"));
        let mut shown: Vec<String> = shown.collect();
        let more: usize = sorted.iter().skip(MOST).map(|&(_, &count)| count).sum();
        if more > 0 {
            shown.push(format!("{more} of other kinds"));
        }
        write!(f, "{}", shown.join(", "))
    }
}

/// Remarks on pictures, those of one text together.
#[derive(Debug, Default)]
pub(crate) struct Remarks(BTreeMap<String, (PathBuf, usize)>);

impl Remarks {
    pub fn add(&mut self, path: &Path, remarks: Vec<String>) {
        for remark in remarks {
            self.0.entry(remark).or_insert_with(|| (path.to_path_buf(), 0)).1 += 1;
        }
    }

    pub fn notes(self) -> impl Iterator<Item = Note> {
        let note = |(remark, (first, count))| Note::Remark { remark, first, count };
        self.0.into_iter().map(note)
    }
}
