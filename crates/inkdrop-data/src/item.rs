//! A picture of a dataset: a file, or a member of an archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::DeflateDecoder;

use crate::DataError;
use crate::decode::{START, read_file};

/// A picture file or a member of an archive, not yet read.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Path of the file; for a member, that of the archive followed by the member's name.
    pub path: PathBuf,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    File,
    Member(Arc<Path>, Span),
    Memory(Arc<[u8]>),
}

/// The bytes of a member within its archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Offset of the first byte.
    pub start: u64,
    /// Number of bytes in the archive.
    pub length: u64,
    /// Number of bytes of the unpacked member.
    pub size: u64,
    /// True if it is compressed by deflate.
    pub deflated: bool,
}

impl Item {
    pub fn file(path: PathBuf) -> Self {
        Self { path, place: Place::File }
    }

    /// A member that is read from the archive's file when it is needed.
    pub fn member(path: PathBuf, archive: &Arc<Path>, span: Span) -> Self {
        Self { path, place: Place::Member(archive.clone(), span) }
    }

    /// A member whose bytes are kept.
    pub fn memory(path: PathBuf, bytes: Vec<u8>) -> Self {
        Self { path, place: Place::Memory(bytes.into()) }
    }

    /// All bytes.
    pub fn read(&self) -> Result<Vec<u8>, DataError> {
        match &self.place {
            Place::File => read_file(&self.path),
            Place::Memory(bytes) => Ok(bytes.to_vec()),
            Place::Member(archive, span) => {
                let bytes = self.unpack(archive, *span, span.size.saturating_add(1))?;
                if bytes.len() as u64 != span.size {
                    let problem =
                        "a member of another size than the archive says; fetch the archive again";
                    return Err(DataError::file(&self.path, problem));
                }
                Ok(bytes)
            }
        }
    }

    /// The first bytes, which usually hold a picture's header, and true if they are all.
    pub fn start(&self) -> Result<(Vec<u8>, bool), DataError> {
        let bytes = match &self.place {
            Place::File => {
                let mut bytes = Vec::new();
                let read = File::open(&self.path)
                    .and_then(|file| file.take(START).read_to_end(&mut bytes));
                read.map_err(|error| DataError::read(&self.path, error))?;
                bytes
            }
            Place::Memory(bytes) => bytes[..bytes.len().min(START as usize)].to_vec(),
            Place::Member(archive, span) => self.unpack(archive, *span, START)?,
        };
        let whole = (bytes.len() as u64) < START;
        Ok((bytes, whole))
    }

    /// At most `most` bytes of a member.
    fn unpack(&self, archive: &Path, span: Span, most: u64) -> Result<Vec<u8>, DataError> {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(archive)?;
            file.seek(SeekFrom::Start(span.start))?;
            let (packed, mut bytes) = (file.take(span.length), Vec::new());
            match span.deflated {
                true => DeflateDecoder::new(packed).take(most).read_to_end(&mut bytes)?,
                false => packed.take(most).read_to_end(&mut bytes)?,
            };
            Ok(bytes)
        };
        read().map_err(|error| DataError::read(&self.path, error))
    }
}
