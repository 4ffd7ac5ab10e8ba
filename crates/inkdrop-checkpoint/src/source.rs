//! Byte source of the readers.

use std::io::{BufRead, Seek};

/// A file or memory, with random access.
pub(crate) trait Source: BufRead + Seek {}

impl<T: BufRead + Seek> Source for T {}

/// The supported formats, for error messages.
pub(crate) const EXPECTED: &str = "expected safetensors, a state_dict as torch.save writes it (.pt, .pth), a network snapshot of EDM (.pkl), or .npz";
