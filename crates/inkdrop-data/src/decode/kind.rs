//! The formats of picture files, detected from the first bytes.

use super::FORMATS;

/// The formats that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
    Gif,
    WebP,
    Bmp,
    Tiff,
    Qoi,
}

/// Endings of picture formats that are not read.
pub(crate) const FOREIGN: [&str; 12] =
    ["avif", "heic", "heif", "svg", "jp2", "j2k", "jxl", "psd", "ico", "pdf", "tga", "ppm"];

impl Kind {
    /// Detects the format.
    ///
    /// # Errors
    /// The name of the other format, and what to do.
    pub(super) fn of(start: &[u8]) -> Result<Self, String> {
        match start {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [b'G', b'I', b'F', b'8', ..] => Ok(Self::Gif),
            [b'R', b'I', b'F', b'F', rest @ ..]
                if rest.get(4..8).is_none_or(|kind| kind == b"WEBP") =>
            {
                Ok(Self::WebP)
            }
            [b'B', b'M', ..] => Ok(Self::Bmp),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self::Tiff),
            [b'q', b'o', b'i', b'f', ..] => Ok(Self::Qoi),
            [] => Err(format!(
                "an empty file (0 bytes), not a picture; expected a {FORMATS} file, fetch it again"
            )),
            _ => Err(foreign(start)),
        }
    }

    /// The format's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Qoi => "QOI",
        }
    }
}

/// The error of a file of another format.
fn foreign(start: &[u8]) -> String {
    if let Some(problem) = instead_of_data(start) {
        return problem;
    }
    let found = name(start);
    format!("{found}, expected a {FORMATS} file; convert it to PNG")
}

/// The problem of a file that a download left in the place of the data.
pub(crate) fn instead_of_data(start: &[u8]) -> Option<String> {
    if start.starts_with(b"version https://git-lfs") {
        let problem = "a Git LFS pointer instead of the data; fetch them by `git lfs pull`";
        return Some(problem.to_owned());
    }
    let is_page = text(start) == Some("an HTML page");
    is_page.then(|| "an HTML page instead of the data; fetch the file itself".to_owned())
}

/// The name of another format.
fn name(start: &[u8]) -> &'static str {
    const MAGICS: [(&[u8], &str); 15] = [
        (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
        (b"\xff\x0a", "a JPEG XL picture"),
        (b"8BPS", "a Photoshop document (PSD)"),
        (b"%PDF", "a PDF document"),
        (b"\0\0\x01\0", "a Windows icon (ICO)"),
        (b"PK\x03\x04", "an archive (zip)"),
        (b"\x1f\x8b", "an archive (gzip)"),
        (b"\x93NUMPY", "a NumPy array (.npy)"),
        (b"RIFF", "a RIFF file other than WebP"),
        (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
        (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
        (b"P6", "a PPM picture"),
        (b"\0\x05\x16\x07", "a file of macOS's attributes (AppleDouble)"),
    ];
    if start.get(4..8) == Some(b"ftyp") {
        return brand(start);
    }
    if let Some((_, name)) = MAGICS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return name;
    }
    text(start).unwrap_or("not a picture that is known here")
}

/// The format of an ISO base media file, by its major and compatible brands.
fn brand(start: &[u8]) -> &'static str {
    let length = start.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let brands = start.get(8..length.clamp(8, 256).min(start.len())).unwrap_or_default();
    let has = |wanted: &[&[u8]]| brands.chunks(4).any(|brand| wanted.contains(&brand));
    match () {
        () if has(&[b"avif", b"avis"]) => "an AVIF picture",
        () if has(&[b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"]) => {
            "a HEIC picture"
        }
        () => "a video or audio file (MP4)",
    }
}

/// The format of a text file.
fn text(start: &[u8]) -> Option<&'static str> {
    let start = String::from_utf8_lossy(&start[..start.len().min(1024)]).to_lowercase();
    let start = start.trim_start_matches('\u{feff}').trim_start();
    let is_markup = start.starts_with('<');
    match () {
        () if is_markup && start.contains("<svg") => Some("an SVG drawing"),
        () if is_markup && (start.contains("<!doctype html") || start.contains("<html")) => {
            Some("an HTML page")
        }
        () if start.starts_with("<?xml") => Some("an XML document"),
        () => None,
    }
}
