//! Runs that stop in the middle, and go on.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use inkdrop_checkpoint::StateDict;

use super::support::{Place, contents, tensors, train_args};

const STEPS: &str = "40";

/// A run that nothing interrupted.
fn whole() -> &'static Place {
    static WHOLE: OnceLock<Place> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let place = Place::new();
        place.train("run", STEPS, &[]).succeeds();
        place
    })
}

fn resume(place: &Place) {
    place.train("run", STEPS, &["--resume"]).succeeds();
    let last = |place: &Place| tensors(&place.path("run/final.safetensors"));
    assert!(last(place) == last(whole()), "not the weights of an uninterrupted run");
}

/// A run in progress that has written its first checkpoint.
fn started(place: &Place) -> Child {
    let mut command = place.command(&train_args("run", STEPS, &[]));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    let first = place.path("run/checkpoints/step-0000001.safetensors");
    let second = place.path("run/checkpoints/step-0000002.safetensors");
    let begun = Instant::now();
    while !first.exists() && !second.exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no checkpoint");
        sleep(Duration::from_millis(2));
    }
    child
}

fn all_weights_load(folder: &Path) {
    for path in contents(folder).into_keys() {
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            StateDict::open(&path).expect("a whole file");
        }
    }
}

#[test]
fn resume_goes_on_after_the_last_checkpoint_to_the_same_weights() {
    let place = Place::new();
    let run = place.path("run");
    let from = whole().path("run");
    for (path, bytes) in contents(&from) {
        let copy = run.join(path.strip_prefix(&from).expect("a path inside"));
        match bytes {
            None => fs::create_dir_all(copy).expect("a folder"),
            Some(bytes) => {
                fs::create_dir_all(copy.parent().expect("a parent")).expect("a folder");
                fs::write(copy, bytes).expect("a file");
            }
        }
    }
    fs::remove_file(run.join("final.safetensors")).expect("final weights");
    fs::remove_file(run.join("checkpoints/step-0000040.safetensors")).expect("a checkpoint");
    assert!(run.join("checkpoints/step-0000039.safetensors").is_file());
    resume(&place);
}

