//! Checks and unpacks zip archives.

use super::progress;
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use zip::ZipArchive;

/// Maps the name of an entry to its destination; `None` skips the entry.
pub type Keep<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Deletes a file and returns an error if its SHA-256 is not `expected`.
pub fn verify(path: &Path, expected: &str) -> Result<()> {
    let actual = sha256(path)?;
    if actual == expected {
        return Ok(());
    }
    fs::remove_file(path)?;
    bail!(
        "{} is not the published file and was deleted:\n  \
         expected sha256 {expected}\n  actual   sha256 {actual}\n\
         run the same command again to download it",
        name_of(path)
    )
}

/// The SHA-256 of a file, in lower-case hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let bar = progress::bytes("checking", &name_of(path), file.metadata()?.len());
    let mut reader = bar.wrap_read(file);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    bar.finish_and_clear();
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Unpacks the entries that `keep` selects into `into`; returns their number.
pub fn unpack(path: &Path, into: &Path, keep: Keep) -> Result<usize> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .with_context(|| format!("{} is truncated or not an archive", name_of(path)))?;
    let plan = plan(&mut archive, keep).with_context(|| format!("{} is refused", name_of(path)))?;
    let total = plan.iter().map(|step| step.size).sum();
    let bar = progress::bytes("unpacking", &name_of(path), total);
    for step in &plan {
        let entry = archive.by_index(step.index)?;
        write(bar.wrap_read(entry), &into.join(&step.to))
            .with_context(|| format!("cannot unpack {} of {}", step.to.display(), name_of(path)))?;
    }
    bar.finish_and_clear();
    Ok(plan.len())
}

/// A file to unpack.
struct Step {
    index: usize,
    size: u64,
    to: PathBuf,
}

/// Checks every entry before the first byte is written.
fn plan<R: Read + io::Seek>(archive: &mut ZipArchive<R>, keep: Keep) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        ensure!(stays_inside(&name), "its entry {name:?} leads out of the folder");
        let Some(to) = keep(&name).filter(|_| !entry.is_dir()) else {
            continue;
        };
        ensure!(!entry.is_symlink(), "its entry {name:?} is a link");
        ensure!(stays_inside(&to), "its entry {name:?} would go to {to:?}");
        steps.push(Step { index, size: entry.size(), to: to.into() });
    }
    Ok(steps)
}

/// True for a plain relative path.
fn stays_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    !name.contains('\\') && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn write(mut from: impl Read, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    io::copy(&mut from, &mut File::create(to)?)?;
    Ok(())
}

/// The last part of a path, for messages.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::zip_with;

    const ALL: Keep = &|name| Some(name.to_owned());

    #[test]
    fn a_wrong_hash_is_named_and_the_file_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.whl");
        fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        verify(&path, abc).unwrap();
        let text = verify(&path, "00ff").unwrap_err().to_string();
        for part in ["a.whl", "expected sha256 00ff", abc, "again"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn only_what_is_kept_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let path = zip_with(&dir.path().join("a.zip"), &[("x/a", "one"), ("x/b", "two")]);
        let count = unpack(&path, dir.path(), &|name| (name == "x/b").then(|| "y/c".into()));
        assert_eq!(count.unwrap(), 1);
        assert_eq!(fs::read_to_string(dir.path().join("y/c")).unwrap(), "two");
        assert!(!dir.path().join("x").exists());
    }

    #[test]
    fn an_entry_that_leads_out_is_refused_before_anything_is_written() {
        for bad in ["../evil", "/evil", "x/../../evil", "..\\evil"] {
            let dir = tempfile::tempdir().unwrap();
            let path = zip_with(&dir.path().join("a.zip"), &[("x/a", "one"), (bad, "two")]);
            let into = dir.path().join("into");
            let text = format!("{:#}", unpack(&path, &into, ALL).unwrap_err());
            assert!(text.contains("leads out of the folder"), "{text}");
            assert!(!into.exists() && !dir.path().join("evil").exists());
        }
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = zip_with(&dir.path().join("a.zip"), &[("x/a", &"one".repeat(1000))]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        let text = format!("{:#}", unpack(&path, dir.path(), ALL).unwrap_err());
        assert!(text.contains("a.zip is truncated or not an archive"), "{text}");
    }

    #[test]
    fn a_flipped_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = zip_with(&dir.path().join("a.zip"), &[("x/a", "one two three")]);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(3).position(|w| w == b"two").unwrap();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let text = format!("{:#}", unpack(&path, dir.path(), ALL).unwrap_err());
        assert!(text.contains("cannot unpack x/a of a.zip"), "{text}");
    }
}
