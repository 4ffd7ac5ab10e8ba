//! Links an unpacked libtorch into the folder that builds and binaries use.
//!
//! ```text
//! lib/            links to every shared library, except libtorch_cuda.so
//! lib/libtorch.so text for the linker on Linux: INPUT(libtorch_cpu.so libc10.so)
//! include         link to the headers
//! cuda            link to the folder that holds libtorch_cuda.so, if there is one
//! build-version   what torch-sys compares with its own version
//! ```
//!
//! libtorch_cuda.so stays out of `lib/` so that torch-sys never links to it: the same
//! binary then runs with and without a GPU, links with either installation, and loads
//! `../cuda/libtorch_cuda.so` at run time. `cuda` is a link to the whole folder because the
//! kernel resolves `$ORIGIN/../../nvidia` behind it, so the libraries' own paths hold.

use super::layout::symlink;
use super::platform::is_shared;
use anyhow::{Context, Result, ensure};
use std::env::consts::DLL_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};

/// Libraries that are not in `lib/`: loaded at run time, replaced, or used by Python only.
const HIDDEN: [&str; 6] = [
    "libtorch_cuda.so",
    "libtorch_hip.so",
    "libtorch.so",
    "libtorch_python",
    "libtorch_global_deps",
    "libshm",
];

/// A header that every build needs.
const HEADER: &str = "include/torch/csrc/api/include/torch/torch.h";

/// Links the tree `torch` (it has `lib/` and `include/`) into `home`.
pub fn expose(home: &Path, torch: &Path, version: &str) -> Result<()> {
    let needed = ["torch_cpu", "c10"].map(|name| format!("lib/lib{name}{DLL_SUFFIX}"));
    for name in needed.iter().map(String::as_str).chain([HEADER]) {
        ensure!(torch.join(name).exists(), "{name} is missing in {}", torch.display());
    }
    let lib = home.join("lib");
    fs::create_dir_all(&lib)?;
    for folder in library_folders(torch)? {
        link_libraries(home, &folder)?;
    }
    if cfg!(target_os = "linux") {
        fs::write(lib.join("libtorch.so"), "INPUT(libtorch_cpu.so libc10.so)\n")?;
        name_openmp(&lib)?;
    }
    symlink(&seen_from(home, home, &torch.join("include")), &home.join("include"))?;
    if torch.join("lib/libtorch_cuda.so").exists() {
        symlink(&seen_from(home, home, &torch.join("lib")), &home.join("cuda"))?;
    }
    fs::write(home.join("build-version"), format!("{version}\n"))
        .context("cannot write build-version")
}

/// The folders of shared libraries: libtorch's own, and NVIDIA's next to it.
fn library_folders(torch: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![torch.join("lib")];
    let Some(beside) = torch.parent() else {
        return Ok(folders);
    };
    folders.push(beside.join("torch.libs"));
    if let Ok(packages) = fs::read_dir(beside.join("nvidia")) {
        for package in packages {
            folders.push(package?.path().join("lib"));
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders.sort_by_key(|folder| (!folder.starts_with(torch), folder.clone()));
    Ok(folders)
}

fn link_libraries(home: &Path, folder: &Path) -> Result<()> {
    let lib = home.join("lib");
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let hidden = HIDDEN.iter().any(|hidden| text.starts_with(hidden));
        let link = lib.join(&name);
        if is_shared(&text) && !hidden && fs::symlink_metadata(&link).is_err() {
            symlink(&seen_from(home, &lib, &folder.join(&name)), &link)?;
        }
    }
    Ok(())
}

/// Links `libgomp.so` to libtorch's own OpenMP, so that a process loads only one.
fn name_openmp(lib: &Path) -> Result<()> {
    let names = fs::read_dir(lib)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let bundled = names.filter(|name| name.starts_with("libgomp")).min();
    if let Some(name) = bundled.filter(|name| name != "libgomp.so") {
        symlink(Path::new(&name), &lib.join("libgomp.so"))?;
    }
    Ok(())
}

/// The path of `target` for a link in `from`: relative inside `home`, so that the folder can be moved.
fn seen_from(home: &Path, from: &Path, target: &Path) -> PathBuf {
    match target.strip_prefix(home) {
        Ok(inside) if from == home => inside.to_owned(),
        Ok(inside) => Path::new("..").join(inside),
        Err(_) => target.to_owned(),
    }
}
