//! log.jsonl: numbers by step, whatever they are called.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The numbers of a run, a curve for each key but `step`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Log {
    curves: BTreeMap<String, Vec<(f64, f64)>>,
    /// The step of the last line.
    pub last_step: Option<u64>,
    /// Lines that are no JSON object with a step.
    pub broken: usize,
    /// Numbers that are missing or not finite, NaN in the curves.
    pub not_finite: usize,
}

impl Log {
    /// Reads lines of JSON objects, each with a `step` and any other numbers.
    ///
    /// Nothing in it is an error: a line that cannot be read is counted, a value that is `null`
    /// (as JSON spells NaN) is a gap. Where steps fall, the run went on from an earlier
    /// checkpoint: later lines then stand for earlier ones of the same steps and beyond.
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

    /// The points of a key, steps rising; none where the log never says it. NaN is a gap.
    pub fn curve(&self, key: &str) -> &[(f64, f64)] {
        self.curves.get(key).map_or(&[], Vec::as_slice)
    }

    /// The keys that have points, in the order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.curves.iter().filter(|(_, points)| !points.is_empty()).map(|(key, _)| key.as_str())
    }
}