#[test]
fn a_killed_run_leaves_no_broken_file_and_can_go_on() {
    let place = Place::new();
    let mut child = started(&place);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    sleep(Duration::from_millis(u64::from(clock.subsec_nanos()) % 400));
    child.kill().expect("a process to kill");
    child.wait().expect("an end");
    all_weights_load(&place.path("run"));
    resume(&place);
    all_weights_load(&place.path("run"));
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_saves_exits_with_130_and_can_go_on() {
    let place = Place::new();
    let mut child = started(&place);
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill");
    assert!(sent.success());
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(!place.path("run/final.safetensors").exists(), "ended before the interrupt");
    all_weights_load(&place.path("run"));
    resume(&place);
}

#[test]
#[cfg(unix)]
fn an_interrupt_saves_between_checkpoints() {
    let place = Place::new();
    let args = train_args("run", "4000", &["--set", "train.checkpoint_every=4000"]);
    let mut command = place.command(&args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    let log = place.path("run/log.jsonl");
    let begun = Instant::now();
    while fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no step");
        sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().expect("kill");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    let text = fs::read_to_string(log).expect("a log");
    let last: serde_json::Value =
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    let kept = contents(&place.path("run/checkpoints")).into_keys().next_back();
    let kept = kept.expect("a checkpoint").file_name().expect("a name").to_owned();
    let expected = format!("step-{:07}.safetensors", last["step"].as_u64().expect("a step"));
    assert_eq!(kept.to_str(), Some(expected.as_str()));
}

/// The newest checkpoint is damaged in each way that disks and copies do it.
#[test]
fn a_damaged_newest_checkpoint_gives_way_to_the_newest_good_one() {
    let newest = |place: &Place| place.path("run/checkpoints/step-0000004.safetensors");
    let damages: [fn(Vec<u8>) -> Vec<u8>; 4] = [
        |bytes| bytes[..bytes.len() - 1000].to_vec(),
        |bytes| vec![0; bytes.len()],
        |_| Vec::new(),
        |_| b"version https://git-lfs.github.com/spec/v1".to_vec(),
    ];
    let place = Place::new();
    place.train("run", "4", &[]).succeeds();
    let whole = tensors(&place.path("run/final.safetensors"));
    for damage in damages {
        let bytes = fs::read(newest(&place)).expect("a checkpoint");
        fs::write(newest(&place), damage(bytes)).expect("a writable folder");
        let strict = train_args("run", "4", &["--resume=strict"]);
        place.refuses(&strict, &["step-0000004", "step-0000003", "damaged"]);
        let outcome = place.train("run", "4", &["--resume"]).succeeds();
        for word in ["damaged", "step-0000004", "resuming after step 3"] {
            assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
        }
        assert!(tensors(&place.path("run/final.safetensors")) == whole);
        let log = fs::read_to_string(place.path("run/log.jsonl")).expect("a log");
        assert_eq!(log.lines().count(), 4, "{log}");
    }
    for step in 1..=4 {
        let path = place.path(&format!("run/checkpoints/step-000000{step}.safetensors"));
        if path.exists() {
            fs::write(path, b"").expect("a writable folder");
        }
    }
    place.refuses(&train_args("run", "4", &["--resume"]), &["step-0000004", "no earlier"]);
}

#[test]
fn an_average_that_is_still_young_says_so() {
    let place = Place::new();
    let slow = ["--set", r#"train.ema=["0.9999", "0", "halflife-kimg=500"]"#];
    let outcome = place.train("run", "4", &slow).succeeds();
    for word in [
        "average 0.9999 is still 100 % the initial weights",
        "final-raw.safetensors",
        "choose a smaller decay or 0.9999:warm-up",
        "choose a shorter average",
    ] {
        assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
    }
    let of = |name: &str| tensors(&place.path(&format!("run/{name}.safetensors")));
    assert!(of("final-raw") == of("final-0") && of("final-raw") != of("final"));
    let sample = ["sample", "run/final-raw.safetensors", "-n", "1", "--steps", "2"];
    place.run(&[&sample[..], &["--out", "x.png"]].concat()).succeeds();
    // The weights of step 500,000 are the initial ones of an average that starts there.
    let late = ["--init", "run/final.safetensors", "--init-step", "500000"];
    let outcome = place.train("late", "500004", &[&slow[..], &late].concat()).succeeds();
    assert!(outcome.stderr.contains("after 4 steps the average 0.9999"), "{}", outcome.stderr);
    let quick = ["--set", r#"train.ema=["0.1"]"#];
    let outcome = place.train("quick", "4", &quick).succeeds();
    assert!(!outcome.stderr.contains("average"), "{}", outcome.stderr);
    assert!(!place.path("quick/final-raw.safetensors").exists());
}

#[test]
fn resume_with_another_config_names_the_differing_keys() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    let more = ["--resume", "--set", "train.lr=1e-4", "--set", "data.seed=3"];
    let outcome = place.refuses(&train_args("run", "2", &more), &["train.lr", "data.seed", "run"]);
    assert!(!outcome.stderr.contains("train.batch"), "{}", outcome.stderr);
}

/// The learning rate falls to 0 at the last step, so more steps make another run: it says so.
#[test]
fn resume_with_more_steps_says_so_and_goes_on() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    let output = place.run(&train_args("run", "3", &["--resume"])).succeeds();
    assert!(output.stderr.contains("train.steps: 2 → 3"), "{}", output.stderr);
}

#[test]
fn resume_to_fewer_steps_than_taken_is_refused() {
    let place = Place::new();
    place.train("run", "3", &[]).succeeds();
    place.refuses(&train_args("run", "2", &["--resume"]), &["2", "3"]);
}

#[test]
fn resume_without_a_run_is_refused() {
    let place = Place::new();
    place.refuses(&train_args("nothing", "2", &["--resume"]), &["nothing", "run"]);
    fs::create_dir(place.path("empty")).expect("a folder");
    place.refuses(&train_args("empty", "2", &["--resume"]), &["empty", "run"]);
}
