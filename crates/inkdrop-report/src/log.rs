//! Metrics of a run, read from log.jsonl.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The metrics of a run: a curve for each key except `step`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Log {
    curves: BTreeMap<String, Vec<(f64, f64)>>,
    /// The step of the last line.
    pub last_step: Option<u64>,
    /// Number of lines that are not a JSON object with a step.
    pub broken: usize,
    /// Number of values that are null or not finite; NaN in the curves.
    pub not_finite: usize,
}

impl Log {
    /// Parses lines of JSON objects, each with a `step` and any other numbers.
    ///
    /// It never fails: invalid lines are counted, and `null` (which JSON has instead of NaN) is a gap.
    /// If the step decreases, the run was resumed from an earlier checkpoint. Then the new lines replace
    /// the old ones from that step on.
    ///
    /// ```
    /// let log = inkdrop_report::Log::parse("{\"step\":10,\"loss\":0.5}\n{\"step\":20,\"lo");
    /// assert_eq!((log.curve("loss"), log.broken), (&[(10.0, 0.5)][..], 1));
    /// ```
    pub fn parse(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let object = serde_json::from_str::<Map<String, Value>>(line).ok();
            let step = object.as_ref().and_then(|object| object.get("step")?.as_u64());
            match object.zip(step) {
                Some((object, step)) => log.push(&object, step),
                None => log.broken += 1,
            }
        }
        let values = log.curves.values().flatten();
        log.not_finite = values.filter(|(_, value)| !value.is_finite()).count();
        log
    }

    fn push(&mut self, object: &Map<String, Value>, step: u64) {
        let at = step as f64;
        if self.last_step.is_some_and(|last| step <= last) {
            for curve in self.curves.values_mut() {
                curve.retain(|(known, _)| *known < at);
            }
        }
        for (key, value) in object.iter().filter(|(key, _)| *key != "step") {
            let number = match value {
                Value::Number(number) => number.as_f64(),
                Value::Null => Some(f64::NAN),
                _ => None,
            };
            if let Some(number) = number {
                self.curves.entry(key.clone()).or_default().push((at, number));
            }
        }
        self.last_step = Some(step);
    }

    /// The points of a key, steps rising; empty if the log does not contain it. NaN is a gap.
    pub fn curve(&self, key: &str) -> &[(f64, f64)] {
        self.curves.get(key).map_or(&[], Vec::as_slice)
    }

    /// The keys with points, sorted by name.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.curves.iter().filter(|(_, points)| !points.is_empty()).map(|(key, _)| key.as_str())
    }
}
