//! `cargo xtask doctor`: checks the tools and the libtorch of this machine, and suggests repairs.

use crate::libtorch::download::check_pip;
use crate::libtorch::system::{is_ours, version_of};
use crate::libtorch::{Request, State, VERSION, check_version, look};
use crate::workspace::Workspace;
use anyhow::Result;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Minimum supported Rust version.
const RUST: (u32, u32) = (1, 89);

/// Variables of torch-sys that change the build. The workspace needs none of them.
const TORCH_SYS: [&str; 6] = [
    "LIBTORCH_USE_PYTORCH",
    "LIBTORCH_INCLUDE",
    "LIBTORCH_LIB",
    "LIBTORCH_STATIC",
    "LIBTORCH_CXX11_ABI",
    "LIBTORCH_BYPASS_VERSION_CHECK",
];

/// Folders of the driver's libcuda.so.1 on common systems, including WSL.
const DRIVER_FOLDERS: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib", "/usr/local/nvidia/lib64"];

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Ok,
    /// Required, but missing.
    Missing,
    /// A hint; nothing is broken.
    Note,
}

/// What was found, and the command that repairs it; empty if nothing is to be repaired.
type Found = (Mark, String, String);

/// A line of the report: its name, and the finding.
type Line = (&'static str, Found);

fn ok(text: impl Into<String>) -> Found {
    (Mark::Ok, text.into(), String::new())
}

fn missing(text: impl Into<String>, mend: impl Into<String>) -> Found {
    (Mark::Missing, text.into(), mend.into())
}

fn note(text: impl Into<String>, mend: impl Into<String>) -> Found {
    (Mark::Note, text.into(), mend.into())
}

/// Prints the report. Returns 0 if all requirements are met, else 1.
pub fn run(ws: &Workspace) -> Result<u8> {
    let exported = ws.exported_libtorch().unwrap_or_default();
    let state = look(&ws.layout, &Request { exported, ..Request::default() });
    let mut lines = vec![
        ("cargo", rust(first_line(ws.cargo().arg("--version")))),
        ("C++ compiler", cpp()),
        ("python3, pip", pip()),
        ("libtorch", libtorch(&state)),
        (".libtorch/current", current(ws, &state)),
        ("LIBTORCH", libtorch_variable(ws)),
        ("LD_LIBRARY_PATH", library_path(env::var_os("LD_LIBRARY_PATH").as_deref(), ws)),
    ];
    let changing = TORCH_SYS.into_iter().filter(|name| env::var_os(name).is_some());
    lines
        .extend(changing.map(|name| {
            (name, note("is exported and changes the build", format!("unset {name}")))
        }));
    lines.push(("GPU", gpu(&state)));
    lines.push(("inkdrop", binary(ws)));
    let (text, code) = report(&lines);
    print!("{text}");
    Ok(code)
}

fn report(lines: &[Line]) -> (String, u8) {
    let mut text = String::new();
    for (name, (mark, what, mend)) in lines {
        let mark = format!("{mark:?}").to_lowercase();
        text += &format!("{mark:<9}{name:<18}{}\n", fit(what));
        if !mend.is_empty() {
            text += &format!("{:27}-> {mend}\n", "");
        }
    }
    let missing = lines.iter().filter(|(_, found)| found.0 == Mark::Missing).count();
    text += &match missing {
        0 => "\nAll requirements are met.\n".to_owned(),
        n => format!("\nMissing: {n}. The commands after the arrows repair it.\n"),
    };
    (text, u8::from(missing > 0))
}

/// Cuts `text` so that a line has at most 80 columns.
fn fit(text: &str) -> String {
    const ROOM: usize = 80 - 27;
    match text.chars().count() {
        n if n <= ROOM => text.to_owned(),
        _ => text.chars().take(ROOM - 3).chain("...".chars()).collect(),
    }
}

/// Judges the first line of `cargo --version`.
fn rust(line: Option<String>) -> Found {
    let Some(line) = line else {
        return missing("cannot run", "install Rust from https://rustup.rs");
    };
    match minor_of(&line) {
        Some(version) if version < RUST => {
            missing(format!("{line}, but 1.{} is needed", RUST.1), "rustup update")
        }
        _ => ok(line),
    }
}

/// Parses `cargo 1.95.0 (…)` into `(1, 95)`.
fn minor_of(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split(' ').nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The C++ compiler of torch-sys.
fn cpp() -> Found {
    let chosen = env::var("CXX").ok().filter(|value| !value.is_empty());
    let compiler = chosen.unwrap_or_else(|| "c++".to_owned());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("c++"));
    if let Some(line) = first_line(command.args(words).arg("--version")) {
        return ok(line);
    }
    for other in ["g++", "clang++"] {
        if first_line(Command::new(other).arg("--version")).is_some() {
            let text = format!("{compiler} cannot be run, but {other} can");
            return missing(text, format!("export CXX={other}"));
        }
    }
    missing(format!("{compiler} cannot be run"), "apt install g++")
}

/// Checks for pip, which only `setup --source wheel` needs.
fn pip() -> Found {
    let need = "(needed only by `setup --source wheel`)";
    match check_pip() {
        Ok(()) => ok(format!("found {need}")),
        Err(_) => note(format!("missing {need}"), "apt install python3-pip"),
    }
}

/// Checks that the program `inkdrop` is built.
fn binary(ws: &Workspace) -> Found {
    match Path::new(ws.binary("inkdrop").get_program()).exists() {
        true => ok("built"),
        false => note("not built yet", "cargo build --release -p inkdrop"),
    }
}

/// The first line of a command's output; `None` if the command fails.
fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn libtorch(state: &State) -> Found {
    let mend = "cargo xtask setup";
    match state {
        State::Ready(stamp, _) => ok(stamp.describe().replace("libtorch ", "")),
        State::Damaged(_, _, why) => missing(format!("damaged: {why}"), mend),
        State::Absent => missing(format!("{VERSION} is not installed"), mend),
    }
}

fn current(ws: &Workspace, state: &State) -> Found {
    let mend = "cargo xtask setup";
    match (state, ws.layout.current_name()) {
        (_, None) => missing("is not there", mend),
        (State::Ready(_, home), Some(target)) if *home != target => {
            missing(format!("points to {target}, expected {home}"), mend)
        }
        (_, Some(target)) => ok(format!("points to {target}")),
    }
}

fn libtorch_variable(ws: &Workspace) -> Found {
    let mend = "unset LIBTORCH";
    let value = env::var_os("LIBTORCH").map(PathBuf::from);
    let Some(path) = value.filter(|path| !is_ours(path, &ws.layout.current())) else {
        return ok("not exported");
    };
    match version_of(&path) {
        Ok(version) if check_version(&version, "").is_ok() => {
            ok(format!("{version} in {}", path.display()))
        }
        Ok(version) => missing(format!("exported, contains {version}, expected {VERSION}"), mend),
        Err(_) => missing(format!("{} is not a libtorch", path.display()), mend),
    }
}

/// Checks LD_LIBRARY_PATH, which takes precedence over the run path of the binaries.
fn library_path(value: Option<&OsStr>, ws: &Workspace) -> Found {
    let ours = ws.layout.current().join("lib");
    let folders: Vec<_> = value.map(|value| env::split_paths(value).collect()).unwrap_or_default();
    let holder = folders.iter().find(|dir| dir.join("libtorch_cpu.so").exists() && **dir != ours);
    let Some(folder) = holder else {
        return ok("contains no other libtorch");
    };
    let version = version_of(folder.parent().unwrap_or(Path::new("/"))).unwrap_or_default();
    match check_version(&version, "") {
        Ok(()) => ok(format!("libtorch {version} in {}", folder.display())),
        Err(_) => note(
            format!("contains another libtorch, in {}", folder.display()),
            "remove that folder from LD_LIBRARY_PATH",
        ),
    }
}

/// Checks for an NVIDIA GPU and for CUDA in libtorch.
fn gpu(state: &State) -> Found {
    let cuda = matches!(state, State::Ready(stamp, _) if stamp.device == "cuda");
    let mut smi = Command::new("nvidia-smi");
    let name = first_line(smi.args(["--query-gpu=name", "--format=csv,noheader"]));
    let driver = DRIVER_FOLDERS.iter().any(|dir| Path::new(dir).join("libcuda.so.1").exists());
    judge_gpu(name.filter(|name| !name.is_empty()), driver, cuda)
}

fn judge_gpu(gpu: Option<String>, driver: bool, cuda: bool) -> Found {
    let with_cuda = "cargo xtask setup --device cuda";
    match gpu {
        Some(name) if cuda => ok(format!("{name}, and libtorch has CUDA")),
        Some(name) => note(format!("{name}, but libtorch has no CUDA"), with_cuda),
        None if driver && !cuda => {
            note("libcuda.so.1 is here, but libtorch has no CUDA", with_cuda)
        }
        None if cuda && !driver => ok("none found; libtorch has CUDA and runs on the CPU"),
        None => ok("none found; runs on the CPU"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::libtorch::layout::LibtorchPaths;
    use std::fs;

    #[test]
    fn only_what_is_missing_fails() {
        let mut lines = vec![("a", ok("x".repeat(200))), ("b", note("so so", "mend b"))];
        assert_eq!(report(&lines).1, 0);
        lines.push(("c", missing("nowhere", "mend c")));
        let (text, code) = report(&lines);
        assert_eq!(code, 1);
        assert!(text.contains("-> mend c") && text.contains("Missing: 1"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(minor_of("cargo 1.9.0 (x)") < Some(RUST));
        assert!(minor_of("cargo 1.100.1-nightly (x)") > Some(RUST));
        assert_eq!(minor_of("cargo"), None);
    }

    #[test]
    fn a_gpu_without_cuda_is_worth_a_note() {
        let gpu = || Some("H200".to_owned());
        assert_eq!(judge_gpu(gpu(), true, false).0, Mark::Note);
        assert_eq!(judge_gpu(None, true, false).0, Mark::Note);
        assert_eq!(judge_gpu(gpu(), true, true).0, Mark::Ok);
        assert_eq!(judge_gpu(None, false, false).0, Mark::Ok);
    }

    #[test]
    fn another_libtorch_on_the_library_path_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let ws = Workspace { layout: LibtorchPaths::new(dir.path()), bin_dir: dir.path().into() };
        let lib = dir.path().join("other/lib");
        let mark = |value| library_path(value, &ws).0;
        fs::create_dir_all(&lib).unwrap();
        assert_eq!(mark(Some(lib.as_os_str())), Mark::Ok);
        fs::write(lib.join("libtorch_cpu.so"), "").unwrap();
        assert_eq!(mark(Some(lib.as_os_str())), Mark::Note);
        fs::write(dir.path().join("other/build-version"), "2.11.0+cpu").unwrap();
        assert_eq!(mark(Some(lib.as_os_str())), Mark::Ok);
        assert_eq!(mark(None), Mark::Ok);
    }
}
