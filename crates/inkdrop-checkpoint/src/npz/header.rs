//! Header of a NumPy array: dtype, order and shape.

use inkdrop_torch::tch::Kind;

use crate::error::shown;

/// Header of an array. NumPy enhancement proposal 1, versions 1.0 to 3.0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Offset of the values.
    pub(super) start: usize,
    pub(super) layout: Layout,
}

/// How the values of an array lie in memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(super) kind: Kind,
    /// True if values are big-endian.
    pub(super) big_endian: bool,
    /// True for Fortran order: the first index varies fastest.
    pub(super) fortran: bool,
    pub(super) shape: Vec<i64>,
}

impl Layout {
    /// The layout of an array with a dtype such as `<f4`.
    pub(crate) fn new(dtype: &str, shape: Vec<i64>, fortran: bool) -> Result<Self, String> {
        let (kind, big_endian) = kind(dtype).ok_or_else(|| {
            let shown = shown(&dtype.chars().take(24).collect::<String>());
            format!(
                "type {shown}, expected f2, f4, f8, i1, i2, i4, i8, u1 or bool; convert it with \
                 .astype(…)"
            )
        })?;
        Ok(Self { kind, big_endian, fortran, shape })
    }
}

impl Header {
    /// Reads the header of a whole array.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (text, start) = text(bytes)?;
        let descr = entry(text, "descr")?;
        let name = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let name = name.map_or(descr, |(name, _)| name);
        let order = entry(text, "fortran_order")?;
        let fortran = order.starts_with("True");
        if !fortran && !order.starts_with("False") {
            return Err("the header has no order; the array is damaged".to_string());
        }
        let layout = Layout::new(name, shape(entry(text, "shape")?)?, fortran)?;
        Ok(Self { start, layout })
    }
}

/// The kind of a NumPy dtype such as `<f4`, and true if it is big-endian.
fn kind(name: &str) -> Option<(Kind, bool)> {
    let (order, kind) = name.split_at_checked(1)?;
    let kind = match kind {
        "f2" => Kind::Half,
        "f4" => Kind::Float,
        "f8" => Kind::Double,
        "i1" => Kind::Int8,
        "i2" => Kind::Int16,
        "i4" => Kind::Int,
        "i8" => Kind::Int64,
        "u1" => Kind::Uint8,
        "b1" => Kind::Bool,
        _ => return None,
    };
    matches!(order, "<" | ">" | "|").then_some((kind, order == ">"))
}

/// The header's text, and the offset of the values.
fn text(bytes: &[u8]) -> Result<(&str, usize), String> {
    let (Some(b"\x93NUMPY"), Some(&major)) = (bytes.get(..6), bytes.get(6)) else {
        return Err("not a NumPy array, although its name ends with .npy".to_string());
    };
    let cut = || "the array ends within its header; the file is truncated or damaged".to_string();
    let (start, length) = match (major, bytes.get(8..12)) {
        (1, Some(&[a, b, _, _])) => (10, usize::from(u16::from_le_bytes([a, b]))),
        (2 | 3, Some(&[a, b, c, d])) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        (1..=3, _) => return Err(cut()),
        _ => return Err(format!("version {major} of NumPy's format, expected 1 to 3")),
    };
    let end = length.saturating_add(start);
    let text = bytes.get(start..end).ok_or_else(cut)?;
    let text = std::str::from_utf8(text)
        .map_err(|_| "the header is not text; the array is damaged".to_string())?;
    Ok((text, end))
}

/// The text after `'key':`.
fn entry<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let entry = text.split_once(&format!("'{key}':"));
    let (_, value) =
        entry.ok_or_else(|| format!("the header has no '{key}'; the array is damaged"))?;
    Ok(value.trim_start())
}

/// The numbers of `(3, 4), …`.
fn shape(text: &str) -> Result<Vec<i64>, String> {
    let inner = text.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (inner, _) = inner.ok_or("the header has no shape in parentheses; the array is damaged")?;
    let sides = inner.split(',').map(str::trim).filter(|side| !side.is_empty());
    let side = |side: &str| {
        let number = side.parse().ok().filter(|&number: &i64| number >= 0);
        number.ok_or_else(|| format!("side `{}` of a shape, expected a number", shown(side)))
    };
    sides.map(side).collect()
}
