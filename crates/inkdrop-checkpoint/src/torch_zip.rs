//! torch.save's format since PyTorch 1.6: a zip archive of a pickle and its storages.

use crate::archive::Archive;
use crate::assemble::{Storages, assemble};
use crate::error::{Fault, shown};
use crate::limits::Budget;
use crate::{Format, StateDict, pickle};

/// The folder inside the archive, with its slash; `None` if it is not an archive of torch.save.
pub(crate) fn root(names: &[String]) -> Option<String> {
    let pickle = names.iter().find(|name| name.ends_with("/data.pkl"))?;
    Some(pickle.trim_end_matches("data.pkl").to_string())
}

/// Reads an archive with this root in a file of this length.
pub(crate) fn read(mut archive: Archive, root: &str, len: u64) -> Result<StateDict, Fault> {
    refuse_script(&archive, root)?;
    let big_endian = big_endian(&mut archive, root)?;
    let program = archive.read(&format!("{root}data.pkl"))?;
    let mut objects = Budget::new("objects", len);
    let pickle = pickle::read(&mut program.as_slice(), &mut objects)?;
    drop(program);
    let mut storages = Entries { archive, folder: format!("{root}data/"), big_endian };
    assemble(&pickle, &mut storages, &mut objects, Format::TorchZip, len)
}

/// Returns an error for TorchScript archives, which have the same pickle but contain code.
fn refuse_script(archive: &Archive, root: &str) -> Result<(), Fault> {
    let (constants, code) = (format!("{root}constants.pkl"), format!("{root}code/"));
    if archive.names().iter().any(|name| *name == constants || name.starts_with(&code)) {
        return Err(Fault::Problem(
            "it is a TorchScript archive, expected a state_dict; in Python, save \
             torch.jit.load(path).state_dict() with torch.save"
                .to_string(),
        ));
    }
    Ok(())
}

fn big_endian(archive: &mut Archive, root: &str) -> Result<bool, Fault> {
    let name = format!("{root}byteorder");
    if archive.size(&name).is_none() {
        return Ok(false);
    }
    match archive.read(&name)?.as_slice() {
        b"little" => Ok(false),
        b"big" => Ok(true),
        other => Err(Fault::Problem(format!(
            "byte order `{}`, expected little or big; the file is damaged",
            shown(&String::from_utf8_lossy(other))
        ))),
    }
}

/// Storages as entries of the archive.
struct Entries<'a> {
    archive: Archive<'a>,
    folder: String,
    big_endian: bool,
}

impl Storages for Entries<'_> {
    fn size(&self, key: &str) -> Option<u64> {
        self.archive.size(&format!("{}{key}", self.folder))
    }

    fn read(&mut self, key: &str) -> Result<Vec<u8>, Fault> {
        self.archive.read(&format!("{}{key}", self.folder))
    }

    fn big_endian(&self) -> bool {
        self.big_endian
    }
}
