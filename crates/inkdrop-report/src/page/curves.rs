//! Charts of the log, with related keys in one chart.

use maud::{Markup, html};

use crate::Run;
use crate::chart::{Chart, Line};

/// Keys that share a chart. Every other key has its own.
struct Group {
    title: &'static str,
    /// True if the y axis may be logarithmic.
    log: bool,
    holds: fn(&str) -> bool,
}

const GROUPS: [Group; 5] = [
    Group { title: "loss", log: true, holds: |key| key == "loss" || key.starts_with("validation") },
    Group {
        title: "loss by quartile of the timestep, q0 has the least noise",
        log: true,
        holds: |key| key.starts_with("loss_q"),
    },
    Group { title: "learning rate", log: false, holds: |key| key == "lr" },
    Group { title: "gradient norm", log: true, holds: |key| key == "grad_norm" },
    Group { title: "images per second", log: false, holds: |key| key == "images_per_s" },
];

/// Seconds since the last start of the run, which are not charted. The page shows their sum.
const CLOCK: &str = "seconds";

/// Words in other keys whose axis may be logarithmic.
const DECADES: [&str; 3] = ["loss", "norm", "scale"];

/// Charts of all keys.
pub(super) fn section(run: &Run) -> Option<Markup> {
    let charts = charts(run);
    let figures: Vec<Markup> = charts.iter().filter_map(Chart::figure).collect();
    Some(html! {
        @if figures.is_empty() {
            p.empty { "The log contains no metrics yet." }
        } @else {
            div.cards { @for figure in &figures { (figure) } }
        }
    })
}

fn charts(run: &Run) -> Vec<Chart> {
    let line = |key: &str| Line::new(key, run.log.curve(key).to_vec());
    let chart = |title: &str, log, lines| Chart { title: title.to_string(), x: "step", log, lines };
    let grouped = GROUPS.iter().map(|group| {
        chart(
            group.title,
            group.log,
            run.log.keys().filter(|key| (group.holds)(key)).map(line).collect(),
        )
    });
    let known = |key: &str| key == CLOCK || GROUPS.iter().any(|group| (group.holds)(key));
    let alone = run.log.keys().filter(|key| !known(key));
    grouped
        .chain(alone.map(|key| {
            chart(
                &key.replace('_', " "),
                DECADES.iter().any(|word| key.contains(word)),
                vec![line(key)],
            )
        }))
        .collect()
}
