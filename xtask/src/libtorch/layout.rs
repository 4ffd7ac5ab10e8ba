//! Where libtorch lies in the workspace, and who may change it now.
//!
//! ```text
//! .libtorch/
//! ├─ current -> 2.11.0-cpu     what builds and binaries use; swapped by one rename
//! ├─ 2.11.0-cpu/               a home: lib/ include/ build-version (see expose.rs)
//! ├─ live-python/              the environment of `parity --online`, if it was ever run
//! ├─ downloads/                archives, kept only until they are unpacked
//! ├─ .unpack-<pid>/            a home in the making; renamed into its place
//! └─ lock                      held by the one setup that may change all this
//! ```

use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The paths below `.libtorch`.
#[derive(Clone, Debug)]
pub struct Layout {
    base: PathBuf,
}

impl Layout {
    /// The layout of the workspace at `root`.
    pub fn new(root: &Path) -> Self {
        let base = root.join(".libtorch");
        Layout { base }
    }

    /// The folder that holds everything.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The link that builds and binaries follow.
    pub fn current(&self) -> PathBuf {
        self.base.join("current")
    }

    /// The folder of one install, e.g. `2.11.0-cpu`.
    pub fn home(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Where archives wait to be unpacked.
    pub fn downloads(&self) -> PathBuf {
        self.base.join("downloads")
    }

    /// A private name beside the homes; whatever a dead run left of it is swept.
    pub fn scratch(&self, what: &str) -> PathBuf {
        self.base.join(format!(".{what}-{}", std::process::id()))
    }

    /// The name of the home that `current` points to.
    pub fn current_name(&self) -> Option<String> {
        let target = fs::read_link(self.current()).ok()?;
        Some(target.to_string_lossy().trim_end_matches('/').to_owned())
    }

    /// Waits until no other setup is at work; the lock ends with the returned file.
    pub fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.base)
            .with_context(|| format!("cannot make the folder {}", self.base.display()))?;
        let path = self.base.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                eprintln!("another setup is at work in .libtorch; waiting for it to end");
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock .libtorch"),
        }
        file.lock().context("cannot lock .libtorch")?;
        Ok(file)
    }

    /// Removes what dead runs left behind. Call it under the lock.
    pub fn sweep(&self) -> io::Result<()> {
        fs::create_dir_all(&self.base)?;
        for entry in fs::read_dir(&self.base)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let stale = [".unpack-", ".old-", ".link-"];
            if stale.iter().any(|prefix| name.starts_with(prefix)) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Makes `current` point to the home `name`, in one step.
    pub fn point_current_at(&self, name: &str) -> Result<()> {
        let link = self.scratch("link");
        remove(&link)?;
        symlink(Path::new(name), &link)?;
        fs::rename(&link, self.current()).or_else(|error| {
            remove(&link)?;
            Err(error).context(
                "cannot swap .libtorch/current: setup did not make it; move it out of the way",
            )
        })
    }
}

/// Removes a file, link or folder; nothing there is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A symbolic link at `link` to `target`.
#[cfg(unix)]
pub fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// A symbolic link at `link` to `target`: not on this platform.
#[cfg(not(unix))]
pub fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
