//! What a file is, from its first bytes.

/// The kinds of pictures that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
    Gif,
}

impl Kind {
    /// The kind of a file that begins so; its ending is not asked.
    ///
    /// # Errors
    /// Words for what it is instead.
    pub(super) fn of(start: &[u8]) -> Result<Self, &'static str> {
        const OTHERS: [(&[u8], &str); 4] = [
            (b"RIFF", "a WebP picture"),
            (b"BM", "a BMP picture"),
            (b"PK\x03\x04", "an archive"),
            (b"", "not a picture that is known here"),
        ];
        match start {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [b'G', b'I', b'F', b'8', ..] => Ok(Self::Gif),
            _ => {
                let known = OTHERS.iter().find(|(magic, _)| start.starts_with(magic));
                Err(known.map_or("unknown", |(_, name)| name))
            }
        }
    }
}
