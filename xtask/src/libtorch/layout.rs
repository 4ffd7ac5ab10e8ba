//! Paths of libtorch in the workspace, and the lock for changing them.
//!
//! ```text
//! .libtorch/
//! ├─ current -> 2.11.0-cpu     used by builds and binaries; replaced by one rename
//! ├─ 2.11.0-cpu/               an installation: lib/ include/ build-version (see expose.rs)
//! ├─ live-python/              Python environment of `parity --online` and `bench --compare`
//! ├─ downloads/                archives, kept until they are unpacked
//! ├─ .unpack-<pid>/            an installation in progress; renamed when complete
//! └─ lock                      locked by the process that changes these files
//! ```

use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The paths below `.libtorch`.
#[derive(Clone, Debug)]
pub struct LibtorchPaths {
    base: PathBuf,
}

impl LibtorchPaths {
    /// The paths of the workspace at `root`.
    pub fn new(root: &Path) -> Self {
        let base = root.join(".libtorch");
        LibtorchPaths { base }
    }

    /// The folder `.libtorch`.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The link to the current installation.
    pub fn current(&self) -> PathBuf {
        self.base.join("current")
    }

    /// The folder of an installation, e.g. `2.11.0-cpu`.
    pub fn home(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// The folder of downloaded archives.
    pub fn downloads(&self) -> PathBuf {
        self.base.join("downloads")
    }

    /// A temporary folder of this process. [`Self::sweep`] removes those of dead processes.
    pub fn scratch(&self, what: &str) -> PathBuf {
        self.base.join(format!(".{what}-{}", std::process::id()))
    }

    /// The name of the installation that `current` points to.
    pub fn current_name(&self) -> Option<String> {
        let target = fs::read_link(self.current()).ok()?;
        Some(target.to_string_lossy().trim_end_matches('/').to_owned())
    }

    /// Waits for the lock. It is released when the returned file is dropped.
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

    /// Removes temporary folders of dead processes. The caller holds the lock.
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

    /// Makes `current` point to the installation `name`, atomically.
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

/// Removes a file, link or folder if it exists.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates a symbolic link at `link` to `target`.
#[cfg(unix)]
pub fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Returns an error: symbolic links are not supported on this platform.
#[cfg(not(unix))]
pub fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
