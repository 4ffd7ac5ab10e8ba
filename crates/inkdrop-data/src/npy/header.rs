//! The header of a NumPy file (.npy), checked against the file's size.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::images::plausible_channels;
use crate::{DataError, Depth};

/// Number of bytes that are searched for the header.
const PREFIX: u64 = 1 << 20;

const MAGIC: &[u8] = b"\x93NUMPY";

/// A file with its checked header.
#[derive(Debug)]
pub(super) struct Head {
    path: PathBuf,
    header: Header,
}

impl Head {
    /// Reads the header of a file.
    pub(super) fn open(path: &Path) -> Result<(Self, File), DataError> {
        let unread = |source| DataError::read(path, source);
        let file = File::open(path).map_err(unread)?;
        let length = file.metadata().map_err(unread)?.len();
        let mut start = Vec::new();
        (&file).take(PREFIX).read_to_end(&mut start).map_err(unread)?;
        Ok((Self::new(path, &start, length)?, file))
    }

    /// Checks the header at the start of a file of `length` bytes.
    fn new(path: &Path, start: &[u8], length: u64) -> Result<Self, DataError> {
        let header = Header::parse(start).map_err(|problem| DataError::file(path, problem))?;
        let head = Self { path: path.to_path_buf(), header };
        if head.header.fortran && head.shape().len() > 1 {
            return Err(head.unlike("C order, not Fortran order; save np.ascontiguousarray(x)"));
        }
        head.check_size(length.saturating_sub(head.start()))?;
        Ok(head)
    }

    fn check_size(&self, found: u64) -> Result<(), DataError> {
        let (shape, size) = (self.shape(), self.kind().size);
        let expected = shape.iter().try_fold(size, |product, &side| product.checked_mul(side));
        if expected.is_some_and(|expected| expected as u64 == found) {
            return Ok(());
        }
        let expected = expected.map_or("more than any file holds".to_owned(), |n| n.to_string());
        Err(self.bad_value(format!(
            "{found} bytes of values, expected {expected} for shape {shape:?}; the file is damaged, fetch it again"
        )))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Offset of the values, in bytes.
    pub(super) fn start(&self) -> u64 {
        self.header.start as u64
    }

    /// The lengths of the dimensions.
    pub(super) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The values' type.
    pub(super) fn kind(&self) -> Kind {
        self.header.kind
    }

    /// The shape `[N, H, W, C]` of at least one image, valid for [`Images`](crate::Images).
    pub(super) fn images(&self) -> Result<[usize; 4], DataError> {
        let &[n, h, w, c] = self.shape() else {
            return Err(self.unlike("images [N, H, W, C] of 4 dimensions"));
        };
        if self.kind().letter != 'u' || !matches!(self.kind().size, 1 | 2) {
            let expected = "images of type uint8 or uint16; convert with `.astype('uint8')`, or with \
                            `(255 * x).round().astype('uint8')` from 0 to 1";
            return Err(self.unlike(expected));
        }
        if !plausible_channels(h, c) {
            let expected = "[N, H, W, C] with C 1 (gray), 3 (RGB) or others up to 16; move the channels last with \
                            `.transpose(0, 2, 3, 1)` if they come before the rows";
            return Err(self.unlike(expected));
        }
        if [n, h, w].contains(&0) {
            return Err(self.unlike("at least one image, and none without pixels"));
        }
        Ok([n, h, w, c])
    }

    /// Takes `[H, W]` and `[H, W, C]` as one image `[1, H, W, C]`.
    pub(super) fn as_one_image(&mut self) {
        let shape = &mut self.header.shape;
        if shape.len() == 2 {
            shape.push(1);
        }
        if shape.len() == 3 {
            shape.insert(0, 1);
        }
    }

    /// Bits of the values of images.
    pub(super) fn depth(&self) -> Depth {
        match self.kind().size {
            2 => Depth::Sixteen,
            _ => Depth::Eight,
        }
    }

    /// Values of images as bytes in little-endian order, in place.
    pub(super) fn little_endian(&self, bytes: &mut [u8]) {
        if self.kind().big_endian && self.depth() == Depth::Sixteen {
            bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
        }
    }

    /// S of rows `[N, 3·S·S]` of planes, at least one.
    pub(super) fn planes(&self) -> Result<usize, DataError> {
        let expected = "rows of planes [N, 3 * S * S] of type uint8, as [N, 3072] for 32 x 32; or \
                        save images [N, H, W, C] as arr_0, with `.reshape(-1, 3, S, S).transpose(0, 2, 3, 1)`";
        let &[rows, width] = self.shape() else { return Err(self.unlike(expected)) };
        let side = (width / 3).isqrt();
        let is_bytes = (self.kind().letter, self.kind().size) == ('u', 1);
        if !is_bytes || rows == 0 || side == 0 || 3 * side * side != width {
            return Err(self.unlike(expected));
        }
        Ok(side)
    }

    /// An error about shape and type.
    pub(super) fn unlike(&self, expected: &str) -> DataError {
        let (shape, Kind { letter, size, .. }) = (self.shape(), self.kind());
        self.bad_value(format!("shape {shape:?} of type {letter}{size}, expected {expected}"))
    }

    /// An error about the file's content.
    pub(super) fn bad_value(&self, problem: String) -> DataError {
        DataError::file(&self.path, problem)
    }
}

/// A whole numpy file.
#[derive(Debug)]
pub(super) struct NpyFile {
    /// The header.
    pub(super) head: Head,
    bytes: Vec<u8>,
}

impl NpyFile {
    /// Reads a file; memory is allocated for its size, not for what the header claims.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        Self::of_bytes(path, fs::read(path).map_err(|source| DataError::read(path, source))?)
    }

