//! Results of `inkdrop eval … --json`: numbers in a table, long lists as charts.

use maud::{Markup, html};
use serde_json::Value;

use super::pairs;
use crate::Run;
use crate::chart::{Chart, Line};

/// Longer lists of numbers are charts.
const LONG: usize = 4;

/// A table and charts for each file; `None` without files.
pub(super) fn section(run: &Run) -> Option<Markup> {
    (!run.evaluations.is_empty()).then(|| {
        html! {
            @for (name, value) in &run.evaluations {
                @let mut evaluation = Evaluation::new(value);
                @let () = evaluation.collect("", value);
                @let figures: Vec<Markup> = evaluation.charts.iter().filter_map(Chart::figure).collect();
                h3 { (name) }
                @if let Some(table) = pairs(&evaluation.texts) { (table) }
                @if !figures.is_empty() { div.cards { @for figure in &figures { (figure) } } }
            }
        }
    })
}

/// The values of an evaluation file, as texts and charts.
struct Evaluation {
    texts: Vec<(String, String)>,
    charts: Vec<Chart>,
    /// The timesteps of lists with a value for each; empty if the file has none.
    timesteps: Vec<f64>,
}

impl Evaluation {
    fn new(file: &Value) -> Self {
        let steps = file.get("steps").and_then(Value::as_array);
        let timesteps = steps.into_iter().flatten().filter_map(Value::as_f64).collect();
        Self { texts: Vec::new(), charts: Vec::new(), timesteps }
    }

    fn collect(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                    self.collect(&name, value);
                }
            }
            Value::Array(values) if values.len() > LONG => {
                let known = self.timesteps.len() == values.len();
                let number = |(at, value): (usize, &Value)| {
                    let x = if known { self.timesteps[at] } else { at as f64 };
                    Some((x, value.as_f64()?))
                };
                let points: Vec<(f64, f64)> =
                    values.iter().enumerate().filter_map(number).collect();
                if name.contains("per_step") && !points.is_empty() {
                    let title = name.to_string();
                    self.charts.push(Chart {
                        lines: vec![Line::new(&*title, points)],
                        title,
                        x: if known { "timestep" } else { "step" },
                        log: true,
                    });
                }
            }
            Value::Array(values) => {
                let texts: Vec<String> = values.iter().map(text).collect();
                self.texts.push((name.to_string(), texts.join(" × ")));
            }
            Value::Null => {}
            value => self.texts.push((name.to_string(), text(value))),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => rounded(value),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Formats a number with six digits.
fn rounded(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_string(),
        ..1e-3 => format!("{value:.5e}"),
        size => format!("{value:.*}", (5 - size.log10().floor() as i32).clamp(0, 8) as usize),
    }
}
