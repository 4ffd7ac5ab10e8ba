//! Archives of pictures: zip, tar and tar.gz. Members are read in place, and no path of an archive is
//! opened or written.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use npyz::zip::{CompressionMethod, ZipArchive};
use tar::{Archive as Tar, EntryType};

use crate::DataError;
use crate::files::{is_picture, junk};
use crate::growth::most_unpacked;
use crate::item::{Item, Span};
use crate::note::Others;

/// Size of a member that is always accepted.
const FLOOR: u64 = 64 << 20;

/// The kinds of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Zip,
    Tar,
    TarGz,
}

impl Kind {
    /// Detects an archive by its first bytes; a gzip file by its name, too, for IDX files are packed as well.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let mut start = Vec::new();
        File::open(path)?.take(512).read_to_end(&mut start)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_gzip = start.starts_with(&[0x1f, 0x8b]);
        Ok(match () {
            () if start.starts_with(b"PK\x03\x04") && !name.ends_with(".npz") => Some(Self::Zip),
            () if start.get(257..262) == Some(b"ustar") => Some(Self::Tar),
            () if is_gzip && (name.ends_with(".tar.gz") || name.ends_with(".tgz")) => {
                Some(Self::TarGz)
            }
            () if name.ends_with(".tar") => Some(Self::Tar),
            () => None,
        })
    }

    /// The name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zip => "a zip archive of pictures",
            Self::Tar => "a tar archive of pictures",
            Self::TarGz => "a compressed tar archive of pictures",
        }
    }
}

/// The name of a file that holds data in a way that is not read.
pub(crate) fn other_container(start: &[u8]) -> Option<&'static str> {
    const MAGICS: [(&[u8], &str); 8] = [
        (b"PAR1", "a parquet file"),
        (b"BZh", "a bzip2 archive"),
        (b"\xfd7zXZ", "an xz archive"),
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"Rar!", "a rar archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"\x89HDF", "an HDF5 file"),
        (b"ARROW1", "an Arrow file"),
    ];
    MAGICS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| *name)
}

/// The pictures of an archive.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Each picture with its path within the archive, in the order of these.
    pub items: Vec<(PathBuf, Item)>,
    /// What is no picture.
    pub others: Others,
}

