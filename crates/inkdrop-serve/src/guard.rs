//! Who may ask: the Host and Origin of a request, and the token of requests that act.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};

use crate::error::ApiError;

/// Paths that anyone may read: they contain nothing of models and runs.
const OPEN: [&str; 5] = ["/", "/style.css", "/script.js", "/healthz", "/openapi.json"];

/// The hosts and the token that requests must have.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Values of the Host header, such as `127.0.0.1:7860`.
    hosts: Vec<String>,
    token: String,
    /// True if reading needs the token, too: the server is not bound to a loopback address.
    reading: bool,
}

impl Guard {
    /// - port: of the server
    /// - names: further host names under which it is reached
    /// - loopback: true if only this machine reaches it
    pub fn new(port: u16, names: &[String], token: String, loopback: bool) -> Self {
        let own = ["127.0.0.1", "localhost", "[::1]"].map(str::to_string);
        let names = own.iter().chain(names);
        let hosts = names.flat_map(|name| [format!("{name}:{port}"), name.clone()]).collect();
        Self { hosts, token, reading: !loopback }
    }

    /// Refuses requests with a foreign host or origin, and requests without the token that need it.
    ///
    /// # Errors
    /// The request is refused.
    pub fn check(&self, request: &Request) -> Result<(), ApiError> {
        self.check_origin(request.headers())?;
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        let open = OPEN.contains(&request.uri().path());
        let needs_token = !reads || (self.reading && !open);
        if needs_token { self.check_token(request) } else { Ok(()) }
    }

    /// Checks the host, so that a foreign name which leads here is refused (DNS rebinding), and the
    /// origin, so that a foreign page cannot act.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = text(headers.get(header::HOST));
        if !self.hosts.iter().any(|known| known.eq_ignore_ascii_case(&host)) {
            let expected = self.hosts.first().map_or("", String::as_str);
            return Err(ApiError::forbidden(format!(
                "the host `{host}` is unknown here: expected {expected}, or a name of --allow-host"
            )));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = text(Some(origin));
        let site = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
        match site.is_some_and(|site| self.hosts.iter().any(|known| known == site)) {
            true => Ok(()),
            false => Err(ApiError::forbidden(format!(
                "requests of pages from `{origin}` are refused: open the page of this server"
            ))),
        }
    }

    fn check_token(&self, request: &Request) -> Result<(), ApiError> {
        let header = text(request.headers().get(header::AUTHORIZATION));
        let query = request.uri().query().unwrap_or_default();
        let given = header
            .strip_prefix("Bearer ")
            .or_else(|| query.split('&').find_map(|pair| pair.strip_prefix("token=")));
        match given {
            Some(given) if equal(given, &self.token) => Ok(()),
            Some(_) => Err(ApiError::unauthorized("the token is wrong")),
            None => Err(ApiError::unauthorized(
                "this request needs the header `Authorization: Bearer TOKEN`, with the token that `inkdrop serve` printed",
            )),
        }
    }
}

/// Compares in a time that does not depend on where the texts differ.
fn equal(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differences == 0
}

fn text(value: Option<&HeaderValue>) -> String {
    value.map_or_else(String::new, |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
