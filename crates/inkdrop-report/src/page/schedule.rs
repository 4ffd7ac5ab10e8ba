//! Charts of the noise schedule.

use inkdrop_schedule::{Schedule, ScheduleConfig};
use maud::{Markup, html};
use toml::Table;

use crate::chart::{Chart, Line};

/// ᾱ, β and the log signal-to-noise ratio over t; `None` if the config has no schedule.
pub(super) fn section(config: &Table) -> Option<Markup> {
    let named = config.get("process")?.get("schedule")?.clone();
    let built = named.try_into::<ScheduleConfig>().map_err(|error| error.to_string());
    let built = built.and_then(|config| config.build().map_err(|error| error.to_string()));
    Some(match built {
        Ok(schedule) => {
            let figures: Vec<Markup> = charts(&schedule).iter().filter_map(Chart::figure).collect();
            html! { div.cards { @for figure in &figures { (figure) } } }
        }
        Err(error) => html! { p.empty { "The schedule is invalid: " (error.trim()) } },
    })
}

fn charts(schedule: &Schedule) -> [Chart; 3] {
    let chart = |title: &str, values: &mut dyn Iterator<Item = f64>| {
        let points = values.enumerate().map(|(t, value)| (t as f64, value)).collect();
        Chart {
            title: title.to_string(),
            x: "t",
            log: false,
            lines: vec![Line::new(title, points)],
        }
    };
    let bars = schedule.alphas_cumprod();
    [
        chart("ᾱ, share of the image's variance", &mut bars.iter().copied()),
        chart("β, noise of each step", &mut schedule.betas().iter().copied()),
        chart("ln SNR", &mut schedule.snr().iter().map(|snr| snr.ln())),
    ]
}
