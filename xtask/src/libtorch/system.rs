//! libtorch that is already installed: in LIBTORCH, or in a Python environment.

use super::layout::LibtorchPaths;
use super::{Choice, Device, Source, Tree, VERSION, check_version};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Prints the version and the folder of torch without the import, which takes seconds.
const PRINT_TORCH: &str = "\
import importlib.metadata as m, importlib.util as u
print(m.version('torch'))
print(u.find_spec('torch').submodule_search_locations[0])";

/// An existing libtorch, used through links: the user's LIBTORCH, or else python3's torch. It must
/// support `device`.
pub fn source(exported: Option<PathBuf>, device: Option<Device>) -> Source {
    let fill = move |_: &LibtorchPaths, _: &Path| {
        let (version, torch) = match &exported {
            Some(path) => (version_of(path)?, path.clone()),
            None => torch_of_python("python3")?,
        };
        check_version(&version, &format!("the torch in {}", torch.display()))?;
        let cuda = torch.join("lib/libtorch_cuda.so").exists();
        if device == Some(Device::Cuda) {
            ensure!(cuda, "the torch in {} has no CUDA", torch.display());
        }
        let device = if cuda { Device::Cuda } else { Device::Cpu };
        Ok(Tree { version, origin: torch.display().to_string(), torch, device })
    };
    Source { choice: Choice::System, fill: Box::new(fill) }
}

/// Version and folder of the torch package of `python`.
fn torch_of_python(python: &str) -> Result<(String, PathBuf)> {
    let output = Command::new(python).args(["-c", PRINT_TORCH]).output();
    let output = output.with_context(|| format!("cannot run {python}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    match (output.status.success(), lines.next(), lines.next()) {
        (true, Some(version), Some(folder)) => Ok((version.to_owned(), folder.into())),
        _ => bail!("no LIBTORCH, and {python} has no torch"),
    }
}

/// The version in `build-version`, or in Python's `version.py`.
pub fn version_of(libtorch: &Path) -> Result<String> {
    if let Ok(text) = fs::read_to_string(libtorch.join("build-version")) {
        return Ok(text.trim().to_owned());
    }
    let python = fs::read_to_string(libtorch.join("version.py")).unwrap_or_default();
    let line = python.lines().find_map(|line| line.strip_prefix("__version__ = "));
    line.map(|quoted| quoted.trim_matches(['\'', '"']).to_owned()).with_context(|| {
        format!("{libtorch:?} is not a libtorch (it has no build-version and no version.py)")
    })
}

/// The user's LIBTORCH after a check of its release. The setting in `.cargo/config.toml` is ignored.
pub fn exported(value: Option<&Path>, current: &Path) -> Result<Option<PathBuf>> {
    let Some(path) = value.filter(|path| !is_ours(path, current)) else {
        return Ok(None);
    };
    let checked = version_of(path).and_then(|version| {
        check_version(&version, &format!("the libtorch in {}", path.display()))
    });
    checked.map_err(|error| {
        anyhow!(
            "LIBTORCH is exported, but {error};\n\
             an exported LIBTORCH takes precedence over the one that setup installs: run\n\
             `unset LIBTORCH`, or point it at release {VERSION}"
        )
    })?;
    let absolute = std::path::absolute(path)?;
    Ok(Some(absolute))
}

/// True if the path is the value of LIBTORCH in `.cargo/config.toml`.
pub fn is_ours(path: &Path, current: &Path) -> bool {
    let same = |a: &Path, b: &Path| match (a.parent(), b.parent()) {
        (Some(a_dir), Some(b_dir)) => {
            a.file_name() == b.file_name()
                && fs::canonicalize(a_dir).ok() == fs::canonicalize(b_dir).ok()
                && a_dir.exists()
        }
        _ => false,
    };
    path == current || same(path, current)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_libtorch_is_checked() {
        for (file, text, parts) in [
            ("build-version", "2.5.0+cpu\n", &["2.5.0", "2.11.0", "unset LIBTORCH"][..]),
            ("other", "", &["is not a libtorch", "unset LIBTORCH"]),
            ("version.py", "x = 1\n__version__ = '2.11.0+cu130'\n", &[]),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(file), text).unwrap();
            match exported(Some(dir.path()), Path::new("/x/current")) {
                Ok(found) => assert!(parts.is_empty() && found.as_deref() == Some(dir.path())),
                Err(error) => {
                    let text = format!("{error:#}");
                    assert!(!parts.is_empty() && parts.iter().all(|p| text.contains(p)), "{text}");
                    assert!(text.contains(&dir.path().display().to_string()), "{text}");
                }
            }
        }
    }

    #[test]
    fn cargos_own_libtorch_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".libtorch")).unwrap();
        let current = dir.path().join(".libtorch/current");
        let roundabout = dir.path().join(".libtorch/../.libtorch/current");
        for value in [&current, &roundabout] {
            assert_eq!(exported(Some(value), &current).unwrap(), None);
        }
        assert_eq!(exported(None, &current).unwrap(), None);
    }
}
