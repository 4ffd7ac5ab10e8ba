//! libtorch from the PyTorch project's zip archive, fetched by curl, or from the PyPI wheels, fetched by pip.

use super::layout::{LibtorchPaths, remove};
use super::platform::{Platform, build_of, is_shared};
use super::{Choice, Device, Source, Tree, VERSION, is_full_disk, name_of};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal, Read};
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use zip::ZipArchive;

/// Requirements for pip, with the SHA-256 of each wheel.
const CPU_WHEELS: &str = include_str!("wheels-cpu.txt");
const CUDA_WHEELS: &str = include_str!("wheels-cuda.txt");

/// Maps the name of an entry to its destination; `None` skips the entry.
type Keep<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The zip archive for a device.
///
/// The hash of the archive is not pinned. It is protected by TLS and checked by its length,
/// the checksum of every entry, the list of files and the version inside.
pub fn official(device: Device) -> Source {
    let fill = move |layout: &LibtorchPaths, into: &Path| {
        let url = Platform::here()?.zip_url(device)?;
        let archive = layout.downloads().join(format!("libtorch-{}.zip", name_of(device)));
        if !archive.exists() {
            fetch(&url, &archive)?;
        }
        read_zip(&archive, into, device, &url).inspect_err(|error| {
            // Without a pinned hash the damaged part is unknown: the next run downloads the whole file.
            if !is_full_disk(error) {
                remove(&archive).ok();
            }
        })
    };
    Source { choice: Choice::Official, fill: Box::new(fill) }
}

fn read_zip(archive: &Path, into: &Path, device: Device, url: &str) -> Result<Tree> {
    unpack(archive, into, &zip_entry)?;
    let torch = into.join("torch");
    let version = fs::read_to_string(torch.join("build-version"))
        .context("the zip has no libtorch/build-version")?;
    Ok(Tree { torch, version: version.trim().to_owned(), origin: url.to_owned(), device })
}

/// Selects shared libraries, headers and the version; not the static libraries.
fn zip_entry(name: &str) -> Option<String> {
    let inner = name.strip_prefix("libtorch/")?;
    let library = inner.starts_with("lib/") && is_shared(inner);
    let kept = library || inner.starts_with("include/") || inner == "build-version";
    kept.then(|| format!("torch/{inner}"))
}

/// Downloads `url` to `to` with curl. The file appears only when it is complete; the next run resumes
/// a partial one.
pub fn fetch(url: &str, to: &Path) -> Result<()> {
    let part = to.with_extension("part");
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--location", "--proto", "=https", "--connect-timeout", "5"])
        // Stops if nothing arrives for 30 seconds.
        .args(["--speed-limit", "1", "--speed-time", "30"])
        .args(["--create-dirs", "--continue-at", "-", "--output"])
        .args([&part, Path::new(url)]);
    if !io::stderr().is_terminal() {
        curl.args(["--silent", "--show-error"]);
    }
    eprintln!("downloading {url}");
    let status = curl.status().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("curl is not installed: install it (`apt install curl`)")
        }
        _ => anyhow!("cannot run curl: {error}"),
    })?;
    match status.code() {
        Some(0) => Ok(fs::rename(&part, to)?),
        // An HTTP error, or a server that cannot resume.
        Some(code @ (22 | 33)) => {
            remove(&part)?;
            bail!("the server refused the file (curl: {code})")
        }
        // curl cannot write.
        Some(23) => Err(io::Error::from(io::ErrorKind::StorageFull).into()),
        Some(18 | 28 | 56) if part.exists() => {
            bail!("the download stopped; the next run resumes from there")
        }
        code => bail!("not reachable (curl: {})", code.unwrap_or(-1)),
    }
}

/// The PyPI wheels of torch, and of the NVIDIA libraries that it is linked to.
pub fn wheel(device: Device) -> Source {
    let fill = move |layout: &LibtorchPaths, into: &Path| {
        let folder = layout.downloads().join(format!("wheels-{VERSION}-{}", name_of(device)));
        let platform = Platform::here()?;
        pip_download(device, platform, &folder)?;
        let entries = fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
        for path in entries.iter().map(fs::DirEntry::path) {
            if path.extension().is_some_and(|ending| ending == "whl") {
                unpack(&path, into, &|name| wheel_entry(name, device, platform))?;
            }
        }
        let version = format!("{VERSION}+{}", build_of(device));
        let origin = format!("torch {VERSION} from PyPI");
        Ok(Tree { torch: into.join("torch"), version, origin, device })
    };
    Source { choice: Choice::Wheel, fill: Box::new(fill) }
}

