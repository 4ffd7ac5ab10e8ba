//! Overrides of single config keys, from the command line.

use toml::{Table, Value};

use super::values::{parse_value, split_assignment};
use crate::Result;
use crate::error::Context;

/// Keys of earlier versions and their names now.
const RENAMED: [(&str, &str); 2] =
    [("train.noising", "train.forward_noise"), ("process.mean", "process.prediction")];

/// A change of one key of a config, such as `train.lr`.
pub enum ConfigOverride {
    /// Sets the key to a value.
    Set(String, Value),
    /// Removes the key.
    Unset(String),
}

impl ConfigOverride {
    /// Sets a key to a value.
    pub fn set(key: &str, value: impl Into<Value>) -> Self {
        Self::Set(current_key(key), value.into())
    }

    /// Removes a key.
    pub fn unset(key: &str) -> Self {
        Self::Unset(current_key(key))
    }

    /// Parses `a.b.c=value`.
    pub fn parse(text: &str) -> Result<Self> {
        let (key, value) = split_assignment(text, "train.lr=5e-4")?;
        Ok(Self::set(key, parse_value(value)))
    }

    /// Applies the change to a config.
    pub fn apply(&self, table: &mut Table) -> Result<()> {
        let (Self::Set(key, _) | Self::Unset(key)) = self;
        let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
        let mut at = table;
        for part in section.split('.').filter(|_| !section.is_empty()) {
            let entry = match self {
                Self::Set(..) => at.entry(part).or_insert_with(|| Value::Table(Table::new())),
                Self::Unset(_) => match at.get_mut(part) {
                    Some(entry) => entry,
                    None => return Ok(()), // an empty section would have a meaning
                },
            };
            at = entry
                .as_table_mut()
                .with_context(|| format!("{key}: {part} is a value, expected a section"))?;
        }
        match self {
            Self::Set(_, value) => drop(at.insert(last.to_string(), value.clone())),
            Self::Unset(_) => drop(at.remove(last)),
        }
        Ok(())
    }
}

/// Renames the keys of a config of an earlier version, so that overrides replace them.
pub fn rename_old_keys(table: &mut Table) {
    for (old, new) in RENAMED {
        let ((section, old), (_, new)) =
            (old.split_once('.').unwrap_or(("", old)), new.split_once('.').unwrap_or(("", new)));
        let Some(Value::Table(section)) = table.get_mut(section) else { continue };
        if section.contains_key(new) {
            continue;
        }
        if let Some(value) = section.remove(old) {
            section.insert(new.to_string(), value);
        }
    }
}

fn current_key(key: &str) -> String {
    let key = key.trim();
    let renamed = RENAMED.iter().find(|(old, _)| *old == key);
    renamed.map_or(key, |(_, new)| new).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(config: &str, overrides: &[ConfigOverride]) -> Option<Table> {
        let mut table: Table = config.parse().ok()?;
        rename_old_keys(&mut table);
        overrides.iter().try_for_each(|change| change.apply(&mut table)).ok()?;
        Some(table)
    }

    #[test]
    fn keys_are_set_and_removed() {
        let parsed = |text: &str| ConfigOverride::parse(text).expect("an override");
        let changes = [
            parsed("train.lr = 5e-4"),
            parsed("data.path=x y"),
            ConfigOverride::unset("a.b"),
            ConfigOverride::unset("train.augment.rotate"),
        ];
        let config = applied("[train]\nlr = 1.0\n[a]\nb = 1\nc = 2", &changes);
        let expected = "[train]\nlr = 5e-4\n[a]\nc = 2\n[data]\npath = \"x y\"";
        assert_eq!(config, expected.parse().ok());
        assert_eq!(applied("train = 1", &[parsed("train.lr=1.0")]), None);
    }

    #[test]
    fn an_override_replaces_the_old_or_new_name_of_its_key() {
        let expected = "[train]\nforward_noise = \"sprites-notebook\"".parse().ok();
        for old in ["noising = \"exact\"", "forward_noise = \"standard\"", ""] {
            for key in ["noising", "forward_noise"] {
                let change = ConfigOverride::parse(&format!("train.{key}=sprites-notebook"));
                let change = change.expect("an override");
                assert_eq!(applied(&format!("[train]\n{old}"), &[change]), expected);
            }
        }
    }
}
