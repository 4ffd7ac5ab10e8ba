//! HTTP download of a file, with resume. The file appears only when it is complete.

use super::layout::remove;
use super::progress;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;
use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// An HTTP client with the platform's certificates and short timeouts.
pub fn agent(https_only: bool) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .https_only(https_only)
        .http_status_as_error(false)
        .tls_config(tls)
        .timeout_resolve(Some(Duration::from_secs(5)))
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_recv_response(Some(Duration::from_secs(15)))
        .timeout_per_read(Some(Duration::from_secs(60)));
    config.build().into()
}

/// Downloads `url` to `to`. A partial file is kept for the next run.
pub fn fetch(agent: &Agent, url: &str, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = to.with_extension("part");
    let have = fs::metadata(&part).map_or(0, |meta| meta.len());
    let response = get(agent, url, have)?;
    let status = response.status().as_u16();
    match status {
        200 | 206 => save(response, &part)?,
        416 if have > 0 => {
            // The partial file is longer than the file on the server.
            remove(&part)?;
            return fetch(agent, url, to);
        }
        _ => bail!("HTTP status {status} for {url}, expected 200 or 206"),
    }
    fs::rename(&part, to)?;
    Ok(())
}

fn get(agent: &Agent, url: &str, have: u64) -> Result<Response<Body>> {
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    request.call().map_err(|error| {
        let text = error.to_string();
        // `io: failed to lookup address information: Name or service not known`
        let reason = text.rsplit(": ").next().unwrap_or_default();
        anyhow!("not reachable ({reason})")
    })
}

/// Appends the body of a 206, or replaces the file by that of a 200. An early end is an error.
fn save(response: Response<Body>, part: &Path) -> Result<()> {
    let (start, total) = extent(&response)?;
    let have = fs::metadata(part).map_or(0, |meta| meta.len());
    ensure!(start == 0 || start == have, "the server resumed at byte {start}, expected {have}");
    let mut options = File::options();
    options.create(true).write(true).append(start > 0).truncate(start == 0);
    let mut file = options.open(part)?;
    let name = part.file_stem().unwrap_or_default().to_string_lossy();
    let bar = progress::bytes("downloading", &name, total);
    bar.set_position(start);
    let copied = io::copy(&mut bar.wrap_read(response.into_body().into_reader()), &mut file);
    bar.finish_and_clear();
    let reached = file.metadata()?.len();
    if let Err(error) = copied {
        return Err(error).context(broke_off(reached, total));
    }
    ensure!(reached == total, "{}", broke_off(reached, total));
    Ok(())
}

fn broke_off(reached: u64, total: u64) -> String {
    format!("the download stopped at {reached} of {total} bytes; the next run resumes from there")
}

/// First byte and total length of the response.
fn extent(response: &Response<Body>) -> Result<(u64, u64)> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if response.status().as_u16() == 200 {
        let total = text(header::CONTENT_LENGTH).context("the response has no content-length")?;
        return Ok((0, total.parse()?));
    }
    let range = text(header::CONTENT_RANGE).context("the partial response has no content-range")?;
    let (span, total) = range.trim_start_matches("bytes ").split_once('/').context("bad range")?;
    let start = span.split('-').next().context("bad range")?;
    Ok((start.parse()?, total.parse()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::serve;

    #[test]
    fn a_whole_file_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("a.zip");
        let url = serve(vec!["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef"]);
        fetch(&agent(false), &url, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "abcdef");
    }

    #[test]
    fn a_broken_download_resumes_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("a.zip");
        let url = serve(vec![
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc",
            "HTTP/1.1 206 Partial\r\nContent-Range: bytes 3-5/6\r\nContent-Length: 3\r\n\r\ndef",
        ]);
        let text = format!("{:#}", fetch(&agent(false), &url, &to).unwrap_err());
        assert!(text.contains("stopped at 3 of 6 bytes"), "{text}");
        assert!(!to.exists());
        fetch(&agent(false), &url, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "abcdef");
    }

    #[test]
    fn an_error_page_is_not_saved() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("a.zip");
        let url = serve(vec!["HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"]);
        let text = fetch(&agent(false), &url, &to).unwrap_err().to_string();
        assert!(text.contains("HTTP status 403"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn plain_http_is_refused_outside_tests() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("a.zip");
        assert!(fetch(&agent(true), "http://127.0.0.1:9/a.zip", &to).is_err());
    }
}
