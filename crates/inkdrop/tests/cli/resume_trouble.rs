//! Trouble in the middle of a run: many kills, a full disk, another config.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use inkdrop_checkpoint::StateDict;

use super::support::{Outcome, Place, contents, tensors, train_args};

/// A recipe with all that has state, on twenty steps of the process so that the losses' second
/// moments count soon.
const EVERYTHING: [&str; 24] = [
    "--set",
    "process.schedule.steps=20",
    "--set",
    "train.timesteps=loss-second-moment",
    "--set",
    r#"train.ema=["0.9", "0.99:start=7", "power=0.1", "0"]"#,
    "--set",
    "train.batch=30",
    "--set",
    "train.microbatch=10",
    "--set",
    "train.clip_norm=0.5",
    "--set",
    "train.weight_decay=0.01",
    "--set",
    "train.flip=true",
    "--set",
    "train.workers=2",
    "--set",
    "train.warm_up=5",
    "--set",
    "train.log_every=7",
    "--set",
    "train.checkpoint_every=3",
];

fn args(steps: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    train_args("run", steps, &[&EVERYTHING[..], more].concat())
}

/// Random times from a number: another run of the tests kills elsewhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Killed with -9 at random moments, again and again: while it starts, learns, or writes.
#[test]
fn a_run_that_is_killed_many_times_ends_as_if_nothing_had_been() {
    const STEPS: &str = "60";
    let whole = Place::new();
    whole.run(&args(STEPS, &[])).succeeds();

    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = clock.expect("a clock").subsec_nanos();
    println!("seed {seed}");
    let mut dice = Dice(u64::from(seed));
    let place = Place::new();
    let mut kills = 0;
    while kills < 25 && !place.path("run/final.safetensors").exists() {
        let begun = place.path("run/config.toml").exists();
        let more: &[&str] = if begun { &["--resume"] } else { &[] };
        let mut command = place.command(&args(STEPS, more));
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
        sleep(Duration::from_millis(100 + dice.roll(500)));
        child.kill().expect("a process to kill");
        child.wait().expect("an end");
        kills += 1;
        for path in contents(place.0.path()).into_keys() {
            let weights = path.extension().is_some_and(|ending| ending == "safetensors");
            if weights && !path.ends_with("model.safetensors") {
                StateDict::open(&path).expect("a whole file");
            }
        }
    }
    let more: &[&str] = if place.path("run/config.toml").exists() { &["--resume"] } else { &[] };
    place.run(&args(STEPS, more)).succeeds();
    for name in ["final", "final-0.99_start-7", "final-power-0.1", "checkpoints/step-0000060"] {
        let of = |place: &Place| tensors(&place.path(&format!("run/{name}.safetensors")));
        assert!(of(&place) == of(&whole), "{name} differs after {kills} kills, seed {seed}");
    }
    let lines = |place: &Place| {
        let log = fs::read_to_string(place.path("run/log.jsonl")).expect("a log");
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (line["step"].as_u64(), line["loss"].as_f64(), line["loss_q3"].as_f64())
        };
        log.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(lines(&place), lines(&whole), "seed {seed}");
}

/// A limit of the shell on the size of files stands for a disk that is full.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_and_the_last_checkpoint_stays() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    let before = contents(&place.path("run/checkpoints"));
    let arguments = train_args("run", "6", &["--resume"]);
    let command = place.command(&arguments);
    let mut limited = Command::new("bash");
    limited.args(["-c", r#"trap '' XFSZ; ulimit -f 16; exec "$0" "$@""#]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(place.0.path()).env("OMP_NUM_THREADS", "1").stdin(Stdio::null());
    let outcome = Outcome::of(&mut limited).fails_saying(&["step-0000003", "File too large"]);
    assert_eq!(outcome.code, Some(1));
    assert!(contents(&place.path("run/checkpoints")) == before, "a checkpoint came or went");
    place.train("run", "6", &["--resume"]).succeeds();
}

#[test]
fn another_config_goes_on_where_it_is_meant() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    let changed = ["--resume", "--set", "train.lr=1e-4", "--set", "train.ema=[\"0.9\"]"];
    let outcome = place.refuses(
        &train_args("run", "4", &changed),
        &["train.lr", "0.001 → 0.0001", "train.ema", "--allow-changes"],
    );
    assert!(!outcome.stderr.contains("train.seed"), "{}", outcome.stderr);
    let allowed = [&changed[..], &["--allow-changes"]].concat();
    let outcome = place.run(&train_args("run", "4", &allowed)).succeeds();
    assert!(outcome.stderr.contains("train.lr: 0.001 → 0.0001"), "{}", outcome.stderr);
    let config = fs::read_to_string(place.path("run/config.toml")).expect("a config");
    assert!(config.contains("lr = 0.0001"), "{config}");
    // What cannot go on is refused all the same, and the folder stays as it was.
    let wider = ["--resume", "--allow-changes", "--set", "model.features=16"];
    let before = contents(&place.path("run/checkpoints"));
    place.run(&train_args("run", "5", &wider)).fails_saying(&["shape"]);
    assert!(contents(&place.path("run/checkpoints")) == before);
}