    /// Parses the bytes of a file.
    pub(super) fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, DataError> {
        Ok(Self { head: Head::new(path, &bytes, bytes.len() as u64)?, bytes })
    }

    /// The values' bytes.
    pub(super) fn data(&self) -> &[u8] {
        self.bytes.get(self.head.header.start..).unwrap_or_default()
    }

    /// The values' bytes, without a copy; those of images in little-endian order.
    pub(super) fn into_data(mut self) -> Vec<u8> {
        self.bytes.drain(..self.head.header.start.min(self.bytes.len()));
        self.head.little_endian(&mut self.bytes);
        self.bytes
    }
}

/// The type of a file's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Numpy's letter: `u`, `i`, `f` or `b`.
    pub(super) letter: char,
    /// Bytes per value: 1, 2, 4 or 8.
    pub(super) size: usize,
    /// True for big-endian values.
    pub(super) big_endian: bool,
}

impl Kind {
    /// Reads names such as `<f8`, `|u1`, `>i4`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut letters = name.chars();
        let big_endian = match letters.next()? {
            '<' | '|' => false,
            '>' => true,
            _ => return None,
        };
        let letter = letters.next().filter(|letter| "uifb".contains(*letter))?;
        let size = letters.as_str().parse().ok().filter(|size| matches!(size, 1 | 2 | 4 | 8))?;
        Some(Self { letter, size, big_endian })
    }
}

/// A plain array's header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Offset of the values.
    pub(super) start: usize,
    /// The lengths of the dimensions.
    pub(crate) shape: Vec<usize>,
    /// The values' type.
    pub(super) kind: Kind,
    /// True for Fortran order: the first index varies fastest.
    pub(super) fortran: bool,
}

impl Header {
    /// Parses a header, versions 1.0 to 3.0 of the format (NumPy enhancement proposal 1).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (text, start) = text(bytes)?;
        let descr = entry(text, "descr")?;
        let kind = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let kind = kind.and_then(|(name, _)| Kind::parse(name));
        let kind = kind.ok_or_else(|| {
            let shown: String = descr.chars().take(40).collect();
            format!("type {shown}, expected plain numbers; convert with `.astype(...)`")
        })?;
        let fortran = match entry(text, "fortran_order")? {
            order if order.starts_with("False") => false,
            order if order.starts_with("True") => true,
            _ => {
                return Err("bad numpy header: expected True or False for fortran_order".to_owned());
            }
        };
        Ok(Self { start, shape: shape(entry(text, "shape")?)?, kind, fortran })
    }
}

/// The header's text, and the offset of the values.
fn text(bytes: &[u8]) -> Result<(&str, usize), String> {
    if bytes.is_empty() {
        return Err("an empty file, expected a numpy array (.npy)".to_owned());
    }
    if !bytes.starts_with(MAGIC) {
        return Err("no numpy array, expected a .npy file as np.save writes it".to_owned());
    }
    let cut = "the file ends within its header; fetch it again";
    let (start, length) = match *bytes.get(6..).and_then(<[u8]>::first_chunk).ok_or(cut)? {
        [1, _, a, b, _, _] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [2 | 3, _, a, b, c, d] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        [major, ..] => return Err(format!("numpy format version {major}, expected 1 to 3")),
    };
    let end = length.saturating_add(start);
    let text = std::str::from_utf8(bytes.get(start..end).ok_or(cut)?);
    text.map(|text| (text, end)).map_err(|_| "bad numpy header: not text".to_owned())
}

/// The text after `'key':`.
fn entry<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let found = text.split_once(&format!("'{key}':"));
    let (_, value) = found.ok_or_else(|| format!("bad numpy header: expected an entry '{key}'"))?;
    Ok(value.trim_start())
}

/// The numbers of `(3, 4), …`.
fn shape(text: &str) -> Result<Vec<usize>, String> {
    let inner = text.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (inner, _) = inner.ok_or("bad numpy header: expected a shape in parentheses")?;
    let sides = inner.split(',').map(str::trim).filter(|side| !side.is_empty());
    let number = |side: &str| {
        side.parse().map_err(|_| format!("bad numpy header: side `{side}` of the shape"))
    };
    sides.map(number).collect()
}
