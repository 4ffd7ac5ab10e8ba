//! Summary of the checker's output by family.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::workspace::code;

/// Counts by family.
#[derive(Debug, Default)]
pub struct Tally {
    families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
struct Family {
    cases: BTreeSet<String>,
    not_covered: usize,
    failed: usize,
    /// Largest absolute error of an output.
    worst: Option<f64>,
}

impl Tally {
    /// Runs the checker, prints its lines and counts them. Returns the exit status, too.
    pub fn of(checker: &mut Command) -> Result<(Self, u8)> {
        let program = Path::new(checker.get_program()).display().to_string();
        let mut child = checker
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {program}"))?;
        let mut tally = Tally::default();
        let lines = child.stdout.take().context("the checker has no output")?;
        for line in BufReader::new(lines).lines() {
            let line = line?;
            println!("{line}");
            tally.add(&line);
        }
        Ok((tally, code(child.wait()?)))
    }

    /// Parses `live_ddpm_3  out  4.6e-7 8.1e-4 2e-05 ok`, or `live_ddpm_3  unet of ddpm  not covered yet`.
    fn add(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some((name, rest)) = words.split_first() else { return };
        let Some((family, _)) = name.strip_prefix("live_").and_then(|name| name.rsplit_once('_'))
        else {
            return;
        };
        let family = self.families.entry(family.to_owned()).or_default();
        family.cases.insert((*name).to_owned());
        if rest.ends_with(&["not", "covered", "yet"]) {
            family.not_covered += 1;
        }
        if let [what @ .., absolute, _, _, verdict] = rest
            && let Ok(absolute) = absolute.parse::<f64>()
        {
            family.failed += usize::from(*verdict != "ok");
            if what.first() == Some(&"out") {
                family.worst = Some(family.worst.unwrap_or(0.0).max(absolute));
            }
        }
    }

    /// A line for each family.
    pub fn summary(&self) -> String {
        let mut text =
            String::from("family               cases failed  not covered  worst output\n");
        for (name, family) in &self.families {
            let Family { cases, not_covered, failed, worst } = family;
            let cases = cases.len();
            let worst = worst.map_or("-".to_owned(), |worst| format!("{worst:.1e}"));
            text += &format!("{name:<20} {cases:>5} {failed:>6} {not_covered:>12}  {worst:>12}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up_by_family() {
        let mut tally = Tally::default();
        for line in [
            "case                         what                       abs     rel   tol",
            "live_improved_super_res_0    out                     4.6e-7  8.1e-4 2e-05 ok",
            "live_improved_super_res_0    grad:*                  1.0e+0  8.1e-4 1e-04 FAIL",
            "live_improved_super_res_1    out in f64              5.0e-7  8.1e-4 1e-06 ok",
            "live_unet2d_0                unet of unet2d             not covered yet",
            "context_eval                 out                     9.9e-7  8.1e-4 2e-05 ok",
            "3 ok, 1 failed, 1 not covered yet",
        ] {
            tally.add(line);
        }
        let text = tally.summary();
        let lines: Vec<_> = text.lines().skip(1).map(|line| line.split_whitespace()).collect();
        let lines: Vec<Vec<_>> = lines.into_iter().map(Iterator::collect).collect();
        assert_eq!(lines[0], ["improved_super_res", "2", "1", "0", "5.0e-7"], "{text}");
        assert_eq!(lines[1], ["unet2d", "1", "0", "1", "-"], "{text}");
        assert_eq!(lines.len(), 2, "{text}");
    }
}
