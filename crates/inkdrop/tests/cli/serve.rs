//! `inkdrop serve` and `inkdrop watch`, with real models and runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Place, tensors, train_args};

/// A server in a folder; it is killed when it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(place: &Place, paths: &[&str]) -> Self {
        let args = [&["serve"], paths, &["--port", "0", "--token", "secret"]].concat();
        let mut command = place.command(&args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("a server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("an address");
        let address = line.trim().strip_prefix("http://").and_then(|url| url.split_once('/'));
        let address = address.unwrap_or_else(|| panic!("no address: {line}")).0.to_string();
        Self { child, address }
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer secret\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let status = String::from_utf8_lossy(&answer[9..12]).parse().expect("a status");
        (status, answer[end + 4..].to_vec())
    }

    fn json(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, body) = self.ask(method, path, &body);
        let text = String::from_utf8_lossy(&body);
        assert!(status < 300, "{method} {path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// Runs a job to its end; returns the answer and the npz archive of its images.
    fn job(&self, body: Value) -> (Value, Vec<u8>) {
        let (job, status) = self.ended(body);
        assert_eq!(status["status"], "done", "{status}");
        let path = format!("/v1/jobs/{}/images.npz", job["id"].as_str().expect("an id"));
        (job, self.ask("GET", &path, &Value::Null).1)
    }

    /// A job, and its last status.
    fn ended(&self, body: Value) -> (Value, Value) {
        let job = self.json("POST", "/v1/jobs", body);
        let path = format!("/v1/jobs/{}", job["id"].as_str().expect("an id"));
        loop {
            let status = self.json("GET", &path, Value::Null);
            match status["status"].as_str() {
                Some("waiting" | "running") => sleep(Duration::from_millis(10)),
                _ => return (job, status),
            }
        }
    }
}

impl Server {
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The images of an npz archive; labels, which only the command writes, are left out.
fn images(archive: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).expect("an archive");
    let mut bytes = Vec::new();
    archive.by_name("arr_0.npy").expect("images").read_to_end(&mut bytes).expect("images");
    bytes.split_off(bytes.len() % 192)
}

/// Runs the command that the server shows, in the folder of the test.
fn runs_as_shown(place: &Place, job: &Value) -> Vec<u8> {
    let command = job["command"].as_str().expect("a command");
    let words: Vec<&str> = command.split(' ').map(|word| word.trim_matches('\'')).collect();
    place.run(&words[1..]).succeeds();
    let written = std::fs::read(place.path("images.npz")).expect("images");
    std::fs::remove_file(place.path("images.npz")).expect("a file");
    written
}

#[test]
fn the_server_makes_the_images_of_the_command_that_it_shows() {
    let place = Place::new();
    place.run(&["sample", "sprites", "-n", "1", "--steps", "5", "--out", "made/"]).succeeds();
    std::fs::rename(place.path("made/00000.png"), place.path("picture.png")).expect("a picture");
    let mask = inkdrop_data::picture::Picture::new(
        16,
        16,
        (0..256).flat_map(|pixel| [if pixel < 128 { 255 } else { 0 }; 3]).collect(),
    );
    inkdrop_data::picture::write_png(place.path("mask.png"), &mask.expect("a mask"))
        .expect("a file");
    let file = |name: &str| {
        use base64::Engine;
        let bytes = std::fs::read(place.path(name)).expect("a file");
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let server = Server::start(&place, &["sprites", "fashion", "sprites-fast"]);
    let (picture, mask) = (file("picture.png"), file("mask.png"));
    let bodies = [
        json!({ "model": "sprites", "n": 3, "seed": 5, "class": "hero", "steps": 4 }),
        json!({ "model": "sprites", "n": 2, "contexts": { "hero": 1.0, "food": 0.5 }, "seed": 1, "steps": 3, "sampler": "dpm++2m", "guidance": 2.0 }),
        json!({ "model": "fashion", "n": 3, "class": "each", "seed": 2, "steps": 3, "sampler": "ddpm" }),
        json!({ "model": "sprites", "n": 2, "seed": 3, "steps": 20, "task": { "type": "inpaint", "image": picture, "mask": mask } }),
        json!({ "model": "sprites-fast", "n": 2, "seed": 3, "steps": 3, "sampler": "ddim", "task": { "type": "inpaint", "image": picture, "mask": mask } }),
        json!({ "model": "sprites", "n": 2, "seed": 4, "steps": 10, "task": { "type": "vary", "image": picture, "strength": 0.5 } }),
    ];
    let task = json!({ "type": "inpaint", "image": picture, "mask": mask });
    let grid = json!({ "type": "interpolate", "images": [picture, picture], "columns": 3 });
    for (task, field) in [(&task, json!({ "sampler": "ddim" })), (&grid, json!({ "eta": 0.5 }))] {
        let mut body = json!({ "model": "sprites", "task": task });
        let (name, value) = field.as_object().and_then(|all| all.iter().next()).expect("a field");
        body[name] = value.clone();
        let error = server.ended(body).1.to_string();
        assert!(error.contains(name) && error.contains("its own sampler"), "{error}");
    }
    for body in bodies {
        let (job, archive) = server.job(body);
        let command = &job["command"];
        assert!(images(&archive) == images(&runs_as_shown(&place, &job)), "{command}");
    }
}

#[test]
fn wrong_settings_are_the_clients_errors() {
    let place = Place::new();
    let server = Server::start(&place, &["sprites"]);
    for (body, part) in [
        (json!({ "class": "dragon" }), "unknown context `dragon`"),
        (json!({ "sampler": "fast" }), "fast"),
        (json!({ "steps": 900 }), "900"),
        (json!({ "spacing": "zigzag" }), "zigzag"),
        (json!({ "contexts": { "hero": 1.0, "dragon": 1.0 } }), "dragon"),
    ] {
        let (status, answer) = server.ask("POST", "/v1/images/generations", &body);
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let message = answer["error"]["message"].as_str().expect("a sentence");
        assert!(status == 400 && message.contains(part), "{body}: {status} {message}");
    }
    place.refuses(&["serve", "no-such-model"], &["no file and no built-in model no-such-model"]);
    place.refuses(
        &["serve", "sprites", "--max-images", "0"],
        &["--max-images 0: expected at least 1"],
    );
    place.refuses(&["watch", "no-such-run"], &["does not contain a training run"]);
}

#[test]
fn a_run_obeys_the_server_and_resumes_to_the_same_weights() {
    const STEPS: &str = "800";
    let same = ["--set", "train.lr_schedule=constant", "--set", "train.checkpoint_every=100000"];
    let place = Place::new();
    place.train("whole", STEPS, &same).succeeds();
    // The server is there before the run goes on, which would be over before a server starts.
    place.train("run", "1", &same).succeeds();
    let server = Server::start(&place, &["run"]);
    let resume = [&same[..], &["--resume"]].concat();
    let mut command = place.command(&train_args("run", STEPS, &resume));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            sleep(Duration::from_millis(2));
        }
    };
    let log =
        |place: &Place| std::fs::read_to_string(place.path("run/log.jsonl")).unwrap_or_default();
    until("no step", &|| log(&place).lines().count() > 1);
    let count = |folder: &str, ending: &str| {
        let files = std::fs::read_dir(place.path(folder)).into_iter().flatten().flatten();
        files.filter(|file| file.file_name().to_string_lossy().ends_with(ending)).count()
    };
    let (samples, checkpoints) =
        (count("run/samples", ".png"), count("run/checkpoints", ".safetensors"));
    server.json("POST", "/v1/runs/run/sample", Value::Null);
    until("no samples", &|| count("run/samples", ".png") == samples + 1);
    server.json("POST", "/v1/runs/run/checkpoint", Value::Null);
    until("no checkpoint", &|| count("run/checkpoints", ".safetensors") == checkpoints + 1);
    server.json("POST", "/v1/runs/run/stop", Value::Null);
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    let run = server.json("GET", "/v1/runs/run", Value::Null);
    assert_eq!((&run["in_progress"], &run["finished"]), (&json!(false), &json!(false)));
    assert_eq!(run["colours"][0]["mean"].as_array().map(Vec::len), Some(3));
    // Both networks of the newest checkpoint are models.
    let models = server.json("GET", "/v1/models", Value::Null);
    let names: Vec<&str> = models["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert_eq!(names, ["run", "run/average", "run/weights"]);
    let job = |model: &str| server.job(json!({ "model": model, "n": 2, "seed": 1, "steps": 2 }));
    let (average, weights) = (job(names[1]), job(names[2]));
    assert!(images(&average.1) != images(&weights.1));
    assert!(images(&average.1) == images(&runs_as_shown(&place, &average.0)));
    assert!(images(&weights.1) == images(&runs_as_shown(&place, &weights.0)));
    // A watcher that stands still costs the run nothing.
    server.signal("STOP");
    place.train("run", STEPS, &resume).succeeds();
    server.signal("CONT");
    let last = |run: &str| tensors(&place.path(&format!("{run}/final.safetensors")));
    assert!(last("run") == last("whole"), "not the weights of an uninterrupted run");
    let lines = place.run(&["watch", "run"]).succeeds().stdout;
    assert!(
        lines.lines().last().is_some_and(|line| line.starts_with("step 800 of 800, loss ")),
        "{lines}"
    );
}

#[test]
fn a_training_checkpoint_explains_itself() {
    let place = Place::new();
    place.train("run", "3", &[]).succeeds();
    let sample = |model: &str, more: &[&str]| {
        let args = [&["sample", model, "-n", "2", "--steps", "2", "--out", "x.npz"], more].concat();
        place.run(&args).succeeds();
        let bytes = std::fs::read(place.path("x.npz")).expect("images");
        std::fs::remove_file(place.path("x.npz")).expect("a file");
        images(&bytes)
    };
    let checkpoint = "run/checkpoints/step-0000003.safetensors";
    let average = sample("run/final.safetensors", &[]);
    assert!(
        sample(checkpoint, &[]) == average && sample(checkpoint, &["--part", "ema"]) == average
    );
    let config = std::fs::read_to_string(place.path("run/config.toml")).expect("a config");
    let decay = config.split("ema = [\"").nth(1).and_then(|rest| rest.split('"').next());
    let decay = decay.expect("a decay");
    assert!(sample(checkpoint, &["--part", decay]) == average);
    assert!(sample(checkpoint, &["--part", "network"]) != average);
    place
        .run(&["sample", checkpoint, "--part", "ema-2", "--out", "y.npz"])
        .fails_saying(&["has no part `ema-2`", &format!("expected one of: ema, {decay}, network")]);
    let text = place.run(&["inspect", checkpoint]).succeeds().stdout;
    assert!(
        text.contains("config from the file's metadata") && !text.contains("unknown"),
        "{text}"
    );
}

/// The ids of the models.
fn ids(server: &Server) -> Vec<String> {
    let models = server.json("GET", "/v1/models", Value::Null);
    let models = models["data"].as_array().expect("models").clone();
    models.iter().map(|model| model["id"].as_str().expect("an id").to_string()).collect()
}

#[test]
fn a_run_with_the_name_of_a_built_in_model_does_not_hide_it() {
    let place = Place::new();
    place.train("runs/sprites", "1", &[]).succeeds();
    let server = Server::start(&place, &["runs/sprites", "sprites"]);
    let all = ["sprites", "sprites/final", "sprites/average", "sprites/weights"];
    assert_eq!(ids(&server), all);
    let (own, made) = (json!({"model": "sprites/final"}), json!({"model": "sprites"}));
    let [own, made] = [own, made].map(|mut body| {
        body["steps"] = json!(2);
        body["seed"] = json!(1);
        images(&server.job(body).1)
    });
    assert!(own != made);
    drop(server);
    let server = Server::start(&place, &["runs/sprites"]);
    assert_eq!(ids(&server), ["sprites", "sprites/average", "sprites/weights"]);
}

/// A spacing has its own number of steps.
#[test]
fn the_limit_of_steps_holds_for_spacings() {
    let place = Place::new();
    let server = Server::start(&place, &["sprites", "--max-steps", "20"]);
    let refuses = |body: Value, expected: &str| {
        let (status, body) = server.ask("POST", "/v1/images/generations", &body);
        let text = String::from_utf8_lossy(&body);
        assert!(status == 400 && text.contains(expected), "{status} {text}");
    };
    refuses(json!({"spacing": "karras1000000"}), "steps is 1000000: expected 1 to 20");
    refuses(json!({"sampler": "ddpm"}), "steps is 500: expected 1 to 20");
    server.json("POST", "/v1/images/generations", json!({"spacing": "karras5"}));
}

#[test]
fn a_server_has_models_that_start_from_an_image() {
    let place = Place::new();
    let tiny = ["--set", "model.features=8", "--set", "data.count=14", "--set", "train.batch=4"];
    let train = ["train", "sprites-inpaint", "--out", "run", "--steps", "1"];
    place.run(&[&train[..], &tiny].concat()).succeeds();
    let server = Server::start(&place, &["run/final.safetensors", "run"]);
    assert_eq!(ids(&server), ["run/final.safetensors", "run", "run/average", "run/weights"]);
    let (status, body) = server.ask("POST", "/v1/images/generations", &json!({"steps": 2}));
    let text = String::from_utf8_lossy(&body);
    assert!(status == 400 && text.contains("inpaint"), "{status} {text}");
}

/// Ctrl-C ends a server in order.
#[cfg(unix)]
#[test]
fn a_server_ends_at_a_signal() {
    let place = Place::new();
    let mut server = Server::start(&place, &["sprites"]);
    assert_eq!(server.ask("GET", "/healthz", &Value::Null), (200, b"ok\n".to_vec()));
    server.signal("INT");
    assert_eq!(server.child.wait().expect("an end").code(), Some(0));
}
