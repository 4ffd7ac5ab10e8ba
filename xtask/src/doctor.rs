//! `cargo xtask doctor`: checks the tools and the libtorch of this machine, and suggests repairs.

mod gpu;
mod tools;
mod torch;

use crate::workspace::Workspace;
use anyhow::Result;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Ok,
    /// Required, but missing.
    Missing,
    /// A hint; nothing is broken.
    Note,
}

/// A line of the report.
#[derive(Debug)]
struct Finding {
    mark: Mark,
    name: &'static str,
    text: String,
    /// The command that repairs it.
    mend: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Finding { mark: Mark::Ok, name, text: text.into(), mend: None }
    }

    fn missing(name: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Finding { mark: Mark::Missing, name, text: text.into(), mend: Some(mend.into()) }
    }

    fn note(name: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Finding { mark: Mark::Note, name, text: text.into(), mend: Some(mend.into()) }
    }
}

/// Prints the report. Returns 0 if all requirements are met, else 1.
pub fn run(ws: &Workspace) -> Result<u8> {
    let mut findings = vec![tools::rust(ws), tools::cpp(), tools::pip()];
    let device = torch::findings(ws, &mut findings);
    findings.push(gpu::finding(device.as_deref()));
    findings.push(tools::binary(ws));
    let (text, code) = report(&findings);
    print!("{text}");
    Ok(code)
}

fn report(findings: &[Finding]) -> (String, u8) {
    let mut text = String::new();
    for Finding { mark, name, text: what, mend } in findings {
        let mark = match mark {
            Mark::Ok => "ok",
            Mark::Missing => "missing",
            Mark::Note => "note",
        };
        text += &format!("{mark:<9}{name:<18}{}\n", fit(what));
        if let Some(mend) = mend {
            text += &format!("{:27}-> {mend}\n", "");
        }
    }
    let missing = findings.iter().filter(|finding| finding.mark == Mark::Missing).count();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_fails() {
        let ok = || Finding::ok("a", "here");
        let note = || Finding::note("b", "so so", "mend b");
        let missing = || Finding::missing("c", "nowhere", "mend c");
        assert_eq!(report(&[ok(), note()]).1, 0);
        let (text, code) = report(&[ok(), note(), missing()]);
        assert_eq!(code, 1);
        assert!(text.contains("-> mend c") && text.contains("Missing: 1"), "{text}");
    }

    #[test]
    fn a_line_has_at_most_80_columns() {
        let (text, _) = report(&[Finding::ok("a", "x".repeat(200))]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
