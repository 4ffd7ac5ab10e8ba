//! The HTTP API: models, images, jobs and events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::app::App;
use crate::body::{ImagesBody, read};
use crate::engine::{JobImages, ModelInfo, Request};
use crate::error::ApiError;
use crate::queue::{JobId, JobStatus, Refusal};
use crate::{pictures, recipe};

type ApiResult<T> = Result<T, ApiError>;

/// Runs work that reads files or encodes pictures, away from the connections.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(|error| ApiError::failed(format!("the server failed: {error}; report it")))
}

async fn models_of(app: &App) -> ApiResult<Vec<ModelInfo>> {
    let backend = app.backend.clone();
    blocking(move || backend.models()).await
}

/// `GET /v1/models`: in the form of OpenAI's API, with what a page has to know.
pub async fn models(State(app): State<App>) -> ApiResult<Json<Value>> {
    let models = models_of(&app).await?;
    let limits = json!({ "images": app.limits.images, "steps": app.limits.steps });
    let data: Vec<Value> = models.iter().map(model_entry).collect();
    Ok(Json(json!({ "object": "list", "data": data, "limits": limits })))
}

fn model_entry(model: &ModelInfo) -> Value {
    let mut entry = json!(model);
    entry["object"] = json!("model");
    entry["created"] = json!(0);
    entry["owned_by"] = json!("inkdrop");
    entry
}

/// `GET /v1/models/{id}`.
pub async fn model(State(app): State<App>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let models = models_of(&app).await?;
    let model = models.iter().find(|model| model.id == id);
    let model = model.ok_or_else(|| ApiError::missing(format!("there is no model `{id}`")))?;
    Ok(Json(model_entry(model)))
}

/// A submitted job. Dropping it cancels the job: its client has left.
struct Submitted<'a> {
    app: &'a App,
    id: JobId,
    status: watch::Receiver<JobStatus>,
}

impl Drop for Submitted<'_> {
    fn drop(&mut self) {
        if !self.status.borrow().is_final() {
            self.app.queue.cancel(&self.id);
        }
    }
}

impl Submitted<'_> {
    /// Waits for the images.
    async fn images(&mut self) -> ApiResult<(Arc<JobImages>, Request)> {
        let status = self.status.wait_for(JobStatus::is_final).await;
        match status.map(|status| status.clone()) {
            Ok(JobStatus::Failed { message, invalid: true }) => Err(ApiError::invalid(message)),
            Ok(JobStatus::Failed { .. } | JobStatus::Cancelled) if *self.app.stopping.borrow() => {
                Err(Refusal::Closed.into())
            }
            Ok(JobStatus::Failed { message, .. }) => Err(ApiError::failed(message)),
            _ => self
                .app
                .queue
                .images(&self.id)
                .ok_or_else(|| ApiError::missing("the job was cancelled")),
        }
    }
}

async fn submit(app: &App, body: ImagesBody) -> ApiResult<(JobId, watch::Receiver<JobStatus>)> {
    let animation = body.animation;
    let request = body.request(&models_of(app).await?, &app.limits)?;
    let submitted = app.queue.submit(request, animation);
    Ok(submitted.inspect_err(|_| app.metrics.full())?)
}

/// `POST /v1/images/generations`: images at once, in the form of OpenAI's API.
pub async fn generations(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let body: ImagesBody = read(body, app.limits.body).await?;
    let as_url = match body.response_format.as_deref() {
        None | Some("b64_json") => false,
        Some("url") => true,
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "response_format is {other}: expected b64_json or url"
            )));
        }
    };
    let (id, status) = submit(&app, body).await?;
    let mut job = Submitted { app: &app, id, status };
    let (result, request) = job.images().await?;
    let (id, seed) = (job.id.clone(), request.seed);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let url = format!("http://{host}/v1/jobs/{id}/images");
    let data = blocking(move || {
        let entry = |index: usize| match as_url {
            true => json!({ "url": format!("{url}/{index}.png"), "seed": seed, "index": index }),
            false => {
                let png = pictures::png(&result.images, index).unwrap_or_default();
                json!({ "b64_json": pictures::base64(&png), "seed": seed, "index": index })
            }
        };
        (0..result.images.len()).map(entry).collect::<Vec<_>>()
    });
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let model = request.settings.model;
    Ok(Json(json!({ "created": created, "model": model, "data": data.await? })))
}

