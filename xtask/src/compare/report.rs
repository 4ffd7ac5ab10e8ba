//! The results as JSON, with the figures of every pair.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::machine::Machine;
use super::outcome::Difference;
use super::pairs::{Figure, Pair};
use super::result::{Baseline, RowResult, Trouble};
use super::statistics::Summary;

/// All results as JSON.
pub fn json(machine: &Machine, pairs: usize, all: &[RowResult]) -> Value {
    let rows: Vec<Value> = all.iter().map(row).collect();
    json!({ "machine": machine.json(), "pairs": pairs, "rows": rows })
}

/// Writes indented JSON.
pub fn write(path: &Path, report: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn row(result: &RowResult) -> Value {
    let figure = result.row.figure();
    let unit = match figure {
        Figure::Seconds => "seconds, medians of processes",
        Figure::Wall => "seconds, whole processes",
        Figure::Peak => "MiB",
    };
    let baselines: Vec<Value> =
        result.baselines.iter().map(|of| baseline(figure, result, of)).collect();
    json!({
        "name": result.row.name,
        "unit": unit,
        "difference": result.difference.map(difference),
        "same": figures(figure, &result.same),
        "baselines": baselines,
        "failure": result.failure,
    })
}

fn baseline(figure: Figure, result: &RowResult, baseline: &Baseline) -> Value {
    let mut value = figures(figure, &baseline.pairs);
    value["verdict"] = figure.verdict(&baseline.pairs, &result.same).into();
    value["name"] = baseline.mode.into();
    value["difference"] = baseline.difference.map(difference).into();
    match &baseline.trouble {
        Some(Trouble::Differs(text)) => value["differs"] = text.as_str().into(),
        Some(Trouble::CannotRun(text)) => value["error"] = text.as_str().into(),
        None => {}
    }
    value
}

/// Every pair, and the summary of their ratios.
fn figures(figure: Figure, pairs: &[Pair]) -> Value {
    let all: Vec<Value> = pairs
        .iter()
        .map(|&pair| {
            json!({ "ours": pair.ours, "theirs": pair.theirs, "ratio": figure.ratio(pair) })
        })
        .collect();
    json!({ "pairs": all, "ratio": figure.ratios(pairs).map(summary) })
}

/// The five numbers of a summary by name.
pub fn summary(summary: Summary) -> Value {
    let Summary { least, lower, median, upper, most } = summary;
    json!({ "least": least, "lower": lower, "median": median, "upper": upper, "most": most })
}

/// A difference as JSON; NaN becomes null.
fn difference(difference: Difference) -> Value {
    let Difference { absolute, largest, each, relative } = difference;
    json!({ "absolute": absolute, "largest": largest, "each": each, "relative": relative })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::table::tests::wide;

    #[test]
    fn every_pair_is_there() {
        let row = row(&wide());
        let eager = &row["baselines"][0];
        assert_eq!(eager["pairs"].as_array().map(Vec::len), Some(3));
        assert_eq!(eager["pairs"][0]["ours"], 0.4444);
        assert_eq!(eager["verdict"], "faster");
        assert!(row["baselines"][2]["error"].is_string() && row["baselines"][2]["ratio"].is_null());
        assert_eq!(row["same"]["pairs"].as_array().map(Vec::len), Some(5));
    }
}
