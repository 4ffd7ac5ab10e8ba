//! Access control: the Host and Origin headers of a request, and its token.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};

use crate::error::ApiError;

/// Paths that anyone may read: they contain nothing of models and runs.
const OPEN: [&str; 5] = ["/", "/style.css", "/script.js", "/healthz", "/openapi.json"];

/// The hosts and the token that requests must have.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Names in the Host header, with any port: a proxy has another.
    hosts: Vec<String>,
    token: String,
    /// True if the server is not bound to a loopback address: reading needs the token, too, and any address
    /// is a host.
    public: bool,
}

impl Guard {
    /// - names: further host names under which the server is reached
    /// - loopback: true if only this machine reaches it
    pub fn new(names: &[String], token: String, loopback: bool) -> Self {
        let own = ["127.0.0.1", "localhost", "[::1]"].map(str::to_string);
        let hosts = own.iter().chain(names).cloned().collect();
        Self { hosts, token, public: !loopback }
    }

    /// Refuses requests with a foreign host or origin, and requests without the token that need it.
    ///
    /// # Errors
    /// The request is refused.
    pub fn check(&self, request: &Request) -> Result<(), ApiError> {
        self.check_origin(request.headers())?;
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        let open = OPEN.contains(&request.uri().path());
        let needs_token = !reads || (self.public && !open);
        if needs_token { self.check_token(request, reads) } else { Ok(()) }
    }

    /// Checks the host, so that a foreign name which leads here is refused (DNS rebinding), and the
    /// origin, so that a foreign page cannot act.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(ApiError::invalid("expected one Host header"));
        };
        let host = text(Some(host));
        if !self.knows(&host) {
            let expected = self.hosts.first().map_or("", String::as_str);
            return Err(ApiError::forbidden(format!(
                "the host `{host}` is unknown here: expected {expected}, or a name of --allow-host"
            )));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = text(Some(origin));
        let site = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
        match site.is_some_and(|site| site.eq_ignore_ascii_case(&host)) {
            true => Ok(()),
            false => Err(ApiError::forbidden(format!(
                "requests of pages from `{origin}` are refused: open the page of this server"
            ))),
        }
    }

    /// True for a name of the server, with any port. A name is needed to lead a browser here from elsewhere
    /// (DNS rebinding): a public server is also reached by its addresses.
    fn knows(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            _ => host,
        };
        let address = || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
            || (self.public && address())
    }

    /// - reads: an address with the token is enough, for event streams and images of a page
    fn check_token(&self, request: &Request, reads: bool) -> Result<(), ApiError> {
        let header = text(request.headers().get(header::AUTHORIZATION));
        let query = request.uri().query().unwrap_or_default();
        let in_address = || query.split('&').find_map(|pair| pair.strip_prefix("token="));
        let given = header.strip_prefix("Bearer ").or_else(|| in_address().filter(|_| reads));
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
