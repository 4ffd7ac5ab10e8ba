//! What clients get: images, jobs, events, the page.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use inkdrop_data::read::decode_picture_bytes;
use inkdrop_serve::ServeOptions;
use serde_json::{Value, json};

use crate::client::{Running, TOKEN, send};
use crate::toy::Toy;

fn server() -> Running {
    Running::new(&Toy::default(), ServeOptions::default())
}

fn grey(png: &[u8]) -> u8 {
    let picture = decode_picture_bytes("answer", png).unwrap();
    assert_eq!((picture.width(), picture.height()), (6, 4));
    picture.pixels()[0]
}

#[test]
fn images_come_in_the_form_of_common_clients() {
    let server = server();
    let body = json!({ "model": "toy", "prompt": "a", "n": 3, "size": "6x4", "seed": 40, "quality": "hd" });
    let answer = server.post("/v1/images/generations", &body.to_string()).json();
    let data = answer["data"].as_array().unwrap();
    assert_eq!((data.len(), &answer["model"]), (3, &json!("toy")));
    for (index, entry) in data.iter().enumerate() {
        let png = STANDARD.decode(entry["b64_json"].as_str().unwrap()).unwrap();
        assert_eq!(grey(&png), 40 + index as u8);
        assert_eq!((&entry["seed"], &entry["index"]), (&json!(40), &json!(index)));
    }
    let body = json!({ "n": 2, "seed": 7, "response_format": "url" });
    let answer = server.post("/v1/images/generations", &body.to_string()).json();
    let url = answer["data"][1]["url"].as_str().unwrap();
    let path = url.strip_prefix(&format!("http://{}", server.address)).unwrap();
    assert_eq!(grey(&server.get(path).body), 8);
    assert_eq!(server.get("/v1/models").json()["data"][0]["id"], "toy");
    assert_eq!(server.get("/v1/models/other").json()["id"], "other");
    assert_eq!(server.get("/v1/models/third").status, 404);
}

