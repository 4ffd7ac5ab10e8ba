//! `cargo xtask check`: format, lints, docs and licences. Runs all checks, then prints a summary.

use crate::workspace::{Workspace, run as run_child};
use anyhow::Result;
use std::process::{Command, Stdio};

/// A check: its name and the arguments of cargo.
struct Check {
    name: &'static str,
    args: &'static [&'static str],
    optional: bool,
}

const CHECKS: [Check; 5] = [
    Check { name: "format", args: &["fmt", "--all", "--check"], optional: false },
    Check {
        name: "lints",
        args: &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"],
        optional: false,
    },
    Check {
        name: "docs",
        args: &["doc", "--release", "--workspace", "--no-deps"],
        optional: false,
    },
    Check {
        name: "licences",
        args: &["deny", "check", "bans", "licenses", "sources"],
        optional: true,
    },
    // A check of its own, since it needs RustSec's database and so a network.
    Check { name: "advisories", args: &["deny", "check", "advisories"], optional: true },
];

/// Runs all checks; returns 1 if any of them fails.
pub fn run(ws: &Workspace) -> Result<u8> {
    ws.need_libtorch()?;
    let mut summary = Vec::new();
    let mut failed = false;
    for check in &CHECKS {
        let result = one(ws, check)?;
        failed |= result == "failed";
        summary.push(format!("  {:12}{result}", check.name));
    }
    println!("\ncheck:\n{}", summary.join("\n"));
    Ok(u8::from(failed))
}

fn one(ws: &Workspace, check: &Check) -> Result<&'static str> {
    let tool = check.args[0];
    if check.optional && !exists(ws.cargo(), tool) {
        return Ok("skipped: `cargo install cargo-deny` adds it");
    }
    eprintln!("\n==> cargo {}", check.args.join(" "));
    let mut cargo = ws.cargo();
    if tool == "doc" {
        cargo.env("RUSTDOCFLAGS", "-D warnings");
    }
    Ok(match run_child(cargo.args(check.args))? {
        0 => "ok",
        _ if check.name == "advisories" && !has_advisories(ws) => {
            "skipped: RustSec's database cannot be fetched"
        }
        _ => "failed",
    })
}

/// True if the database of advisories is present or can be fetched.
fn has_advisories(ws: &Workspace) -> bool {
    let mut cargo = ws.cargo();
    let quiet = cargo.args(["deny", "fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn exists(mut cargo: Command, tool: &str) -> bool {
    let quiet = cargo.args([tool, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