/// Downloads the wheels to `folder`, using the user's index, proxy and certificates. pip checks their
/// hashes, and keeps those that are already there.
fn pip_download(device: Device, platform: &Platform, folder: &Path) -> Result<()> {
    check_pip()?;
    // pip writes to TMPDIR, and the system's own is often small.
    let staging = folder.join("tmp");
    remove(&staging)?;
    fs::create_dir_all(&staging)?;
    let requirements = folder.join("requirements.txt");
    let cuda = if device == Device::Cuda { CUDA_WHEELS } else { "" };
    fs::write(&requirements, format!("{CPU_WHEELS}{cuda}"))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"])
        // pip's cache would be a second copy of every wheel.
        .args(["--no-cache-dir", "--disable-pip-version-check", "--require-hashes"])
        .args(["--implementation", "cp", "--python-version", "311"])
        .args(platform.wheel_tags.iter().flat_map(|tag| ["--platform", tag]))
        .args([Path::new("--dest"), folder, Path::new("--requirement"), &requirements])
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .env("TMPDIR", &staging)
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()));
    if !io::stderr().is_terminal() {
        pip.arg("--quiet");
    }
    eprintln!("downloading the wheels with pip");
    let status = pip.status().context("cannot run python3")?;
    ensure!(status.success(), pip_failed("download the wheels"));
    Ok(())
}

/// The message after pip has printed its errors.
pub fn pip_failed(what: &str) -> String {
    format!(
        "pip could not {what} (see its errors above);\n\
         check the network, the free disk space, and pip's index and proxy\n\
         (`python3 -m pip config list`), then run the same command again"
    )
}

/// Returns an error if `python3 -m pip` does not work, with the package to install.
pub fn check_pip() -> Result<()> {
    let status = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("python3 has no pip: install it (`apt install python3-pip`)"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("python3 is not installed: install it (`apt install python3-pip`)")
        }
        Err(error) => Err(error).context("cannot run python3"),
    }
}

/// Selects headers and shared libraries: for the CPU a few, for CUDA all that are needed outside Python.
fn wheel_entry(name: &str, device: Device, platform: &Platform) -> Option<String> {
    let library = match device {
        Device::Cpu => platform.cpu_libraries.contains(&name),
        Device::Cuda => is_library(name),
    };
    (library || name.starts_with("torch/include/")).then(|| name.to_owned())
}

fn is_library(name: &str) -> bool {
    let Some((folder, file)) = name.rsplit_once('/') else {
        return false;
    };
    let known =
        folder == "torch/lib" || (folder.starts_with("nvidia/") && folder.ends_with("/lib"));
    known && is_shared(file) && file != "libtorch_python.so"
}

