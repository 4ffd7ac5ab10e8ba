//! Several processes train one network, start again after a failure, and stop together.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Kind;

use super::support::{Outcome, Place, contents, tensors, train_args};

/// A small ddpm U-Net without BatchNorm, with classes, dropout, dropped labels and flips.
///
/// Two channels for each group of a norm: with one, the gradients of biases before it are rounding errors,
/// which Adam makes steps of.
const SMALL: [&str; 16] = [
    "--set",
    "model.features=16",
    "--set",
    "model.time_features=16",
    "--set",
    "train.batch=4",
    "--set",
    "data.count=10",
    "--set",
    "train.flip=true",
    "--set",
    "train.checkpoint_every=1",
    "--set",
    "train.log_every=1",
    "--set",
    "validation.count=40",
];

fn train<'a>(out: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "sprites-classes", "--out", out, "--steps", steps], &SMALL[..], more].concat()
}

fn launch<'a>(processes: &'a str, options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["launch", "-n", processes], options, command].concat()
}

/// The largest difference of two files of weights, all tensors, in f64.
fn difference(one: &Path, other: &Path) -> f64 {
    let [one, other] = [one, other].map(|path| StateDict::open(path).expect("weights"));
    assert_eq!(one.iter().count(), other.iter().count());
    let apart = one.iter().map(|(key, tensor)| {
        let pair = other.get(key).expect("the same names").to_kind(Kind::Double);
        (tensor.to_kind(Kind::Double) - pair).abs().max().double_value(&[])
    });
    apart.fold(0.0, f64::max)
}

/// The losses of the log, with those of the validation.
fn losses(log: &Path) -> Vec<f64> {
    let text = fs::read_to_string(log).expect("a log");
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    let values =
        text.lines().map(line).flat_map(|line| [line["loss"].clone(), line["validation"].clone()]);
    values.filter_map(|value| value.as_f64()).collect()
}

/// The epoch of ten images ends with a batch of two: with four processes two of them have none.
#[test]
fn two_and_four_processes_train_the_network_of_one() {
    for more in
        [&[][..], &["--set", "train.microbatch=1", "--set", "train.timesteps=loss-second-moment"]]
    {
        let place = Place::new();
        place.run(&train("one", "5", more)).succeeds();
        for processes in ["2", "4"] {
            let outcome =
                place.run(&launch(processes, &[], &train(processes, "5", more))).succeeds();
            assert!(outcome.stderr.contains("[0] "), "{}", outcome.stderr);
            let run = |name: &str, file: &str| place.path(&format!("{name}/{file}"));
            let pairs = losses(&run("one", "log.jsonl"))
                .into_iter()
                .zip(losses(&run(processes, "log.jsonl")));
            for (one, many) in pairs {
                assert!((one - many).abs() < 1e-6, "{processes}: {one} and {many}");
            }
            for file in ["checkpoints/step-0000005.safetensors", "final.safetensors"] {
                let apart = difference(&run("one", file), &run(processes, file));
                assert!(apart < 1e-6, "{processes} processes, {file}: {apart:e}");
            }
            let files = |name| contents(&place.path(name)).into_keys().count();
            assert_eq!(files("one"), files(processes), "one process writes");
        }
    }
}

/// The ContextUnet has batch normalisation, whose statistics are those of the whole batch.
///
/// Losses are compared: biases before a normalisation have no gradient but rounding errors, which Adam makes
/// steps of.
#[test]
fn synchronised_batch_normalisation_makes_several_processes_one() {
    let place = Place::new();
    place.train("one", "5", &[]).succeeds();
    place.run(&launch("2", &[], &train_args("two", "5", &[]))).succeeds();
    let apart = |name: &str| {
        let [one, other] =
            ["one", name].map(|name| losses(&place.path(&format!("{name}/log.jsonl"))));
        assert_eq!(one.len(), 5);
        one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
    };
    assert!(apart("two") < 1e-5, "{:e}", apart("two"));
    let own = ["--set", "train.sync_batch_norm=false"];
    place.run(&launch("2", &[], &train_args("own", "5", &own))).succeeds();
    assert!(apart("own") > 1e-3, "{:e}", apart("own"));
    let uneven = ["--set", "data.count=65"];
    let args = launch("2", &[], &train_args("bad", "5", &uneven));
    place.run(&args).fails_saying(&[
        "train.sync_batch_norm",
        "a batch of 1 of 65 images",
        "train.batch",
    ]);
}

