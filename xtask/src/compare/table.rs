//! The results as a Markdown table of at most 110 columns.

use super::pairs::{Figure, Pair};
use super::result::{Baseline, RowResult, Trouble};
use super::statistics::Summary;

/// Maximum number of columns of a line.
pub const WIDTH: usize = 110;

/// All rows as Markdown, with notes below the table.
pub fn markdown(all: &[RowResult]) -> String {
    let mut text = String::from(
        "| row | against | ours | theirs | ratio | quartiles | spread | |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for result in all {
        text += &line(result, (result.row.name, "A/A", ""), &result.same);
        for Baseline { mode, pairs, .. } in &result.baselines {
            let verdict = result.row.figure().verdict(pairs, &result.same);
            text += &line(result, ("", mode, verdict), pairs);
        }
    }
    let notes: Vec<String> = all.iter().flat_map(notes).collect();
    if !notes.is_empty() {
        text += "\n";
        text += &notes.concat();
    }
    text + LEGEND
}

const LEGEND: &str = "
Medians over pairs of new processes, in alternating order. Ratio of times: theirs / ours (above 1, inkdrop is
faster); of memory: ours / theirs (below 1, inkdrop takes less). A/A is inkdrop against itself: a ratio inside
its spread, or inside the inverse of it, is even.
";

/// The line of one baseline; empty if nothing was measured.
fn line(
    result: &RowResult,
    (name, baseline, verdict): (&str, &str, &str),
    pairs: &[Pair],
) -> String {
    let figure = result.row.figure();
    let side = |of: fn(&Pair) -> f64| Summary::of(&pairs.iter().map(of).collect::<Vec<_>>());
    let (Some(ours), Some(theirs)) = (side(|pair| pair.ours), side(|pair| pair.theirs)) else {
        return String::new();
    };
    let Some(ratios) = figure.ratios(pairs) else { return String::new() };
    let Summary { least, lower, median, upper, most } = ratios;
    format!(
        "| {name} | {baseline} | {} | {} | {} | {}–{} | {}–{} | {verdict} |\n",
        amount(figure, ours.median),
        amount(figure, theirs.median),
        ratio(median),
        ratio(lower),
        ratio(upper),
        ratio(least),
        ratio(most),
    )
}

/// Notes on rows and baselines that could not be measured.
fn notes(result: &RowResult) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(failure) = &result.failure {
        notes.push(wrapped(&format!("{}: FAILED: {failure}", result.row.name)));
    }
    for Baseline { mode, trouble, .. } in &result.baselines {
        let text = match trouble {
            Some(Trouble::Differs(text)) => format!("FAILED: its {text}; it is not timed"),
            Some(Trouble::CannotRun(text)) => format!("cannot run: {text}"),
            None => continue,
        };
        notes.push(wrapped(&format!("{}, {mode}: {text}", result.row.name)));
    }
    notes
}

/// A list item, wrapped at [`WIDTH`].
fn wrapped(text: &str) -> String {
    let mut lines = String::from("-");
    let mut column = 1;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column + 1 + length > WIDTH && column > 2 {
            lines += "\n ";
            column = 1;
        }
        let kept: String = word.chars().take(WIDTH - 2).collect();
        lines += &format!(" {kept}");
        column += 1 + kept.chars().count();
    }
    lines + "\n"
}

/// Formats a figure with three digits and its unit.
pub fn amount(figure: Figure, value: f64) -> String {
    match figure {
        Figure::Peak => format!("{value:.0} MiB"),
        Figure::Seconds | Figure::Wall => seconds(value),
    }
}

/// Formats a time in s, ms or µs.
pub fn seconds(value: f64) -> String {
    match value {
        1.0.. => format!("{} s", digits(value)),
        1e-3..1.0 => format!("{} ms", digits(value * 1e3)),
        _ => format!("{} µs", digits(value * 1e6)),
    }
}

fn digits(value: f64) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0..100.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// Formats a ratio with three digits.
pub fn ratio(value: f64) -> String {
    digits(value)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::compare::rows::BenchRow;

    /// A result whose table has the widest lines.
    pub fn wide() -> RowResult {
        let row = BenchRow {
            name: "forward/improved_cifar10/8",
            ..BenchRow::matching("cifar10/8").remove(0)
        };
        let pairs = |theirs: f64| vec![Pair { ours: 0.4444, theirs }; 3];
        let baseline = |mode, theirs, trouble| Baseline {
            mode,
            difference: None,
            pairs: if theirs > 0.0 { pairs(theirs) } else { Vec::new() },
            trouble,
        };
        let error = "a word ".repeat(40) + &"long".repeat(60);
        let baselines = vec![
            baseline("eager", 88.8888, None),
            baseline("channels_last", 0.4555, None),
            baseline("compile", 0.0, Some(Trouble::CannotRun(error))),
        ];
        let same = [0.44, 0.45, 0.44, 0.45, 0.4444];
        let same = same.map(|theirs| Pair { ours: 0.4444, theirs }).to_vec();
        RowResult { row, difference: None, same, baselines, failure: None }
    }

    #[test]
    fn no_line_is_too_long() {
        let text = markdown(&[wide()]);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(text.contains("| channels_last | 444 ms | 456 ms | 1.02 |"), "{text}");
        assert!(text.contains("| 200 | 200–200 | 200–200 | faster |"), "{text}");
    }

    #[test]
    fn failures_become_notes() {
        let mut result = wide();
        result.baselines[0].trouble = Some(Trouble::Differs("outputs differ by 1".to_owned()));
        result.failure = Some("no weights".to_owned());
        let text = markdown(&[result]);
        for part in [
            "- forward/improved_cifar10/8: FAILED: no weights\n",
            "8, eager: FAILED: its outputs differ by 1; it is not timed\n",
            "8, compile: cannot run: a word",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn figures_have_a_unit_and_three_digits() {
        let all = [12.34, 1.0, 0.1234, 0.001, 1.23456e-5].map(seconds);
        assert_eq!(all, ["12.3 s", "1.00 s", "123 ms", "1.00 ms", "12.3 µs"]);
        assert_eq!(amount(Figure::Peak, 123.4), "123 MiB");
        assert_eq!([0.987, 12.345, 234.5].map(ratio), ["0.99", "12.3", "234"]);
    }
}
