//! docs/glossary.md against the sources: every term leads to an item that exists.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Terms that a newcomer searches for; each needs a row.
const SEARCHED: [&str; 29] = [
    "gradient accumulation",
    "mixed precision",
    "exponential moving average",
    "data augmentation",
    "data loader",
    "prefetch",
    "adaptive group norm",
    "skip connection",
    "residual block",
    "self-attention",
    "variational lower bound",
    "classifier-free guidance",
    "guidance scale",
    "dynamic thresholding",
    "noise schedule",
    "timestep spacing",
    "posterior",
    "loss scaling",
    "gradient clipping",
    "weight decay",
    "warmup",
    "checkpointing",
    "importance sampling of timesteps",
    "U-Net",
    "denoiser",
    "sampling schedule",
    "microbatch",
    "bits per dimension",
    "CUDA graph",
];

struct GlossaryRow {
    term: String,
    item: String,
    file: PathBuf,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn rows() -> Vec<GlossaryRow> {
    let text = fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.split('|').map(|cell| cell.trim().trim_matches('`').to_string()).collect()
    };
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.contains("crates/"));
    rows.map(|line| {
        let cells = cells(line);
        let [_, term, item, file, ..] = &cells[..] else { panic!("{line}: expected four cells") };
        GlossaryRow { term: term.clone(), item: item.clone(), file: root().join(file) }
    })
    .collect()
}

/// True if a source defines an item: a function, type, trait, constant, field or enum variant.
fn defines(source: &str, item: &str) -> bool {
    let kinds = ["fn", "struct", "enum", "trait", "const", "type", "mod"];
    let starts = |line: &str, start: &str| {
        let rest = line.strip_prefix(start);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    source.lines().map(str::trim_start).any(|line| {
        let line = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        let line = line.trim_start_matches("const fn ").trim_start_matches("async ");
        kinds.iter().any(|kind| starts(line, &format!("{kind} {item}"))) || starts(line, item)
    })
}

#[test]
fn every_term_stands_where_its_item_is_defined() {
    let rows = rows();
    assert!(rows.len() > 60, "{} rows", rows.len());
    for GlossaryRow { term, item, file } in rows {
        let source = fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{term}: {}: {error}", file.display()));
        assert!(defines(&source, &item), "{term}: {} defines no {item}", file.display());
        let found = source.to_lowercase().contains(&term.to_lowercase());
        assert!(found, "{term}: not in {}", file.display());
    }
}

#[test]
fn the_terms_that_newcomers_search_for_have_rows() {
    let rows = rows();
    for term in SEARCHED {
        assert!(rows.iter().any(|row| row.term == term), "no row for {term}");
    }
}
