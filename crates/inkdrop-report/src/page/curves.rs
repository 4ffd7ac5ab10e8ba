//! What the log says, a chart for what belongs together.

use maud::{Markup, html};

use crate::Run;
use crate::chart::{Chart, Line};

/// A chart of its own for keys that belong together; all other keys get one each.
struct Group {
    title: &'static str,
    /// Whether its values may span decades.
    log: bool,
    holds: fn(&str) -> bool,
}

const GROUPS: [Group; 5] = [
    Group { title: "loss", log: true, holds: |key| key == "loss" || key.starts_with("validation") },
    Group {
        title: "loss by noise, q0 the least",
        log: true,
        holds: |key| key.starts_with("loss_q"),
    },
    Group { title: "learning rate", log: false, holds: |key| key == "lr" },
    Group { title: "gradient norm", log: true, holds: |key| key == "grad_norm" },
    Group { title: "images per second", log: false, holds: |key| key == "images_per_s" },
];

/// Seconds since a start of the run; the page adds them up instead.
const CLOCK: &str = "seconds";

/// What is in the names of other keys whose values may span decades.
const DECADES: [&str; 3] = ["loss", "norm", "scale"];

/// Charts of all keys.
pub(super) fn section(run: &Run) -> Option<Markup> {
    let charts = charts(run);
    let figures: Vec<Markup> = charts.iter().filter_map(Chart::figure).collect();
    Some(html! {
        @if figures.is_empty() {
            p.empty { "There are no numbers in the log yet." }
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