/// Unpacks the entries that `keep` selects. Checks every name before the first byte is written.
fn unpack(path: &Path, into: &Path, keep: Keep) -> Result<()> {
    let label = path.file_name().unwrap_or_default().to_string_lossy();
    eprintln!("unpacking {label}");
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .with_context(|| format!("{label} is truncated or not an archive"))?;
    for name in archive.file_names() {
        let name = name?;
        ensure!(
            stays_inside(&name),
            "{label} is refused: its entry {name:?} leads out of the folder"
        );
    }
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let Some(to) = keep(&entry.name()?).filter(|_| !entry.is_dir()) else {
            continue;
        };
        ensure!(!entry.is_symlink(), "{label} is refused: its entry {to:?} is a link");
        write(entry, &into.join(&to)).with_context(|| format!("cannot unpack {to} of {label}"))?;
    }
    Ok(())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{TORCH, workspace, zip_with};
    use super::*;
    use crate::libtorch::install;

    const ALL: Keep = &|name| Some(name.to_owned());

    #[test]
    fn only_what_is_kept_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let path = zip_with(&dir.path().join("a.zip"), &[("x/a", "one"), ("x/b", "two")]);
        unpack(&path, dir.path(), &|name| (name == "x/b").then(|| "y/c".into())).unwrap();
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
    fn a_damaged_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = zip_with(&dir.path().join("a.zip"), &[("x/a", "one two three")]);
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.windows(3).position(|w| w == b"two").unwrap()] ^= 1;
        for (bytes, part) in [
            (&bytes[..bytes.len() - 10], "a.zip is truncated or not an archive"),
            (&flipped[..], "cannot unpack x/a of a.zip"),
        ] {
            fs::write(&path, bytes).unwrap();
            let text = format!("{:#}", unpack(&path, dir.path(), ALL).unwrap_err());
            assert!(text.contains(part), "{text}");
        }
    }

    /// Installs a downloaded zip without network. Returns the error.
    fn install_zip(entries: &[(&str, &str)]) -> (tempfile::TempDir, LibtorchPaths, String) {
        let (dir, layout) = workspace();
        fs::create_dir_all(layout.downloads()).unwrap();
        zip_with(&layout.downloads().join("libtorch-cpu.zip"), entries);
        let error = install(&layout, &official(Device::Cpu)).err();
        (dir, layout, error.map_or_else(String::new, |error| format!("{error:#}")))
    }

    /// Entries with the structure of the official zip.
    fn official_entries(version: &str) -> Vec<(String, String)> {
        let torch = TORCH.map(|(name, text)| (name.replacen("torch/", "libtorch/", 1), text));
        let mut entries = torch.map(|(name, text)| (name, text.to_owned())).to_vec();
        entries.push(("libtorch/build-version".to_owned(), version.to_owned()));
        entries.push(("libtorch/lib/libbig.a".to_owned(), "static".to_owned()));
        entries
    }

    #[test]
    fn only_a_zip_of_this_release_is_installed() {
        for (version, problem) in [("2.11.0+cpu", ""), ("2.10.0+cpu", "is release 2.10.0")] {
            let entries = official_entries(version);
            let entries: Vec<_> = entries.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let (_dir, layout, error) = install_zip(&entries);
            assert!(error.contains(problem), "{error}");
            let library = layout.current().join("lib/libtorch_cpu.so");
            assert_eq!(library.is_file(), problem.is_empty());
            assert!(!layout.current().join("torch/lib/libbig.a").exists());
        }
    }

    #[test]
    fn a_bad_zip_is_deleted_and_leaves_nothing() {
        let (_dir, layout, error) = install_zip(&[("libtorch/lib/libc10.so", "x")]);
        assert!(!error.is_empty());
        let archive = layout.downloads().join("libtorch-cpu.zip");
        assert!(!archive.exists() && !layout.current().exists());
    }

    #[test]
    fn plain_http_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fetch("http://127.0.0.1:9/a.zip", &dir.path().join("a.zip")).is_err());
    }

    #[test]
    fn a_device_takes_only_what_it_needs() {
        let platform = Platform::here().unwrap();
        let kept = |name, device| wheel_entry(name, device, platform).is_some();
        for (name, cpu, cuda) in [
            ("torch/lib/libtorch_cpu.so", true, true),
            ("torch/include/ATen/ATen.h", true, true),
            ("torch/lib/libtorch_cuda.so", false, true),
            ("nvidia/cudnn/lib/libcudnn.so.9", false, true),
            ("torch/__init__.py", false, false),
            ("nvidia/cudnn/include/cudnn.h", false, false),
            ("torch/lib/libtorch_python.so", false, false),
        ] {
            assert_eq!((kept(name, Device::Cpu), kept(name, Device::Cuda)), (cpu, cuda), "{name}");
        }
    }

    #[test]
    fn every_wheel_is_pinned_by_a_sha256() {
        let wheels = |text: &str| text.matches("===").count() - text.matches("`===`").count();
        assert_eq!((wheels(CPU_WHEELS), wheels(CUDA_WHEELS)), (3, 12));
        let text = format!("{CPU_WHEELS}{CUDA_WHEELS}");
        let hashes =
            text.split("--hash=sha256:").skip(1).map(|rest| rest.split_whitespace().next());
        // Two for Linux, and torch's for macOS.
        assert_eq!(hashes.clone().count(), 2 * 15 + 1);
        for hash in hashes.map(Option::unwrap) {
            assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
        }
    }
}
