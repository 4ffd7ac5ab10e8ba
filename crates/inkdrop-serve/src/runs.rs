//! Training runs: their curves and samples, and requests to the trainer.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use inkdrop_report::{
    Run, RunRequest, SampleColours, in_progress, sample_colours, sample_path, sample_steps,
};
use serde_json::{Value, json};

use crate::api::{blocking, file};
use crate::app::{App, RunEntry};
use crate::error::ApiError;

/// Maximum number of points of a curve in an answer.
const POINTS: usize = 1000;

/// Interval between two checks of the run directories.
const LOOK: Duration = Duration::from_millis(1000);

type ApiResult<T> = Result<T, ApiError>;

/// `GET /v1/runs`.
pub async fn list(State(app): State<App>) -> Json<Value> {
    let entry = |run: &RunEntry| json!({ "name": run.name, "folder": run.folder, "in_progress": in_progress(&run.folder) });
    Json(json!({ "data": app.runs.iter().map(entry).collect::<Vec<_>>() }))
}

/// `GET /v1/runs/{name}`: config, curves, steps with samples, and the colours of the samples.
pub async fn detail(State(app): State<App>, Path(name): Path<String>) -> ApiResult<Json<Value>> {
    let folder = app.run(&name)?;
    let detail = blocking(move || describe(&name, &folder)).await?;
    detail.map(Json).map_err(ApiError::failed)
}

fn describe(name: &str, folder: &FilePath) -> Result<Value, String> {
    let run = Run::open_metrics(folder).map_err(|error| error.to_string())?;
    let curves: BTreeMap<&str, Vec<(f64, Option<f64>)>> =
        run.log.keys().map(|key| (key, thinned(run.log.curve(key)))).collect();
    let config: toml::Table = run.config.parse().unwrap_or_default();
    let mut flat = BTreeMap::new();
    flatten("", &toml::Value::Table(config), &mut flat);
    Ok(json!({
        "name": name,
        "config": run.config,
        "settings": flat,
        "steps": run.planned_steps,
        "step": run.log.last_step,
        "finished": run.finished,
        "in_progress": in_progress(folder),
        "curves": curves,
        "samples": sample_steps(folder),
        "colours": sample_colours(folder).iter().map(colours).collect::<Vec<_>>(),
    }))
}

fn colours(colours: &SampleColours) -> Value {
    json!({
        "step": colours.step, "mean": colours.mean, "data_mean": colours.data_mean,
        "drift": colours.drift(), "drifts": colours.drifts(),
    })
}

/// At most [`POINTS`] points, each the mean of a stretch; `null` where values are not finite.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, Option<f64>)> {
    let stretch = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let step = points.last().map_or(0.0, |(step, _)| *step);
        let mean = points.iter().map(|(_, value)| value).sum::<f64>() / points.len() as f64;
        (step, mean.is_finite().then_some(mean))
    };
    points.chunks(stretch).map(mean).collect()
}

/// The values of a config by dotted key.
fn flatten(prefix: &str, value: &toml::Value, flat: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, flat);
            }
        }
        value => _ = flat.insert(prefix.to_string(), value.to_string()),
    }
}

/// `GET /v1/runs/{name}/samples/{step}.png`.
pub async fn sample(
    State(app): State<App>,
    Path((name, step)): Path<(String, String)>,
) -> ApiResult<Response> {
    let folder = app.run(&name)?;
    let number = step.strip_suffix(".png").and_then(|step| step.parse().ok());
    let number: u64 = number
        .ok_or_else(|| ApiError::missing(format!("samples of `{step}`: expected STEP.png")))?;
    let png = blocking(move || std::fs::read(sample_path(&folder, number))).await?;
    let png =
        png.map_err(|_| ApiError::missing(format!("{name} has no samples of step {number}")))?;
    Ok(file("image/png", None, png))
}

/// `POST /v1/runs/{name}/{request}`: stop, checkpoint or sample; the trainer obeys after its step.
pub async fn request(
    State(app): State<App>,
    Path((name, request)): Path<(String, String)>,
) -> ApiResult<StatusCode> {
    let folder = app.run(&name)?;
    let request: RunRequest = request.parse().map_err(ApiError::missing)?;
    let sent = blocking(move || {
        if !in_progress(&folder) {
            return Err(ApiError::invalid(format!("{name} is not in progress: nothing obeys")));
        }
        request.send(&folder).map_err(|error| ApiError::failed(error.to_string()))
    });
    sent.await?.map(|()| StatusCode::ACCEPTED)
}

/// Sends an event when the log or the samples of a run change.
pub async fn watch(app: App) {
    let mut seen: Vec<Option<(u64, u64, bool)>> = vec![None; app.runs.len()];
    let mut stopping = app.stopping.subscribe();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        if !app.events.is_watched() {
            continue;
        }
        let runs = app.runs.clone();
        let states =
            blocking(move || runs.iter().map(|run| state(&run.folder)).collect::<Vec<_>>());
        let Ok(states) = states.await else { continue };
        for ((run, seen), state) in app.runs.iter().zip(&mut seen).zip(states) {
            if seen.replace(state) != Some(state) {
                app.events.send(&json!({ "type": "run", "name": run.name }));
            }
        }
    }
}

/// Length of the log, number of sample grids, and whether the run is in progress.
fn state(folder: &FilePath) -> (u64, u64, bool) {
    let log = std::fs::metadata(folder.join("log.jsonl")).map_or(0, |file| file.len());
    (log, sample_steps(folder).len() as u64, in_progress(folder))
}
