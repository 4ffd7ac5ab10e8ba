//! Where a file's bytes come from.

use std::io::{BufRead, Seek};

/// A file or memory: read in pieces, from any place.
pub(crate) trait Source: BufRead + Seek {}

impl<T: BufRead + Seek> Source for T {}

/// The formats that are read, for messages about files that have none of them.
pub(crate) const EXPECTED: &str =
    "expected safetensors, a state_dict as torch.save writes it (.pt, .pth), or .npz";
