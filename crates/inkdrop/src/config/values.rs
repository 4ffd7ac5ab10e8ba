//! Config values: `KEY=VALUE` of the command line, and the difference of two configs.

use std::collections::BTreeSet;

use serde_json::Value;
use toml::Table;

use crate::Result;
use crate::error::Context;

/// Splits `KEY=VALUE` of `--set`.
///
/// - example: of the command, for the error
pub fn split_assignment<'a>(text: &'a str, example: &str) -> Result<(&'a str, &'a str)> {
    let (key, value) = text
        .split_once('=')
        .with_context(|| format!("--set {text}: expected key=value, such as {example}"))?;
    Ok((key.trim(), value))
}

/// Parses a value: TOML, else JSON, else text.
pub fn parse_value(text: &str) -> toml::Value {
    let toml = || format!("value = {text}").parse::<Table>().ok()?.remove("value");
    let json = || serde_json::from_str(text).ok();
    match toml().or_else(json) {
        // No config has dates, but a name may look like one.
        None | Some(toml::Value::Datetime(_)) => toml::Value::String(text.to_string()),
        Some(value) => value,
    }
}

/// A value that differs between two configs; a missing value is null.
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// The dotted key; empty if the configs themselves are not objects.
    pub key: String,
    /// The value of the other config.
    pub there: Value,
    /// The value of this config.
    pub here: Value,
}

/// All values that differ, in the order of their keys.
pub fn diff(there: &Value, here: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    collect_differences("", there, here, &mut differences);
    differences
}

fn collect_differences(key: &str, there: &Value, here: &Value, found: &mut Vec<Difference>) {
    if there == here {
        return;
    }
    let (Value::Object(left), Value::Object(right)) = (there, here) else {
        let (key, there, here) = (key.to_string(), there.clone(), here.clone());
        return found.push(Difference { key, there, here });
    };
    for name in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        let value = |side: &serde_json::Map<String, Value>| side.get(name).cloned();
        let (there, here) = (value(left).unwrap_or_default(), value(right).unwrap_or_default());
        collect_differences(&key, &there, &here, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_toml_or_json_or_text() {
        for (text, expected) in [
            ("5e-4", json!(5e-4)),
            ("1_000", json!(1000)),
            ("true", json!(true)),
            ("[1, 2]", json!([1, 2])),
            ("{huber = {delta = 0.1}}", json!({"huber": {"delta": 0.1}})),
            (r#"{"huber": {"delta": 0.1}}"#, json!({"huber": {"delta": 0.1}})),
            (r#""quoted""#, json!("quoted")),
            ("cosine", json!("cosine")),
            ("a/path with spaces", json!("a/path with spaces")),
            ("2026-01-02", json!("2026-01-02")),
            ("", json!("")),
        ] {
            assert_eq!(serde_json::to_value(parse_value(text)).ok(), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_assignment_has_a_key_and_a_value() {
        for (text, expected) in
            [("a.b=1", ("a.b", "1")), (" a = x=y", ("a", " x=y")), ("a=", ("a", ""))]
        {
            assert_eq!(split_assignment(text, "a=1").ok(), Some(expected));
        }
        let error = split_assignment("heads", "heads=4").map_err(|error| error.to_string());
        assert_eq!(error, Err("--set heads: expected key=value, such as heads=4".to_string()));
    }

    #[test]
    fn a_difference_has_a_dotted_key_and_both_values() {
        let check = |there: Value, here: Value, expected: &[(&str, Value, Value)]| {
            let expected = expected.iter().cloned().map(|(key, there, here)| Difference {
                key: key.to_string(),
                there,
                here,
            });
            assert_eq!(diff(&there, &here), expected.collect::<Vec<_>>());
        };
        let base = json!({"seed": 1, "model": {"weights": "ab", "network": [1, 2]}});
        check(base.clone(), base.clone(), &[]);
        check(json!({"a": null, "b": 1}), json!({"b": 1}), &[]);
        check(json!({}), json!({"eta": 0.5}), &[("eta", Value::Null, json!(0.5))]);
        let other = json!({"seed": 2, "model": {"weights": "cd", "network": [1, 2]}});
        let differences =
            [("model.weights", json!("ab"), json!("cd")), ("seed", json!(1), json!(2))];
        check(base, other, &differences);
        let (object, text) = (json!({"x": {"y": 1}}), json!({"x": "z"}));
        check(object, text, &[("x", json!({"y": 1}), json!("z"))]);
    }
}
