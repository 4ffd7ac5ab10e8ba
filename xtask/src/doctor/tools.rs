//! Checks for the tools: Rust, a C++ compiler, pip and the built program.

use super::Finding;
use crate::libtorch::pip;
use crate::workspace::Workspace;
use std::env;
use std::process::Command;

/// Minimum supported Rust version.
const RUST: (u32, u32) = (1, 89);

/// Checks that cargo exists and is new enough.
pub fn rust(ws: &Workspace) -> Finding {
    let name = "cargo";
    let mut cargo = ws.cargo();
    let Some(line) = first_line(cargo.arg("--version")) else {
        return Finding::missing(name, "cannot run", "install Rust from https://rustup.rs");
    };
    match minor_of(&line) {
        Some(version) if version < RUST => {
            let text = format!("{line}, but 1.{} is needed", RUST.1);
            Finding::missing(name, text, "rustup update")
        }
        _ => Finding::ok(name, line),
    }
}

/// Parses `cargo 1.95.0 (…)` into `(1, 95)`.
fn minor_of(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split(' ').nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The C++ compiler of torch-sys.
pub fn cpp() -> Finding {
    let name = "C++ compiler";
    let chosen = env::var("CXX").ok().filter(|value| !value.is_empty());
    let compiler = chosen.unwrap_or_else(|| "c++".to_owned());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("c++"));
    if let Some(line) = first_line(command.args(words).arg("--version")) {
        return Finding::ok(name, line);
    }
    for other in ["g++", "clang++"] {
        if first_line(Command::new(other).arg("--version")).is_some() {
            let text = format!("{compiler} cannot be run, but {other} can");
            return Finding::missing(name, text, format!("export CXX={other}"));
        }
    }
    Finding::missing(name, format!("{compiler} cannot be run"), "apt install g++")
}

/// Checks for pip, which only `setup --source wheel` needs.
pub fn pip() -> Finding {
    match pip::check() {
        Ok(()) => Finding::ok("python3, pip", "found (needed only by `setup --source wheel`)"),
        Err(_) => Finding::note(
            "python3, pip",
            "missing (needed only by `setup --source wheel`)",
            "apt install python3-pip",
        ),
    }
}

/// Checks that the program `inkdrop` is built.
pub fn binary(ws: &Workspace) -> Finding {
    let command = ws.binary("inkdrop");
    let path = std::path::Path::new(command.get_program());
    if path.exists() {
        Finding::ok("inkdrop", "built")
    } else {
        Finding::note("inkdrop", "not built yet", "cargo build --release -p inkdrop")
    }
}

/// The first line of a command's output; `None` if the command fails.
pub fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(minor_of("cargo 1.9.0 (x)") < Some(RUST));
        assert!(minor_of("cargo 1.100.1-nightly (x)") > Some(RUST));
        assert_eq!(minor_of("cargo"), None);
    }
}
