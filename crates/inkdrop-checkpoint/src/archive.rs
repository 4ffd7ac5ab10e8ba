//! Zip archives, the container of torch.save and np.savez.

use std::io::Read;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{Fault, shown};
use crate::limits::Budget;
use crate::source::Source;

/// A zip archive whose entries are read one at a time, at most up to their declared size.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<&'a mut dyn Source>,
    names: Vec<String>,
}

impl<'a> Archive<'a> {
    /// Opens an archive. Returns an error if its entries are too large for the length of the file.
    pub(crate) fn open(source: &'a mut dyn Source, len: u64) -> Result<Self, Fault> {
        let zip = ZipArchive::new(source).map_err(fault)?;
        if zip.has_duplicate_names() {
            return Err(Fault::Problem("two entries of the zip archive share a name".to_string()));
        }
        let mut budget = Budget::new("zip entries", len);
        let mut names = Vec::with_capacity(zip.len());
        for index in 0..zip.len() {
            let entry = zip.by_index_data(index).map_err(fault)?;
            budget.take(entry.size())?;
            names.push(entry.name().map_err(fault)?.into_owned());
        }
        Ok(Self { zip, names })
    }

    /// The names of all entries, in the order of the archive.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Declared size of an entry.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        let index = self.zip.index_for_name(name)?;
        self.zip.by_index_data(index).ok().map(|entry| entry.size())
    }

    /// Reads an entry and checks its checksum.
    pub(crate) fn read(&mut self, name: &str) -> Result<Vec<u8>, Fault> {
        let entry = self.zip.by_name(name).map_err(fault)?;
        let size = entry.size();
        // `Archive::open` has checked the sum of these sizes.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        // One byte more detects a longer entry, and makes the reader check the checksum.
        let read = entry.take(size.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Fault::from(error).about(name))?;
        if bytes.len() as u64 != size {
            return Err(Fault::Problem(format!(
                "entry {} has {} bytes or more, expected {size}; the zip archive is damaged",
                shown(name),
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}

fn fault(error: ZipError) -> Fault {
    match error {
        ZipError::Io(error) => error.into(),
        error => Fault::Problem(format!("the zip archive is truncated or damaged: {error}")),
    }
}
