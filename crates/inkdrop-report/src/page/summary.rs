//! Summary of the run: state, steps, loss and time.

use maud::{Markup, html};
use toml::{Table, Value};

use crate::Run;
use crate::scale::short;

/// The summary at the top of the page.
pub(super) fn tiles(run: &Run, config: &Table) -> Markup {
    let planned = at(config, "train", "steps").and_then(Value::as_integer);
    let done = run.log.last_step;
    let state = match (run.finished, done) {
        (true, _) => "finished",
        (false, None) => "no steps logged yet",
        (false, Some(_)) => "not finished",
    };
    let steps = done.map(|done| match planned {
        Some(planned) => format!("{done} of {planned}"),
        None => done.to_string(),
    });
    let family = at(config, "model", "family").and_then(Value::as_str).map(str::to_string);
    let tiles = [
        ("state", Some(state.to_string())),
        ("network", family),
        ("steps", steps),
        ("phases", planned.and_then(|planned| phases(config, planned))),
        ("loss", last(run, "loss")),
        ("validation", last(run, "validation")),
        ("images/s", last(run, "images_per_s")),
        ("training", trained(run)),
    ];
    html! {
        dl.tiles {
            @for (name, value) in tiles {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
        }
        @if let (Some(done), Some(planned)) = (done, planned) {
            progress max=(planned.max(1)) value=(done) aria-label="steps done" {}
        }
    }
}

fn at<'a>(config: &'a Table, section: &str, key: &str) -> Option<&'a Value> {
    config.get(section)?.get(key)
}

/// The phases of a run that mid-trains a consistency model before it tunes it, with their steps.
fn phases(config: &Table, planned: i64) -> Option<String> {
    let loss = at(config, "train", "loss")?.get("consistency-phases")?;
    let share = loss.get("share")?;
    let share = share.as_float().or_else(|| share.as_integer().map(|share| share as f64))?;
    let before = (share * planned as f64).round() as i64; // as `ConsistencyPhases::mid_training_steps`
    Some(format!("{before} mid-training, {} tuning", planned - before))
}

/// The last value of a curve.
fn last(run: &Run, key: &str) -> Option<String> {
    run.log.curve(key).last().map(|(_, value)| short(*value))
}

/// Training time, summed over all starts of the run, whose clocks start at 0.
fn trained(run: &Run) -> Option<String> {
    let seconds: Vec<f64> = run.log.curve("seconds").iter().map(|(_, s)| *s).collect();
    let ends = seconds.iter().zip(seconds.iter().skip(1)).filter(|(now, next)| next < now);
    let total = ends.map(|(now, _)| now).sum::<f64>() + seconds.last()?;
    let whole = total.max(0.0) as u64;
    Some(match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    })
}
