//! The page, and the description of the API. They are compiled in: the page loads nothing from elsewhere.

use axum::http::header;
use axum::response::{IntoResponse, Response};

fn text(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// `GET /`.
pub async fn html() -> Response {
    text("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// `GET /style.css`.
pub async fn style() -> Response {
    text("text/css; charset=utf-8", include_str!("page/style.css"))
}

/// `GET /script.js`.
pub async fn script() -> Response {
    text("text/javascript; charset=utf-8", include_str!("page/script.js"))
}

/// `GET /openapi.json`.
pub async fn openapi() -> Response {
    text("application/json", include_str!("page/openapi.json"))
}