impl Members {
    /// Lists an archive.
    ///
    /// - memory_mib: memory limit for the members of a compressed tar archive, which has no random access
    pub fn of(path: &Path, kind: Kind, memory_mib: u64) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|error| DataError::read(path, error))?;
        let mut members = Self::default();
        let listed = match kind {
            Kind::Zip => members.zip(path, file),
            Kind::Tar => members.tar(path, file),
            Kind::TarGz => members.tar_gz(path, file, memory_mib),
        };
        listed.map_err(|problem| DataError::file(path, problem))?;
        members.items.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(members)
    }

    /// The relative path of a member, if it is a picture; counts it otherwise.
    fn picture(&mut self, name: &str) -> Option<PathBuf> {
        let parts = Path::new(name).components();
        let inner: PathBuf = parts.filter(|part| matches!(part, Component::Normal(_))).collect();
        let folders = inner.ancestors().skip(1).filter(|folder| folder.file_name().is_some());
        if let Some(kind) =
            folders.filter_map(|folder| junk(folder, true)).last().or_else(|| junk(&inner, false))
        {
            let kind = if kind == "hidden folder" { "hidden file" } else { kind };
            self.others.add(kind);
            return None;
        }
        if !is_picture(&inner) {
            self.others.add_file(&inner);
            return None;
        }
        Some(inner)
    }

    fn zip(&mut self, path: &Path, file: File) -> Result<(), String> {
        let damaged = |error: &dyn std::fmt::Display| {
            format!("no whole zip archive: {error}; fetch it again")
        };
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(&error))?;
        let archive: Arc<Path> = path.into();
        for index in 0..zip.len() {
            let member = zip.by_index_raw(index).map_err(|error| damaged(&error))?;
            if member.is_dir() {
                continue;
            }
            let Some(inner) = self.picture(member.name()) else { continue };
            let deflated = match member.compression() {
                CompressionMethod::Stored => false,
                CompressionMethod::Deflated => true,
                other => {
                    return Err(format!(
                        "{} is compressed by {other}, expected deflate; make the archive anew",
                        inner.display()
                    ));
                }
            };
            let (length, size) = (member.compressed_size(), member.size());
            let span = Span { start: member.data_start(), length, size, deflated };
            check_growth(&inner, span)?;
            self.items.push((inner.clone(), Item::member(path.join(inner), &archive, span)));
        }
        Ok(())
    }

    /// True for a member with content of its own. Other ones that may stand for a picture are counted.
    fn is_file(&mut self, kind: EntryType) -> bool {
        match kind {
            EntryType::Link | EntryType::Symlink => self.others.add("link"),
            EntryType::GNUSparse => self.others.add("sparse file"),
            _ => {}
        }
        kind.is_file()
    }

    fn tar(&mut self, path: &Path, mut file: File) -> Result<(), String> {
        let archive: Arc<Path> = path.into();
        let whole = file.metadata().map_err(|error| cut(&error))?.len();
        let mut end = [1; 512];
        let last = file.seek(SeekFrom::End(-512)).and_then(|_| file.read_exact(&mut end));
        last.and_then(|()| file.rewind()).map_err(|error| cut(&error))?;
        if end != [0; 512] {
            return Err(cut(&"its end, a block of zeros, is missing"));
        }
        let mut tar = Tar::new(BufReader::new(file));
        for entry in tar.entries_with_seek().map_err(|error| cut(&error))? {
            let entry = entry.map_err(|error| cut(&error))?;
            if !self.is_file(entry.header().entry_type()) {
                continue;
            }
            let (start, length) = (entry.raw_file_position(), entry.size());
            if start.checked_add(length).is_none_or(|end| end > whole) {
                return Err(cut(&"it ends within a member"));
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(inner) = self.picture(&name) else { continue };
            let span = Span { start, length, size: length, deflated: false };
            self.items.push((inner.clone(), Item::member(path.join(inner), &archive, span)));
        }
        Ok(())
    }

    fn tar_gz(&mut self, path: &Path, mut file: File, memory_mib: u64) -> Result<(), String> {
        let packed = file.seek(SeekFrom::End(0)).and_then(|length| file.rewind().map(|()| length));
        let most = most_unpacked(packed.map_err(|error| cut(&error))?, 1 << 30);
        let mut left = memory_mib.saturating_mul(1 << 20);
        // Members that are no pictures are unpacked as well: a limit for all.
        let mut unpacked = MultiGzDecoder::new(BufReader::new(file)).take(most);
        let mut tar = Tar::new(&mut unpacked);
        for entry in tar.entries().map_err(|error| cut(&error))? {
            let mut entry = entry.map_err(|error| cut(&error))?;
            if !self.is_file(entry.header().entry_type()) {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(inner) = self.picture(&name) else { continue };
            left = left.checked_sub(entry.size()).ok_or_else(|| {
                format!(
                    "its pictures take more than memory_mib = {memory_mib}; unpack it to a .tar, which is \
                     read in place, or raise the limit"
                )
            })?;
            let (size, mut bytes) = (entry.size(), Vec::new());
            entry.read_to_end(&mut bytes).map_err(|error| cut(&error))?;
            if bytes.len() as u64 != size {
                return Err(cut(&"it ends within a member, or grows too much to be one"));
            }
            self.items.push((inner.clone(), Item::memory(path.join(inner), bytes)));
        }
        Ok(())
    }
}

fn cut(error: &dyn std::fmt::Display) -> String {
    format!("no whole tar archive: {error}; fetch it again")
}

/// Refuses a member that grows as no picture does.
fn check_growth(name: &Path, span: Span) -> Result<(), String> {
    if span.size <= most_unpacked(span.length, FLOOR) {
        return Ok(());
    }
    Err(format!(
        "{} grows from {} to {} bytes, which is refused as a zip bomb; store it uncompressed if it is none",
        name.display(),
        span.length,
        span.size
    ))
}
