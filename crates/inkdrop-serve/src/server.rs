//! The server: its routes, its connections, and its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use inkdrop_report::Run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::app::{App, Limits, RunEntry, Shared};
use crate::engine::Backend;
use crate::error::{ApiError, ServeError};
use crate::events::Events;
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::queue::{Queue, QueueLimits};
use crate::random::random_hex;
use crate::{api, page, runs, worker};

/// Timeout for the headers of a request.
const HEADERS: Duration = Duration::from_secs(10);

/// Timeout for the answer to a refused connection.
const REFUSAL: Duration = Duration::from_secs(1);

/// Maximum time that shutdown waits for the current pass and for open connections.
const GRACE: Duration = Duration::from_secs(20);

/// Options of a server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The address; 127.0.0.1:7860 by default. Port 0 is any free port.
    pub address: SocketAddr,
    /// Further host names under which it is reached.
    pub allowed_hosts: Vec<String>,
    /// The token of requests that act; random by default.
    pub token: Option<String>,
    /// Limits.
    pub limits: Limits,
    /// Directories of training runs to show.
    pub runs: Vec<PathBuf>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 7860));
        let (allowed_hosts, token, runs) = (Vec::new(), None, Vec::new());
        Self { address, allowed_hosts, token, limits: Limits::default(), runs }
    }
}

/// A server that listens.
pub struct Server {
    app: App,
    listener: TcpListener,
    runtime: tokio::runtime::Runtime,
    token: String,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// The address is in use, a run directory cannot be read, or two runs have the same name.
    pub fn bind(backend: impl Backend, options: &ServeOptions) -> Result<Self, ServeError> {
        let runs = entries(&options.runs)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_io()
            .enable_time()
            .build()
            .map_err(ServeError::Start)?;
        let bind = |source| ServeError::Bind { address: options.address.to_string(), source };
        let listener = runtime.block_on(TcpListener::bind(options.address)).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let token = options.token.clone().unwrap_or_else(random_hex);
        let loopback = address.ip().is_loopback();
        let limits = options.limits;
        let app = Arc::new(Shared {
            backend: Arc::new(backend),
            queue: Queue::new(QueueLimits {
                waiting: limits.waiting,
                pass_images: limits.pass_images,
                finished: limits.finished,
                animation_bytes: limits.animation_bytes,
            }),
            events: Events::new(),
            metrics: Metrics::default(),
            guard: Guard::new(&options.allowed_hosts, token.clone(), loopback),
            limits,
            runs,
            stopping: watch::Sender::new(false),
        });
        Ok(Self { app, listener, runtime, token })
    }

    /// The address, with the port that was bound.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Start)
    }

    /// The token of requests that act.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Serves until Ctrl-C or SIGTERM, then finishes the pass in progress, for at most 20 s; a second signal
    /// ends it at its next step.
    ///
    /// - stopping: called at the first signal
    pub fn run(self, stopping: impl FnOnce() + Send) {
        // Before the first request is answered.
        let first = {
            let _runtime = self.runtime.enter();
            signal()
        };
        self.run_until(async {
            first.await;
            stopping();
        });
    }

    /// Serves until `stop` is ready, then finishes the pass in progress.
    ///
    /// The engine runs on this thread. It should be the main thread: glibc keeps freed memory for that one
    /// alone, and without it every step of a sampler would fault its pages in again.
    pub fn run_until(self, stop: impl Future<Output = ()> + Send) {
        let Self { app, listener, runtime, .. } = self;
        std::thread::scope(|scope| {
            let serving = app.clone();
            scope.spawn(|| runtime.block_on(serve(serving, listener, stop)));
            worker::work(&app, app.backend.clone().engine().as_mut());
        });
        runtime.shutdown_timeout(REFUSAL);
    }
}

/// Serves connections until `stop` is ready, and ends them.
async fn serve(app: App, listener: TcpListener, stop: impl Future<Output = ()>) {
    let connections = Connections::new(app.clone());
    let watching = tokio::spawn(runs::watch(app.clone()));
    connections.accept(&listener, stop).await;
    app.stopping.send_replace(true);
    app.queue.close();
    drop(listener);
    let ended = tokio::time::timeout(GRACE, connections.graceful.shutdown());
    tokio::select! {
        ended = ended => if ended.is_err() { app.queue.cancel_all() },
        () = signal() => app.queue.cancel_all(),
    }
    watching.abort();
}