/// `POST /v1/jobs`: the same in the background; its steps come as events.
pub async fn create_job(State(app): State<App>, body: Body) -> ApiResult<Response> {
    let body: ImagesBody = read(body, app.limits.body).await?;
    let models = models_of(&app).await?;
    let animation = body.animation;
    let request = body.request(&models, &app.limits)?;
    let model = models.iter().find(|model| model.id == request.settings.model);
    let recipes =
        model.map(|model| (recipe::command(model, &request), recipe::rust(model, &request)));
    let (command, rust) = recipes.unwrap_or_default();
    let (seed, count) = (request.seed, request.count);
    let submitted = app.queue.submit(request, animation);
    let (id, _) = submitted.inspect_err(|_| app.metrics.full())?;
    let entry = json!({ "id": id, "seed": seed, "n": count, "command": command, "rust": rust });
    Ok((StatusCode::ACCEPTED, Json(entry)).into_response())
}

fn no_job(id: &str) -> ApiError {
    ApiError::missing(format!("there is no job {id}; only the newest are kept"))
}

/// `GET /v1/jobs/{id}`: its status.
pub async fn job(State(app): State<App>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let status = app.queue.status(&id).ok_or_else(|| no_job(&id))?;
    let mut entry = json!(status);
    entry["id"] = json!(id);
    Ok(Json(entry))
}

/// `DELETE /v1/jobs/{id}`: cancels it.
pub async fn cancel_job(State(app): State<App>, Path(id): Path<String>) -> ApiResult<StatusCode> {
    match app.queue.cancel(&id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_job(&id)),
    }
}

/// `GET /v1/jobs/{id}/images/{index}.png`.
pub async fn job_image(
    State(app): State<App>,
    Path((id, name)): Path<(String, String)>,
) -> ApiResult<Response> {
    let (job, _) = app.queue.images(&id).ok_or_else(|| no_job(&id))?;
    let count = job.images.len();
    let index = name.strip_suffix(".png").and_then(|index| index.parse().ok());
    let png = blocking(move || pictures::png(&job.images, index?)).await?;
    let png = png.ok_or_else(|| {
        ApiError::missing(format!(
            "there is no image {name}: expected 0.png to {}.png",
            count.saturating_sub(1)
        ))
    })?;
    Ok(file("image/png", None, png))
}

/// `GET /v1/jobs/{id}/{name}`: images.png (a grid), images.npz, or animation.gif.
pub async fn job_file(
    State(app): State<App>,
    Path((id, name)): Path<(String, String)>,
) -> ApiResult<Response> {
    let (job, _) = app.queue.images(&id).ok_or_else(|| no_job(&id))?;
    let frames = app.queue.frames(&id).unwrap_or_default();
    let wanted = name.clone();
    let (kind, bytes) = match name.as_str() {
        "images.png" => {
            let grid = move || pictures::grid_png(&job.images);
            ("image/png", blocking(grid).await?)
        }
        "images.npz" => {
            ("application/octet-stream", blocking(move || pictures::npz(&job).ok()).await?)
        }
        "animation.gif" | "film.gif" => {
            ("image/gif", blocking(move || pictures::gif(&frames)).await?)
        }
        _ => {
            return Err(ApiError::missing(format!(
                "there is no file {name}: expected images.png, images.npz or animation.gif"
            )));
        }
    };
    let bytes = bytes.ok_or_else(|| ApiError::missing(format!("this job has no {wanted}")))?;
    Ok(file(kind, Some(&wanted), bytes))
}

/// A file; with a name, browsers save it.
pub fn file(kind: &'static str, name: Option<&str>, bytes: Vec<u8>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, kind)], bytes).into_response();
    let disposition = name.and_then(|name| format!("attachment; filename=\"{name}\"").parse().ok());
    if let Some(disposition) = disposition {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

/// `GET /v1/events`: the stream, until the server stops.
pub async fn events(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (receiver, stopping) = (app.events.subscribe(), app.stopping.subscribe());
    let stream = stream::unfold((receiver, stopping), |(mut receiver, mut stopping)| async move {
        loop {
            let event = tokio::select! {
                event = receiver.recv() => event,
                _ = stopping.wait_for(|stopping| *stopping) => return None,
            };
            match event {
                Ok(text) => return Some((Ok(Event::default().data(&*text)), (receiver, stopping))),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
}
