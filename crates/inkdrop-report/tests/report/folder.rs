//! Run folders as they are found.

use std::fs;

use inkdrop_report::{ReportError, Run, SAMPLES};
use tempfile::TempDir;

use super::page::png;

fn place(files: &[(&str, &[u8])]) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    place
}

#[test]
fn a_run_that_has_just_begun_has_only_a_config() {
    let place = place(&[("config.toml", b"[train]\nsteps = 5\n")]);
    let run = Run::open(place.path()).unwrap();
    assert_eq!(run.config, "[train]\nsteps = 5\n");
    assert!(run.samples.is_empty() && run.evaluations.is_empty() && !run.finished);
    assert_eq!(run.log.last_step, None);
}

#[test]
fn a_folder_without_a_config_is_no_run() {
    let place = place(&[("log.jsonl", b"")]);
    for (folder, words) in [
        (place.path().to_path_buf(), "config.toml is missing"),
        (place.path().join("x"), "the folder does not exist"),
    ] {
        let error = Run::open(&folder).unwrap_err();
        assert!(matches!(error, ReportError::NoRun { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn pictures_and_evaluations_that_are_not_whole_are_left_out() {
    let (good, late) = (png(4, 4), png(4, 4));
    let place = place(&[
        ("config.toml", b""),
        ("log.jsonl", b"\xff\xfe{}\n"),
        ("samples/step-0000100.png", &late),
        ("samples/step-0000020.png", &good),
        ("samples/step-0000150.png", b"\x89PNG\r\n"),
        ("samples/other.png", &good),
        ("evaluations/bpd.json", b"{\"bits_per_dim\":3.5}"),
        ("evaluations/half.json", b"{\"bits_per"),
        ("final.safetensors", b""),
    ]);
    let run = Run::open(place.path()).unwrap();
    let steps: Vec<u64> = run.samples.iter().map(|sample| sample.step).collect();
    assert_eq!((steps, run.sample_count), (vec![20, 100], 2));
    assert_eq!(run.evaluations.len(), 1);
    assert!(run.finished);
    assert_eq!(run.log.broken, 1);
}

#[test]
fn of_many_grids_some_are_kept_from_the_first_to_the_last() {
    let place = place(&[("config.toml", b"")]);
    fs::create_dir(place.path().join("samples")).unwrap();
    for step in 1..=500 {
        fs::write(place.path().join(format!("samples/step-{step:07}.png")), png(1, 1)).unwrap();
    }
    let run = Run::open(place.path()).unwrap();
    assert_eq!((run.samples.len(), run.sample_count), (SAMPLES, 500));
    assert_eq!((run.samples[0].step, run.samples[SAMPLES - 1].step), (1, 500));
    assert!(run.samples.is_sorted_by(|a, b| a.step < b.step));
}

/// Resumed to more steps, a run still has the model of before.
#[test]
fn a_run_that_goes_on_is_not_finished() {
    let run = |steps: &str| {
        let place = place(&[
            ("config.toml", format!("[train]\nsteps = {steps}\n").as_bytes()),
            ("log.jsonl", b"{\"step\":60,\"loss\":0.1}\n"),
            ("final.safetensors", b""),
        ]);
        Run::open(place.path()).unwrap().finished
    };
    assert!(run("60"));
    assert!(!run("3000"));
}