/// Watches for Ctrl-C and SIGTERM from now on; ready at the first.
fn signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        async {
            match signals {
                [Ok(mut interrupt), Ok(mut terminate)] => tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                },
                // Without signals the server runs until it is killed.
                _ => std::future::pending().await,
            }
        }
    }
    #[cfg(not(unix))]
    async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The runs with their names.
fn entries(folders: &[PathBuf]) -> Result<Vec<RunEntry>, ServeError> {
    let mut entries: Vec<RunEntry> = Vec::new();
    for folder in folders {
        let name = Run::open_metrics(folder)?.name;
        if entries.iter().any(|known| known.name == name) {
            return Err(ServeError::Twice(name));
        }
        entries.push(RunEntry { name, folder: folder.clone() });
    }
    Ok(entries)
}

/// Accepts connections; answers those above the limit with 503.
struct Connections {
    app: App,
    router: Router,
    permits: Arc<Semaphore>,
    /// Refused connections that are being answered; further ones are closed without an answer.
    refusals: Arc<Semaphore>,
    graceful: GracefulShutdown,
}

impl Connections {
    fn new(app: App) -> Self {
        let limit = app.limits.connections;
        Self {
            router: router(app.clone()),
            app,
            permits: Arc::new(Semaphore::new(limit)),
            refusals: Arc::new(Semaphore::new(limit)),
            graceful: GracefulShutdown::new(),
        }
    }

    /// Accepts until `stop` is ready.
    async fn accept(&self, listener: &TcpListener, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => return,
            };
            match stream {
                Ok((stream, _)) => self.take(stream),
                // Such as too many open files: it passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn take(&self, stream: TcpStream) {
        let permit = self.permits.clone().try_acquire_owned();
        self.app.metrics.connection(permit.is_ok());
        match permit {
            Ok(permit) => self.serve(stream, permit),
            Err(_) => {
                let Ok(permit) = self.refusals.clone().try_acquire_owned() else { return };
                tokio::spawn(async move {
                    // A client that does not read its refusal is left alone.
                    let _ = tokio::time::timeout(REFUSAL, refuse(stream)).await;
                    drop(permit);
                });
            }
        }
    }

    fn serve(&self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            // An error is the client's: it left, or sent no HTTP.
            let _ = connection.await;
            drop(permit);
        });
    }
}

/// Answers with 503, and reads what the client sent, so that it sees the answer.
async fn refuse(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 21\r\nconnection: close\r\n\r\ntoo many connections\n";
    if stream.write_all(ANSWER).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut bytes = [0; 1024];
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::html))
        .route("/style.css", get(page::style))
        .route("/script.js", get(page::script))
        .route("/openapi.json", get(page::openapi))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(api::models))
        .route("/v1/models/{*id}", get(api::model))
        .route("/v1/images/generations", post(api::generations))
        .route("/v1/jobs", post(api::create_job))
        .route("/v1/jobs/{id}", get(api::job).delete(api::cancel_job))
        .route("/v1/jobs/{id}/{name}", get(api::job_file))
        .route("/v1/jobs/{id}/images/{name}", get(api::job_image))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/{name}", get(runs::detail))
        .route("/v1/runs/{name}/samples/{step}", get(runs::sample))
        .route("/v1/runs/{name}/{request}", post(runs::request))
        .route("/v1/events", get(api::events))
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), check))
        .layer(map_response(secure))
        .with_state(app)
}

/// Refuses requests that the guard does not let in.
async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            app.metrics.refused();
            error.into_response()
        }
    }
}

async fn wrong_method() -> Response {
    ApiError::wrong_method().into_response()
}

async fn missing() -> Response {
    ApiError::missing("there is no such address: /openapi.json lists them").into_response()
}

async fn metrics(State(app): State<App>) -> Response {
    let text = app.metrics.text(app.queue.waiting());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Headers of every answer: the page loads nothing from elsewhere, and no other page shows it.
async fn secure(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
