//! Results in a file of JSON lines, and as a Markdown table.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The metrics of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub sampler: String,
    pub spacing: String,
    pub calls: usize,
    pub wasserstein: f64,
    pub kernel: f64,
    pub accuracy: f64,
}

/// All results so far.
pub struct Results {
    file: PathBuf,
    outcomes: Vec<Outcome>,
}

impl Results {
    pub fn open(file: &Path) -> Result<Self> {
        let text = if file.exists() { fs::read_to_string(file)? } else { String::new() };
        let outcomes = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { file: file.to_path_buf(), outcomes })
    }

    pub fn has(&self, sampler: &str, spacing: &str, calls: usize) -> bool {
        let same = |o: &Outcome| o.sampler == sampler && o.spacing == spacing && o.calls == calls;
        self.outcomes.iter().any(same)
    }

    pub fn add(&mut self, outcome: Outcome) -> Result<()> {
        let line = serde_json::to_string(&outcome)?;
        writeln!(OpenOptions::new().create(true).append(true).open(&self.file)?, "{line}")?;
        eprintln!("{line}");
        self.outcomes.push(outcome);
        Ok(())
    }

    /// A Markdown table: a row for each sampler, a column for each number of calls.
    pub fn print(&self, calls: &[usize]) -> Result<()> {
        let mut rows: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &self.outcomes {
            let name = format!("{} {}", outcome.sampler, outcome.spacing);
            rows.entry(name).or_default().push(outcome);
        }
        let mut text = String::from("| sampler, levels |");
        calls.iter().for_each(|calls| text += &format!(" {calls} |"));
        text += " more |\n|---|";
        (0..=calls.len()).for_each(|_| text += "---|");
        for (name, mut outcomes) in rows {
            outcomes.sort_by_key(|outcome| outcome.calls);
            text += &format!("\n| {} |", name.trim());
            let mut low = 0;
            for high in calls.iter().copied().chain([usize::MAX]) {
                let here = outcomes.iter().filter(|o| (low..=high).contains(&o.calls));
                let cells: Vec<String> = here.map(|outcome| cell(outcome, high)).collect();
                text += &format!(" {} |", cells.join("; "));
                low = high.saturating_add(1);
            }
        }
        println!("{text}");
        Ok(())
    }
}

/// The three metrics, with the number of calls if it differs from that of the column.
fn cell(outcome: &Outcome, column: usize) -> String {
    let Outcome { calls, wasserstein, kernel, accuracy, .. } = outcome;
    let shown_calls =
        if *calls == column || *calls == 0 { String::new() } else { format!("{calls}: ") };
    format!("{shown_calls}{wasserstein:.4}, {:.1}, {:.1} %", kernel * 1e3, accuracy * 100.0)
}
