//! All that was found, for programs: JSON with the figures of every pair.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::found::{Found, Rival, Trouble};
use super::machine::Machine;
use super::outcome::Difference;
use super::pairs::{Figure, Pair};
use super::statistics::Summary;

/// Everything as JSON.
pub fn json(machine: &Machine, pairs: usize, all: &[Found]) -> Value {
    let rows: Vec<Value> = all.iter().map(row).collect();
    json!({ "machine": machine.json(), "pairs": pairs, "rows": rows })
}

/// Writes JSON that people can read, too.
pub fn write(path: &Path, report: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn row(found: &Found) -> Value {
    let figure = found.row.figure();
    let unit = match figure {
        Figure::Seconds => "seconds, medians of processes",
        Figure::Wall => "seconds, whole processes",
        Figure::Peak => "MiB",
    };
    let rivals: Vec<Value> = found.rivals.iter().map(|of| rival(figure, found, of)).collect();
    json!({
        "name": found.row.name,
        "unit": unit,
        "difference": found.difference.map(difference),
        "same": figures(figure, &found.same),
        "rivals": rivals,
        "failure": found.failure,
    })
}

fn rival(figure: Figure, found: &Found, rival: &Rival) -> Value {
    let mut value = figures(figure, &rival.pairs);
    value["verdict"] = figure.verdict(&rival.pairs, &found.same).into();
    value["name"] = rival.mode.into();
    value["difference"] = rival.difference.map(difference).into();
    match &rival.trouble {
        Some(Trouble::Differs(text)) => value["differs"] = text.as_str().into(),
        Some(Trouble::CannotRun(text)) => value["error"] = text.as_str().into(),
        None => {}
    }
    value
}

/// Every pair, and what the ratios come to.
fn figures(figure: Figure, pairs: &[Pair]) -> Value {
    let all: Vec<Value> = pairs
        .iter()
        .map(|&pair| {
            json!({ "ours": pair.ours, "theirs": pair.theirs, "ratio": figure.ratio(pair) })
        })
        .collect();
    json!({ "pairs": all, "ratio": figure.ratios(pairs).map(summary) })
}

/// Five numbers by name.
pub fn summary(summary: Summary) -> Value {
    let Summary { least, lower, median, upper, most } = summary;
    json!({ "least": least, "lower": lower, "median": median, "upper": upper, "most": most })
}

/// What is no number becomes null.
fn difference(difference: Difference) -> Value {
    let Difference { absolute, largest, each, relative } = difference;
    json!({ "absolute": absolute, "largest": largest, "each": each, "relative": relative })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::against::table::tests::wide;

    #[test]
    fn every_pair_is_there() {
        let row = row(&wide());
        let eager = &row["rivals"][0];
        assert_eq!(eager["pairs"].as_array().map(Vec::len), Some(3));
        assert_eq!(eager["pairs"][0]["ours"], 0.4444);
        assert_eq!(eager["verdict"], "faster");
        assert!(row["rivals"][2]["error"].is_string() && row["rivals"][2]["ratio"].is_null());
        assert_eq!(row["same"]["pairs"].as_array().map(Vec::len), Some(5));
    }
}
