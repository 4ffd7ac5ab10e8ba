//! Standard output: closed pipes (`inkdrop inspect FILE | head`) and wrapping at 80 columns.

use std::io::{self, ErrorKind, Write};

use anyhow::Result;

/// Prints a line. A closed pipe is not an error.
pub fn print_line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Terminal width.
const COLUMNS: usize = 80;

/// Formats `  key        text`, wrapped between words.
pub fn entry(key: &str, text: &str) -> String {
    const INDENT: usize = 13;
    let (mut lines, mut line) = (Vec::new(), format!("  {key:<width$}", width = INDENT - 3));
    for word in text.split(' ') {
        let long = line.chars().count() + 1 + word.chars().count() > COLUMNS;
        if long && line.chars().count() > INDENT {
            lines.push(std::mem::replace(&mut line, " ".repeat(INDENT - 1)));
        }
        line += " ";
        line += word;
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words() {
        let text = ["word"; 30].join(" ");
        let entry = entry("key", &text);
        let lines: Vec<&str> = entry.lines().collect();
        assert_eq!(lines.len(), 3, "{entry}");
        assert!(lines.iter().all(|line| line.len() <= COLUMNS), "{entry}");
        assert!(lines[0].starts_with("  key        word word"), "{entry}");
        assert!(lines[1].starts_with("             word word"), "{entry}");
        assert_eq!(entry.split_whitespace().skip(1).collect::<Vec<_>>().join(" "), text);
    }
}
