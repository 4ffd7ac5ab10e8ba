//! Spacings as they are typed.

use std::fmt;
use std::str::FromStr;

use super::Spacing;
use crate::ScheduleError;

impl FromStr for Spacing {
    type Err = ScheduleError;

    /// `` (all), `50`, `10,15,20`, `ddim50`, `trailing50`, `leading50`,
    /// `leading50+1`, `linspace50`, `quadratic20` or `at:0,10,500`.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let number = |digits: &str| {
            digits.trim().parse::<usize>().map_err(|_| ScheduleError::Spacing(text.to_string()))
        };
        let list = |text: &str| text.split(',').map(number).collect::<Result<Vec<_>, _>>();
        Ok(if text.is_empty() {
            Self::All
        } else if let Some(count) = text.strip_prefix("ddim") {
            Self::Stride(number(count)?)
        } else if let Some(count) = text.strip_prefix("trailing") {
            Self::Trailing(number(count)?)
        } else if let Some(rest) = text.strip_prefix("leading") {
            let (count, offset) = rest.split_once('+').unwrap_or((rest, "0"));
            Self::Leading { count: number(count)?, offset: number(offset)? }
        } else if let Some(count) = text.strip_prefix("linspace") {
            Self::Linspace(number(count)?)
        } else if let Some(count) = text.strip_prefix("quadratic") {
            Self::Quadratic(number(count)?)
        } else if let Some(steps) = text.strip_prefix("at:") {
            Self::Explicit(list(steps)?)
        } else {
            Self::Sections(list(text)?)
        })
    }
}

/// The text that [`FromStr`] reads back. Lists without entries, which pick
/// nothing, have none: no sections are written as all steps are.
impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Sections(counts) => list(f, counts),
            Self::Stride(count) => write!(f, "ddim{count}"),
            Self::Trailing(count) => write!(f, "trailing{count}"),
            Self::Leading { count, offset: 0 } => write!(f, "leading{count}"),
            Self::Leading { count, offset } => write!(f, "leading{count}+{offset}"),
            Self::Linspace(count) => write!(f, "linspace{count}"),
            Self::Quadratic(count) => write!(f, "quadratic{count}"),
            Self::Explicit(steps) => {
                f.write_str("at:")?;
                list(f, steps)
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, numbers: &[usize]) -> fmt::Result {
    for (i, number) in numbers.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        write!(f, "{comma}{number}")?;
    }
    Ok(())
}
