//! A self-contained HTML page about a run.

mod curves;
mod evaluation;
mod pictures;
mod schedule;
mod summary;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use toml::Table;

use crate::Run;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// An animated image file.
#[derive(Debug, Clone, PartialEq)]
pub struct Animation {
    /// Contents of the file.
    pub bytes: Vec<u8>,
    /// Media type: `image/apng` or `image/gif`.
    pub media: &'static str,
    /// Caption.
    pub caption: String,
}

/// Additional content of the page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras {
    /// Animation of the denoising by the trained model.
    pub animation: Option<Animation>,
    /// Description of the machine: names and values.
    pub environment: Vec<(String, String)>,
    /// Notes, such as the reason for a missing animation.
    pub notes: Vec<String>,
}

/// Creates the page. Images, style and script are embedded, so it needs no network.
///
/// ```
/// use inkdrop_report::{Extras, Log, Run, page};
///
/// let log = Log::parse("{\"step\":10,\"loss\":0.5}\n{\"step\":20,\"loss\":0.25}\n");
/// let run = Run { name: "sprites".into(), log, ..Run::default() };
/// let html = page(&run, &Extras::default());
/// assert!(html.contains("loss from 0.5 at step 10 to 0.25 at step 20"));
/// ```
pub fn page(run: &Run, extras: &Extras) -> String {
    let config: Table = run.config.parse().unwrap_or_default();
    let sections = [
        ("Curves", curves::section(run)),
        ("Samples", pictures::samples(run)),
        ("Denoising", extras.animation.as_ref().map(pictures::animation)),
        ("Schedule", schedule::section(&config)),
        ("Evaluation", evaluation::section(run)),
        ("Config", (!run.config.is_empty()).then(|| html! { pre { (run.config.trim_end()) } })),
        ("Environment", pairs(&extras.environment)),
    ];
    let sections: Vec<(&str, Markup)> =
        sections.into_iter().filter_map(|(name, content)| Some((name, content?))).collect();
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (run.name) " · inkdrop" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (run.name) }
                    (summary::tiles(run, &config))
                    @for note in notes(run).iter().chain(&extras.notes) { p.note { (note) } }
                    nav { @for (name, _) in &sections { a href={ "#" (name) } { (name) } } }
                }
                main {
                    @for (name, content) in &sections {
                        section id=(name) { h2 { (name) } (content) }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    html.into_string()
}

/// Notes on invalid lines and values of the log.
fn notes(run: &Run) -> Vec<String> {
    let log = &run.log;
    let counted = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    [
        counted(
            log.broken,
            "line of the log could not be read",
            "lines of the log could not be read",
        ),
        counted(
            log.not_finite,
            "number of the log is not finite",
            "numbers of the log are not finite",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Names and values in two columns; `None` if there are none.
fn pairs(pairs: &[(String, String)]) -> Option<Markup> {
    (!pairs.is_empty()).then(|| {
        html! {
            dl { @for (name, value) in pairs { div { dt { (name) } dd { (value) } } } }
        }
    })
}
