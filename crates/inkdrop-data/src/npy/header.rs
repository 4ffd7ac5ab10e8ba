//! What a numpy file says about itself.

const MAGIC: &[u8] = b"\x93NUMPY";

/// The type of a file's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// Numpy's letter: `u`, `i`, `f` or `b`.
    pub(super) letter: char,
    /// Bytes per value: 1, 2, 4 or 8.
    pub(super) size: usize,
    /// Whether the highest byte comes first.
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
pub(super) struct Header {
    /// Where the values start.
    pub(super) start: usize,
    /// The lengths of the dimensions.
    pub(super) shape: Vec<usize>,
    /// The values' type.
    pub(super) kind: Kind,
    /// Whether the first index runs fastest.
    pub(super) fortran: bool,
}

impl Header {
    /// Reads the header by hand: it holds three entries, and nothing in it is trusted with memory.
    ///
    /// NumPy enhancement proposal 1, versions 1.0 to 3.0 of the format.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
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

/// The header's text, and where the values start.
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

/// What follows `'key':`.
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
