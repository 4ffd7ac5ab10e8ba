//! Errors: of the server, and of a request, in the JSON form of OpenAI's API.

use std::io;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::queue::Refusal;

/// Error of starting or running a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be bound.
    #[error(
        "cannot listen on {address}: {source}; choose another --port, or stop the program that uses it"
    )]
    Bind {
        /// The address.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The system refuses threads or timers.
    #[error("cannot start the server: {0}")]
    Start(io::Error),
    /// Two runs or models have the same name.
    #[error("two entries are named `{0}`: give each run and model once")]
    Twice(String),
    /// A run directory cannot be read.
    #[error(transparent)]
    Run(#[from] inkdrop_report::ReportError),
}

/// The error of a request: a status and a sentence.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// 400: the request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// 401: the token is missing or wrong.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, message: message.into() }
    }

    /// 403: a foreign host or origin.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: message.into() }
    }

    /// 404: the resource does not exist.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    /// 405: the address has other methods.
    pub fn wrong_method() -> Self {
        let message = "this address has other methods: /openapi.json lists them".to_string();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, message }
    }

    /// 408: the body did not arrive in time.
    pub fn late(message: impl Into<String>) -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, message: message.into() }
    }

    /// 413: the body is too large.
    pub fn large(message: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, message: message.into() }
    }

    /// 500: the server failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, message: refusal.to_string() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, message } = self;
        let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
        let body =
            json!({ "error": { "message": message, "type": kind, "param": null, "code": null } });
        let mut response = (status, Json(body)).into_response();
        if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
