//! Requests that must be refused, and load that must be borne.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use inkdrop_serve::{Limits, ServeOptions};

use crate::api::finished;
use crate::client::{Answer, Running, TOKEN, send};
use crate::toy::Toy;

fn limited(limits: Limits) -> ServeOptions {
    ServeOptions { limits, ..ServeOptions::default() }
}

#[test]
fn old_animations_make_room_for_new_ones() {
    let options = limited(Limits { animation_bytes: 1, ..Limits::default() });
    let server = Running::new(&Toy::default(), options);
    let job = || {
        let job = server.post("/v1/jobs", r#"{"animation":true,"steps":3}"#).json();
        let id = job["id"].as_str().unwrap().to_string();
        assert_eq!(finished(&server, &id)["status"], "done");
        id
    };
    let file = |id: &str, name: &str| server.get(&format!("/v1/jobs/{id}/{name}")).status;
    let first = job();
    assert_eq!(file(&first, "animation.gif"), 200, "the newest animation stays");
    let second = job();
    assert_eq!((file(&first, "animation.gif"), file(&second, "animation.gif")), (404, 200));
    assert_eq!(file(&first, "images.png"), 200);
}

#[test]
fn wrong_requests_get_a_sentence() {
    let server = Running::new(&Toy::default(), ServeOptions::default());
    let check = |body: &str, status: u16, part: &str| {
        let answer = server.post("/v1/images/generations", body);
        let message = answer.message();
        assert!(
            answer.status == status && message.contains(part),
            "{body}: {} {message}",
            answer.status
        );
    };
    check("{", 400, "the body is not valid: EOF");
    check("[]", 400, "the body is not valid");
    check("", 400, "the body is not valid");
    check("\u{feff}\0", 400, "the body is not valid");
    check(&"[".repeat(100_000), 400, "the body is not valid");
    check(r#"{"n":0}"#, 400, "n is 0: expected 1 to 64");
    check(r#"{"n":65}"#, 400, "n is 65: expected 1 to 64");
    check(r#"{"n":-1}"#, 400, "the body is not valid");
    check(r#"{"steps":1001}"#, 400, "steps is 1001: expected 1 to 1000");
    check(r#"{"seed":1.5}"#, 400, "the body is not valid");
    check(r#"{"guidance":1e999}"#, 400, "the body is not valid: number out of range");
    check(r#"{"size":"512x512"}"#, 400, "size is 512x512: toy generates 6x4");
    check(r#"{"model":"dall-e"}"#, 404, "there is no model `dall-e`: expected one of toy, other");
    check(r#"{"class":"a","contexts":{"b":1}}"#, 400, "class and contexts: expected one of them");
    check(r#"{"class":[1]}"#, 400, "class is [1]: expected a name or a number");
    check(r#"{"class":"nobody"}"#, 400, "unknown class `nobody`");
    check(r#"{"response_format":"gif"}"#, 400, "response_format is gif: expected b64_json or url");
    check(r#"{"task":{"type":"inpaint","image":"!","mask":"!"}}"#, 400, "image is not base64");
    check(r#"{"task":{"type":"vary","image":"AAAA","strength":0.5}}"#, 400, "image");
    check(
        r#"{"task":{"type":"vary","image":"AAAA","strength":0}}"#,
        400,
        "strength is 0: expected above 0 to 1",
    );
    check(
        r#"{"task":{"type":"interpolate","images":["a"],"columns":3}}"#,
        400,
        "1 images: expected 2 for a row",
    );
    check(
        r#"{"task":{"type":"interpolate","images":["a","a"],"columns":9999}}"#,
        400,
        "columns is 9999",
    );
    check(r#"{"task":{"type":"dance"}}"#, 400, "unknown variant `dance`");
    let wrong_method = server.get("/v1/images/generations");
    assert!(wrong_method.status == 405 && wrong_method.message().contains("other methods"));
}

#[test]
fn foreign_hosts_and_pages_and_requests_without_token_are_refused() {
    let server = Running::new(&Toy::default(), ServeOptions::default());
    let token = format!("Authorization: Bearer {TOKEN}");
    let own = format!("Host: {}", server.address);
    let port = server.address.port();
    let check = |method: &str, headers: &[&str], status: u16, part: &str| {
        let answer = server.ask_raw(method, "/v1/jobs", headers, "{}");
        assert_eq!(answer.status, status, "{headers:?}");
        assert!(part.is_empty() || answer.message().contains(part), "{}", answer.message());
    };
    check("POST", &[&own], 401, "Authorization: Bearer TOKEN");
    check("POST", &[&own, "Authorization: Bearer wrong"], 401, "the token is wrong");
    check("POST", &[&own, "Authorization: Bearer secretary"], 401, "the token is wrong");
    check("POST", &["Host: evil.example", &token], 403, "the host `evil.example` is unknown here");
    check("POST", &[&format!("Host: evil.example:{port}"), &token], 403, "unknown here");
    check(
        "POST",
        &[&own, "Origin: http://evil.example", &token],
        403,
        "pages from `http://evil.example`",
    );
    check("POST", &[&own, "Origin: null", &token], 403, "pages from `null`");
    check("POST", &[&own, &format!("Origin: http://{}", server.address), &token], 202, "");
    check("POST", &[&format!("Host: localhost:{port}"), &token], 202, "");
    check("POST", &[&own, "Host: evil.example", &token], 400, "one Host header");
    check("POST", &[&token], 400, "one Host header");
    check("POST", &["Host: 192.0.2.7", &token], 403, "unknown here");
    let in_address = server.post_without_header(&format!("/v1/jobs?token={TOKEN}"));
    assert_eq!(in_address.status, 401, "a token in an address does not act");
    for path in ["/", "/v1/models", "/v1/events", "/healthz"] {
        assert_eq!(server.ask_raw("GET", path, &["Host: evil.example"], "").status, 403, "{path}");
    }
}

#[test]
fn paths_lead_to_no_files() {
    let server = Running::new(&Toy::default(), ServeOptions::default());
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/runs/..%2f..%2fetc",
        "/v1/runs/../../etc/passwd",
        "/v1/jobs/..%2f..%2fetc%2fpasswd/images.png",
        "/v1/jobs/x/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/style.css/../script.js",
        "/favicon.ico",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("root:"), "{path}");
    }
}

#[test]
fn bodies_above_the_limit_are_refused() {
    let limits = Limits { body: 1000, ..Limits::default() };
    let server = Running::new(&Toy::default(), limited(limits));
    let body = format!(r#"{{"prompt":"{}"}}"#, "a".repeat(2000));
    let answer = server.post("/v1/images/generations", &body);
    assert!(answer.status == 413 && answer.message().contains("larger than 1000 bytes"));
    // It is refused by its length, before it has arrived.
    let mut stream = server.connect();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n{{",
        server.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 413);
}

#[test]
fn requests_with_the_same_settings_share_a_pass() {
    let toy = Toy::slow(20);
    let limits = Limits { pass_images: 8, ..Limits::default() };
    let server = Running::new(&toy, limited(limits));
    let first = server.post("/v1/jobs", r#"{"steps":20}"#).json();
    let bodies = [
        r#"{"n":3,"seed":10}"#,
        r#"{"n":3,"seed":20}"#,
        r#"{"n":1,"steps":3}"#,
        r#"{"n":3,"seed":30}"#,
        r#"{"n":2,"seed":50}"#,
        r#"{"n":1,"model":"other"}"#,
    ];
    let jobs = bodies.map(|body| server.post("/v1/jobs", body).json());
    for (job, values) in jobs.iter().zip([[10, 12], [20, 22], [0, 0], [30, 32], [50, 51], [0, 0]]) {
        let id = job["id"].as_str().unwrap();
        let status = crate::api::finished(&server, id);
        assert_eq!(status["status"], "done");
        if values != [0, 0] {
            let last = status["images"].as_u64().unwrap() - 1;
            let png = server.get(&format!("/v1/jobs/{id}/images/{last}.png")).body;
            let picture = inkdrop_data::read::decode_picture_bytes("image", &png).unwrap();
            assert_eq!(picture.pixels()[0], values[1]);
        }
    }
    assert!(first["id"].is_string());
    assert_eq!(toy.passes(), [vec![1], vec![3, 3, 2], vec![1], vec![3], vec![1]]);
}

#[test]
fn one_wrong_request_does_not_spoil_its_pass() {
    let toy = Toy::slow(20);
    let server = Running::new(&toy, ServeOptions::default());
    server.post("/v1/jobs", r#"{"steps":20}"#);
    let jobs = ["a", "nobody", "b"].map(|class| {
        server.post("/v1/jobs", &format!(r#"{{"class":"{class}"}}"#)).json()["id"]
            .as_str()
            .unwrap()
            .to_string()
    });
    let status =
        jobs.map(|id| crate::api::finished(&server, &id)["status"].as_str().unwrap().to_string());
    assert_eq!(status, ["done", "failed", "done"]);
}

#[test]
fn a_full_queue_answers_429_with_retry_after() {
    let limits = Limits { waiting: 2, ..Limits::default() };
    let server = Running::new(&Toy::slow(50), limited(limits));
    let status: Vec<Answer> = (0..5)
        .map(|seed| {
            std::thread::sleep(Duration::from_millis(30));
            server.post("/v1/jobs", &format!(r#"{{"steps":40,"seed":{seed},"eta":0.{seed}}}"#))
        })
        .collect();
    assert_eq!(
        status.iter().map(|answer| answer.status).collect::<Vec<_>>(),
        [202, 202, 202, 429, 429]
    );
    let last = status.last().unwrap();
    assert!(last.head.contains("retry-after: 1"), "{}", last.head);
    assert_eq!(last.message(), "2 requests are waiting already: try again later");
}

#[test]
fn connections_above_the_limit_are_refused_in_order() {
    let limits = Limits { connections: 20, ..Limits::default() };
    let server = Running::new(&Toy::default(), limited(limits));
    let host = format!("Host: {}", server.address);
    let mut held: Vec<_> = (0..20).map(|_| server.connect()).collect();
    std::thread::sleep(Duration::from_millis(100));
    let mut refused = 0;
    for _ in 0..1000 {
        let mut stream = server.connect();
        send(&mut stream, "GET", "/healthz", &[&host], "");
        let answer = Answer::read(&mut stream);
        assert_eq!(answer.status, 503);
        assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
        refused += 1;
    }
    assert_eq!(refused, 1000);
    // Those that were there are served, and their places are free afterwards.
    for stream in &mut held {
        send(stream, "GET", "/healthz", &[&host], "");
        assert_eq!(Answer::read(stream).status, 200);
    }
    drop(held);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.get("/healthz").status, 200);
}

/// The events of 12 steps are some 20 MB, more than the buffers of a connection hold.
#[test]
fn a_reader_that_does_not_read_delays_nobody() {
    let toy = Toy { large: Some(600), ..Toy::slow(85) };
    let mut server = Running::new(&toy, ServeOptions::default());
    let host = format!("Host: {}", server.address);
    let mut slow = server.connect();
    send(&mut slow, "GET", "/v1/events", &[&host], "");
    let mut byte = [0];
    slow.read_exact(&mut byte).unwrap();
    let started = Instant::now();
    assert_eq!(server.post("/v1/images/generations", r#"{"steps":12}"#).status, 200);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(server.get("/healthz").status, 200);
    // It has missed events, but those that it gets are whole.
    let mut text = String::new();
    server.stop();
    slow.read_to_string(&mut text).unwrap();
    let steps = text.matches("\"type\":\"step\"").count();
    assert!((1..=12).contains(&steps), "{steps}");
    assert!(text.len() > 1_000_000, "{} bytes", text.len());
}

#[test]
fn a_client_that_stops_in_the_middle_costs_only_its_own_request() {
    let server = Running::new(&Toy::default(), ServeOptions::default());
    let mut halves = Vec::new();
    for text in [
        "",
        "GE",
        "GET / HTTP/1.1\r\nHos",
        "\0\0\0\0",
        "POST /v1/jobs HTTP/1.1\r\nContent-Length: 10\r\n\r\n{",
    ] {
        let mut stream = server.connect();
        stream.write_all(text.as_bytes()).unwrap();
        halves.push(stream);
    }
    assert_eq!(server.post("/v1/images/generations", "{}").status, 200);
}

#[test]
fn the_end_waits_for_the_pass_and_refuses_what_waits() {
    let mut server = Running::new(&Toy::slow(50), ServeOptions::default());
    let token = format!("Authorization: Bearer {TOKEN}");
    let host = format!("Host: {}", server.address);
    let ask = |body: &str| {
        let mut stream = server.connect();
        send(&mut stream, "POST", "/v1/images/generations", &[&host, &token], body);
        std::thread::sleep(Duration::from_millis(100));
        stream
    };
    let (mut runs, mut waits) = (ask(r#"{"steps":20}"#), ask(r#"{"steps":21}"#));
    server.stop();
    let refused = Answer::read(&mut waits);
    assert!(refused.status == 503 && refused.message() == "the server is stopping", "{refused:?}");
    assert_eq!(Answer::read(&mut runs).status, 200);
}

/// Other machines reach a public server by its addresses, and read nothing without the token.
#[test]
fn a_public_server_asks_for_its_token() {
    let mut options =
        ServeOptions { allowed_hosts: vec!["my.box".to_string()], ..ServeOptions::default() };
    options.address = ([0, 0, 0, 0], 0).into();
    let server = Running::at(&Toy::default(), options);
    let status = |path: &str, host: &str| {
        server.ask_raw("GET", path, &[&format!("Host: {host}")], "").status
    };
    for host in ["192.0.2.7:7860", "[2001:db8::1]:80", "my.box", "my.box:8443", "localhost"] {
        assert_eq!(status("/healthz", host), 200, "{host}");
        assert_eq!(status("/v1/models", host), 401, "{host}");
        assert_eq!(status(&format!("/v1/models?token={TOKEN}"), host), 200, "{host}");
    }
    for host in ["evil.example", "my.box.evil.example", "", "7860"] {
        assert_eq!(status("/healthz", host), 403, "{host}");
    }
}
