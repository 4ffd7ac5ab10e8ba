//! Training runs over HTTP.

use std::fs::{self, File};
use std::path::Path;

use inkdrop_data::picture::{Picture, write_png};
use inkdrop_report::{RunRequest, SampleColours, sample_path};
use inkdrop_serve::{ServeError, ServeOptions, Server};
use serde_json::json;

use crate::client::Running;
use crate::toy::Toy;

fn write_run(folder: &Path, lr: f64) {
    fs::create_dir_all(folder.join("samples")).unwrap();
    let config = format!("[model]\nfamily = \"ddpm\"\n[train]\nsteps = 4000\nlr = {lr}\n");
    fs::write(folder.join("config.toml"), config).unwrap();
    let line = |step: u32| {
        format!("{{\"step\":{step},\"loss\":{},\"grad_norm\":null}}\n", f64::from(step) / 4.0)
    };
    fs::write(folder.join("log.jsonl"), (1..=3000).map(line).collect::<String>()).unwrap();
    for step in [1000, 2000] {
        write_png(sample_path(folder, step), &Picture::filled(3, 2, [9; 3])).unwrap();
    }
    let colours =
        SampleColours { step: 2000, mean: vec![9.0], data_mean: vec![99.0], data_std: vec![30.0] };
    colours.write(folder).unwrap();
}

#[test]
fn runs_have_curves_samples_and_obey_while_they_train() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    write_run(&a, 0.5);
    write_run(&b, 0.25);
    let options = ServeOptions { runs: vec![a.clone(), b], ..ServeOptions::default() };
    let server = Running::new(&Toy::default(), options);
    let names = server.get("/v1/runs").json();
    assert_eq!((&names["data"][0]["name"], &names["data"][1]["name"]), (&json!("a"), &json!("b")));
    let run = server.get("/v1/runs/a").json();
    assert_eq!(
        (&run["steps"], &run["step"], &run["in_progress"]),
        (&json!(4000), &json!(3000), &json!(false))
    );
    assert_eq!(
        (&run["settings"]["train.lr"], &run["samples"]),
        (&json!("0.5"), &json!([1000, 2000]))
    );
    let loss = run["curves"]["loss"].as_array().unwrap();
    assert_eq!((loss.len(), &loss[0]), (1000, &json!([3.0, 0.5])), "means of three");
    assert_eq!(run["curves"]["grad_norm"][0], json!([3.0, null]));
    assert_eq!(
        (&run["colours"][0]["drift"], &run["colours"][0]["drifts"]),
        (&json!(3.0), &json!(true))
    );
    assert!(server.get("/v1/runs/a/samples/2000.png").body.starts_with(b"\x89PNG"));
    for wrong in ["a/samples/1.png", "a/samples/..%2f..%2fconfig.toml", "c", "a/samples/x.png"] {
        assert_eq!(server.get(&format!("/v1/runs/{wrong}")).status, 404, "{wrong}");
    }
    let refused = server.post("/v1/runs/a/stop", "");
    assert!(refused.status == 400 && refused.message() == "a is not in progress: nothing obeys");
    let lock = File::create(a.join(".lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(server.get("/v1/runs/a").json()["in_progress"], true);
    assert_eq!(server.ask("POST", "/v1/runs/a/stop", &[], "").status, 401);
    for request in RunRequest::ALL {
        assert_eq!(server.post(&format!("/v1/runs/a/{request}"), "").status, 202);
        assert!(request.take(&a));
    }
    assert_eq!(server.post("/v1/runs/a/explode", "").status, 404);
}

#[test]
fn a_folder_without_a_run_and_two_of_one_name_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let bind = |runs: &[&str]| {
        let runs = runs.iter().map(|run| folder.path().join(run)).collect();
        let options =
            ServeOptions { runs, address: ([127, 0, 0, 1], 0).into(), ..ServeOptions::default() };
        Server::bind(Toy::default(), &options).err().unwrap()
    };
    assert!(matches!(bind(&["none"]), ServeError::Run(_)));
    write_run(&folder.path().join("x/run"), 0.5);
    write_run(&folder.path().join("y/run"), 0.5);
    assert_eq!(
        bind(&["x/run", "y/run"]).to_string(),
        "two entries are named `run`: give each run and model once"
    );
}