#[test]
fn a_job_says_how_it_is_made_and_has_files() {
    let server = server();
    let body = json!({ "n": 5, "seed": 3, "class": "a,b", "steps": 4, "sampler": "dpm++2m", "guidance": 2.5, "animation": true });
    let job = server.post("/v1/jobs", &body.to_string()).json();
    assert_eq!(
        job["command"],
        "inkdrop sample toy.safetensors -n 5 --seed 3 --class a,b --sampler dpm++2m --steps 4 --guidance 2.5 --out images.npz"
    );
    let rust = job["rust"].as_str().unwrap();
    assert!(
        rust.contains(".sampler(\"dpm++2m\".parse()?)") && rust.contains("pipeline.sample(5)"),
        "{rust}"
    );
    let id = job["id"].as_str().unwrap();
    let status = finished(&server, id);
    assert_eq!((&status["status"], &status["images"]), (&json!("done"), &json!(5)));
    let file = |name: &str| server.get(&format!("/v1/jobs/{id}/{name}"));
    assert!(file("images.png").body.starts_with(b"\x89PNG"));
    assert!(file("images.npz").body.starts_with(b"PK"));
    let path = std::env::temp_dir().join(format!("inkdrop-labels-{}.npz", std::process::id()));
    std::fs::write(&path, &file("images.npz").body).unwrap();
    let data = inkdrop_data::npz::load(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(data.labels, inkdrop_data::Labels::Classes { ids: vec![0, 1, 2, 3, 4], count: 5 });
    assert!(file("animation.gif").body.starts_with(b"GIF89a"));
    assert!(file("film.gif").body == file("animation.gif").body, "its name in version 0.1");
    assert_eq!(grey(&file("images/4.png").body), 7);
    for wrong in ["images/5.png", "images/x.png", "images.jpg"] {
        assert_eq!(file(wrong).status, 404, "{wrong}");
    }
    assert_eq!(server.get("/v1/jobs/123/images.png").status, 404);
}

/// The status of a job at its end.
pub fn finished(server: &Running, id: &str) -> Value {
    for _ in 0..2000 {
        let status = server.get(&format!("/v1/jobs/{id}")).json();
        if !["waiting", "running"].contains(&status["status"].as_str().unwrap()) {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("job {id} does not end");
}

#[test]
fn pictures_of_an_edit_reach_the_engine() {
    let server = server();
    let png = |value: u8| {
        let picture = inkdrop_data::picture::Picture::filled(6, 4, [value; 3]);
        STANDARD.encode(inkdrop_data::picture::encode_png(&picture).unwrap())
    };
    let image = format!("data:image/png;base64,{}", png(90));
    let body = json!({ "n": 2, "task": { "type": "inpaint", "image": image, "mask": png(255) } });
    let job = server.post("/v1/jobs", &body.to_string()).json();
    let id = job["id"].as_str().unwrap();
    assert!(
        job["command"]
            .as_str()
            .unwrap()
            .starts_with("inkdrop edit inpaint toy.safetensors picture.png --mask mask.png")
    );
    finished(&server, id);
    let image = |index| grey(&server.get(&format!("/v1/jobs/{id}/images/{index}.png")).body);
    assert_eq!((image(0), image(1)), (90, 255));
}

#[test]
fn events_show_images_while_they_form() {
    let server = Running::new(&Toy::slow(100), ServeOptions::default());
    let mut stream = server.connect();
    let host = format!("Host: {}", server.address);
    send(&mut stream, "GET", "/v1/events", &[&host], "");
    let mut events = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        events.read_line(&mut line).unwrap();
    }
    let job = server.post("/v1/jobs", r#"{"n":2,"seed":9,"steps":3}"#).json();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last: &Value| last["type"] != "job") {
        line.clear();
        events.read_line(&mut line).unwrap();
        if let Some(data) = line.split_once("data: ") {
            seen.push(serde_json::from_str(data.1).unwrap());
        }
    }
    let steps: Vec<&Value> = seen.iter().filter(|event| event["type"] == "step").collect();
    assert_eq!(steps.len(), 3, "{seen:?}");
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(
            (&step["job"], &step["step"], &step["of"]),
            (&job["id"], &json!(index + 1), &json!(3))
        );
        assert!(step["x0"].as_str().unwrap().starts_with("data:image/png;base64,"));
    }
    assert_eq!(seen.last().unwrap()["state"]["status"], "done");
}

#[test]
fn a_cancelled_job_stops_and_so_does_one_whose_client_left() {
    let toy = Toy::slow(50);
    let server = Running::new(&toy, ServeOptions::default());
    let job = server.post("/v1/jobs", r#"{"steps":500}"#).json();
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let token = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(server.ask("DELETE", &path, &[&token], "").status, 204);
    assert_eq!(finished(&server, job["id"].as_str().unwrap())["status"], "cancelled");
    let mut stream = server.connect();
    let host = format!("Host: {}", server.address);
    send(&mut stream, "POST", "/v1/images/generations", &[&host, &token], r#"{"steps":500}"#);
    std::thread::sleep(Duration::from_millis(200));
    drop(stream);
    // The next request would wait 25 s for it.
    let answer = server.post("/v1/images/generations", r#"{"steps":1,"seed":1}"#);
    assert_eq!(answer.status, 200);
    assert_eq!(toy.passes().len(), 3);
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_every_route_is_described() {
    let server = server();
    for (path, kind) in
        [("/", "text/html"), ("/style.css", "text/css"), ("/script.js", "text/javascript")]
    {
        let answer = server.get(path);
        assert!(answer.status == 200 && answer.head.contains(kind), "{path}: {}", answer.head);
        assert!(answer.head.contains("content-security-policy: default-src 'self'"));
        let text =
            String::from_utf8(answer.body).unwrap().replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("https://") && !text.contains("http://"), "{path}");
    }
    let description = server.get("/openapi.json").json();
    let paths = description["paths"].as_object().unwrap();
    let routes = include_str!("../../src/server.rs");
    let routes: Vec<&str> =
        routes.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1)).collect();
    assert_eq!(routes.len(), paths.len());
    for route in routes {
        assert!(paths.contains_key(route), "{route} is not described");
    }
    assert_eq!(server.get("/healthz").body, b"ok\n");
}

#[test]
fn metrics_count_jobs_and_images() {
    let server = server();
    server.post("/v1/images/generations", r#"{"n":3}"#);
    server.post("/v1/images/generations", r#"{"class":"nobody"}"#);
    server.ask("POST", "/v1/jobs", &[], "{}");
    let mut text = String::new();
    server.get("/metrics").body.as_slice().read_to_string(&mut text).unwrap();
    for line in [
        "inkdrop_jobs_total{status=\"done\"} 1",
        "inkdrop_jobs_total{status=\"failed\"} 1",
        "inkdrop_images_total 3",
        "inkdrop_passes_total 1",
        "inkdrop_queue_length 0",
        "inkdrop_refused_total 1",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
    }
}