/// A launched run; its workers' ids by rank.
struct Launched {
    child: Child,
}

impl Launched {
    /// Starts a run, and waits for its first checkpoint.
    fn start(place: &Place, args: &[&str], out: &str) -> Self {
        let mut command = place.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let launched = Self { child: command.spawn().expect("a process") };
        let first = place.path(&format!("{out}/checkpoints"));
        let begun = Instant::now();
        let saved = || {
            contents(&first).into_keys().any(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-"))
            })
        };
        while !first.is_dir() || !saved() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint");
            sleep(Duration::from_millis(5));
        }
        launched
    }

    fn workers(&self) -> BTreeMap<String, String> {
        let parent = self.child.id();
        let list = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(list).expect("the list of children");
        let rank = |pid: &str| {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut variables = environment.split(|byte| *byte == 0);
            let rank = variables.find_map(|variable| variable.strip_prefix(b"RANK="))?;
            Some((String::from_utf8_lossy(rank).into_owned(), pid.to_string()))
        };
        children.split_whitespace().filter_map(rank).collect()
    }

    fn end(self) -> Outcome {
        let output = self.child.wait_with_output().expect("an end");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([name, pid]).status().expect("kill").success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_process_is_named_and_the_run_starts_again_to_the_same_weights() {
    let place = Place::new();
    place.run(&launch("2", &[], &train("whole", "30", &[]))).succeeds();
    for rank in ["0", "1"] {
        let args = launch("2", &["--max-restarts", "1"], &train(rank, "30", &[]));
        let run = Launched::start(&place, &args, rank);
        let workers = run.workers();
        assert_eq!(workers.len(), 2);
        signal("-KILL", &workers[rank]);
        let outcome = run.end().succeeds();
        for word in [
            &format!("rank {rank} "),
            "was killed by signal 9",
            "restart 1 of 1",
            "resuming after step",
        ] {
            assert!(outcome.stderr.contains(word), "no `{word}` in {}", outcome.stderr);
        }
        let of = |name: &str| tensors(&place.path(&format!("{name}/final.safetensors")));
        assert!(of(rank) == of("whole"), "other weights after the death of rank {rank}");
        for pid in workers.values() {
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} is left");
        }
    }
}

#[test]
fn an_interrupt_stops_all_after_one_step_and_another_number_resumes() {
    let place = Place::new();
    place.run(&train("one", "40", &[])).succeeds();
    let run = Launched::start(&place, &launch("2", &[], &train("run", "40", &[])), "run");
    signal("-INT", &run.child.id().to_string());
    let outcome = run.end();
    assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("[0] stopped and saved after step"), "{}", outcome.stderr);
    place.run(&train("run", "40", &["--resume"])).succeeds();
    let of = |name: &str| place.path(&format!("{name}/final.safetensors"));
    let apart = difference(&of("one"), &of("run"));
    assert!(apart < 1e-5, "{apart:e}");
}