/// The folder of a run of another network holds nothing that this one could go on with.
#[test]
fn the_folder_of_another_network_is_refused() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    let other = ["train", "sprites-classes", "--out", "run", "--resume"];
    place.refuses(&other, &["run", "another config", "model.family"]);
}

/// Killed before its first own checkpoint, a run that began with given weights goes on with them.
#[test]
fn given_weights_outlive_a_kill() {
    let place = super::support::place_with_model();
    let more = ["--init", "model.safetensors", "--set", "train.checkpoint_every=100000"];
    let steps = "400";
    let mut command = place.command(&train_args("run", steps, &more));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    let log = place.path("run/log.jsonl");
    let begun = std::time::Instant::now();
    while fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no step");
        sleep(Duration::from_millis(2));
    }
    let first = |run: &str| {
        let log = fs::read_to_string(place.path(run).join("log.jsonl")).expect("a log");
        let line: serde_json::Value =
            serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
        line["loss"].as_f64()
    };
    child.kill().expect("a process to kill");
    child.wait().expect("an end");
    let before = first("run");
    let more = ["--resume", "--set", "train.checkpoint_every=100000"];
    place.train("run", steps, &more).succeeds();
    assert_eq!(first("run"), before);
    let said = StateDict::open(&place.path("run/final.safetensors")).expect("a model");
    let training: Option<serde_json::Value> = said.metadata("training").expect("JSON");
    assert_eq!(training.expect("a record")["began_with"], "model.safetensors");
}

/// An image or a class that came or went makes another run.
#[test]
fn changed_data_is_noticed() {
    let place = Place::new();
    place.run(&["data", "-n", "10", "--seed", "1", "--out", "x/"]).succeeds();
    for (index, class) in (0..10).zip(["ant", "bee"].into_iter().cycle()) {
        let (name, folder) = (format!("{index:05}.png"), place.path(&format!("x/{class}")));
        fs::create_dir_all(&folder).expect("a folder");
        fs::rename(place.path(&format!("x/{name}")), folder.join(name)).expect("a picture");
    }
    let data = "kind = \"folder\"\npath = \"x\"\nlabels = \"folder\"";
    super::support::put_run(&place, "3", "2", data);
    place.run(&["train", "mine.toml", "--out", "run"]).succeeds();
    let resume = ["train", "--out", "run", "--resume", "--steps", "4"];
    fs::rename(place.path("x/ant"), place.path("x/zoo")).expect("a folder");
    place.refuses(&resume, &["ant, bee", "bee, zoo", "--allow-changes"]);
    fs::rename(place.path("x/zoo"), place.path("x/ant")).expect("a folder");
    fs::remove_file(place.path("x/ant/00004.png")).expect("a picture");
    place.refuses(&resume, &["10 images", "9 images"]);
    place.run(&[&resume[..], &["--allow-changes"]].concat()).succeeds();

    // What is measured with has the classes that are learned.
    fs::create_dir(place.path("y")).expect("a folder");
    for class in ["ant", "fox"] {
        fs::create_dir(place.path(&format!("y/{class}"))).expect("a folder");
        let picture = place.path("x/ant/00000.png");
        fs::copy(picture, place.path(&format!("y/{class}/1.png"))).expect("a picture");
    }
    let validation = format!("{data}\n\n[validation]\n{}", data.replace("\"x\"", "\"y\""));
    super::support::put_run(&place, "3", "2", &validation);
    place.refuses(&["train", "mine.toml", "--out", "other"], &["ant, fox", "ant, bee"]);
}

/// What a kill in the middle of a write leaves is removed when the run goes on.
#[test]
fn half_written_files_are_swept_away() {
    let place = Place::new();
    place.train("run", "2", &[]).succeeds();
    for name in
        ["checkpoints/.step-0000003.safetensors.Ab12", ".log.jsonl.x9", ".final.safetensors.q"]
    {
        place.put(&format!("run/{name}"), b"half");
    }
    place.train("run", "3", &["--resume"]).succeeds();
    let hidden = contents(&place.path("run")).into_keys().filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    });
    let names: Vec<_> = hidden.map(|path| path.file_name().expect("a name").to_owned()).collect();
    assert_eq!(names, [".lock"]);
}