/// Workers as torchrun starts them, with one argument list for each.
fn workers(place: &Place, port: u16, all: &[(&str, Vec<&str>)]) -> Vec<Outcome> {
    let start = |(rank, args): &(&str, Vec<&str>)| {
        let mut command = place.command(args);
        command.env("RANK", rank).env("WORLD_SIZE", "2").env("MASTER_ADDR", "127.0.0.1");
        command.env("MASTER_PORT", port.to_string());
        Launched {
            child: command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("a process"),
        }
    };
    let running: Vec<Launched> = all.iter().map(start).collect();
    running.into_iter().map(Launched::end).collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn processes_that_do_not_fit_together_say_so() {
    let place = Place::new();
    let short = ["--start-timeout", "2"];
    let alone = workers(&place, free_port(), &[("0", train("a", "3", &short))]);
    let Ok([alone]) = <[Outcome; 1]>::try_from(alone) else { panic!("one process") };
    alone.fails_saying(&["process 1 of 2 did not start within 2 s"]);
    let lost = workers(&place, free_port(), &[("1", train("b", "3", &short))]);
    let Ok([lost]) = <[Outcome; 1]>::try_from(lost) else { panic!("one process") };
    lost.fails_saying(&["nothing answers at 127.0.0.1", "MASTER_ADDR"]);
    let other = train("c", "3", &["--set", "train.lr=1e-4"]);
    let pair = workers(&place, free_port(), &[("0", train("c", "3", &[])), ("1", other)]);
    let Ok([first, second]) = <[Outcome; 2]>::try_from(pair) else { panic!("two processes") };
    second.fails_saying(&["train.lr = 0.0001", "process 0 has", "train.lr = 0.001"]);
    first.fails_saying(&["process 1 failed: ", "train.lr"]);
    let twice = workers(
        &place,
        free_port(),
        &[
            ("1", train("d", "3", &short)),
            ("0", train("d", "3", &short)),
            ("1", train("d", "3", &short)),
        ],
    );
    assert!(twice.iter().any(|outcome| outcome.stderr.contains("do two runs use one port")));
}

#[test]
fn bad_launches_are_refused() {
    let place = Place::new();
    let few = train("run", "3", &["--set", "train.batch=1"]);
    place.run(&launch("2", &[], &few)).fails_saying(&["of 2 with batches of 1"]);
    assert!(!place.path("run").exists(), "nothing is written");
    place.refuses(&["launch", "-n", "0", "train", "sprites"], &["processes", "at least 1"]);
    place.refuses(&["launch", "-n", "2", "inspect", "x"], &["launch inspect", "train"]);
    place.refuses(&["launch", "-n", "2", "--nodes", "2", "train", "sprites"], &["--master|master"]);
    let mut command = place.command(&train("run", "3", &[]));
    Outcome::of(command.env("WORLD_SIZE", "2")).fails_saying(&["RANK is not"]);
    let mut command = place.command(&train("run", "3", &[]));
    command.env("WORLD_SIZE", "2").env("RANK", "2").env("MASTER_ADDR", "x").env("MASTER_PORT", "1");
    Outcome::of(&mut command).fails_saying(&["RANK is \"2\"", "0 to 1"]);
}

#[test]
fn processes_sample_the_images_of_one() {
    let place = Place::new();
    let sample =
        |out| ["sample", "sprites", "-n", "10", "--batch", "2", "--steps", "3", "--out", out];
    place.run(&sample("one/")).succeeds();
    place.run(&launch("3", &[], &sample("three/"))).succeeds();
    let pictures = |name: &str| {
        let all = contents(&place.path(name)).into_iter();
        let all = all.filter(|(path, _)| path.extension().is_some_and(|ending| ending == "png"));
        all.map(|(path, bytes)| (path.file_name().map(ToOwned::to_owned), bytes))
            .collect::<Vec<_>>()
    };
    assert_eq!(pictures("one").len(), 10);
    assert!(pictures("one") == pictures("three"));
    let sharded = [&sample("x/")[..], &["--shard", "0/2"]].concat();
    place.run(&launch("2", &[], &sharded)).fails_saying(&["--shard", "leave it out"]);
}

#[test]
fn one_process_under_a_launcher_is_one_process() {
    let place = Place::new();
    place.run(&train("alone", "3", &[])).succeeds();
    place.run(&launch("1", &[], &train("launched", "3", &[]))).succeeds();
    let of = |name: &str| tensors(&place.path(&format!("{name}/final.safetensors")));
    assert!(of("alone") == of("launched"));
}
