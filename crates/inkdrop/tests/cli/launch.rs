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

use super::support::{Outcome, Place, contents, put_run, tensors, train_args};

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

pub fn train<'a>(out: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "sprites-classes", "--out", out, "--steps", steps], &SMALL[..], more].concat()
}

pub fn launch<'a>(processes: &'a str, options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["launch", "-n", processes], options, command].concat()
}

/// The largest difference of two files of weights, all tensors, in f64.
pub fn difference(one: &Path, other: &Path) -> f64 {
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
    let importance = ["--set", "train.microbatch=1", "--set", "train.timesteps=loss-second-moment"];
    for more in [&[][..], &importance, &["--set", "model.checkpoint=true"]] {
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

/// Waits until a run has a whole checkpoint.
pub fn wait_for_checkpoint(folder: &Path) {
    let whole = |name: &str| name.starts_with("step-");
    let saved = || {
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        names.into_iter().any(|entry| whole(&entry.file_name().to_string_lossy()))
    };
    let begun = Instant::now();
    while !saved() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint");
        sleep(Duration::from_millis(2));
    }
}

/// A launched run; its workers' ids by rank.
pub struct Launched {
    pub child: Child,
}

impl Launched {
    /// Starts a run, and waits for its first checkpoint.
    pub fn start(place: &Place, args: &[&str], out: &str) -> Self {
        let mut command = place.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let launched = Self { child: command.spawn().expect("a process") };
        wait_for_checkpoint(&place.path(&format!("{out}/checkpoints")));
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

    pub fn end(self) -> Outcome {
        let output = self.child.wait_with_output().expect("an end");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

pub fn signal(name: &str, pid: &str) {
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

/// With batch normalisation the processes also wait for each other in the forward pass. The survivors name
/// the process that was killed, not each other.
#[test]
#[cfg(target_os = "linux")]
fn a_process_killed_in_any_pass_is_named_by_all_others() {
    let place = Place::new();
    let args = train_args("run", "100000", &["--set", "train.batch=6"]);
    let port = free_port();
    let [first, second, third] =
        ["0", "1", "2"].map(|rank| worker(place.command(&args), port, [rank, "3"]));
    wait_for_checkpoint(&place.path("run/checkpoints"));
    signal("-KILL", &third.child.id().to_string());
    third.end();
    for end in [first, second].map(Launched::end) {
        assert_eq!(end.code, Some(1), "{}", end.stderr);
        assert!(end.stderr.contains("process 2 ended or does not answer"), "{}", end.stderr);
        assert!(!end.stderr.contains("failed: "), "{}", end.stderr);
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
    let start = |(rank, args): &(&str, Vec<&str>)| worker(place.command(args), port, [rank, "2"]);
    let running: Vec<Launched> = all.iter().map(start).collect();
    running.into_iter().map(Launched::end).collect()
}

/// One of several workers.
pub fn worker(mut command: Command, port: u16, [rank, size]: [&str; 2]) -> Launched {
    command.env("RANK", rank).env("WORLD_SIZE", size).env("MASTER_ADDR", "127.0.0.1");
    command.env("MASTER_PORT", port.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Launched { child: command.spawn().expect("a process") }
}

pub fn free_port() -> u16 {
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
    // All three have to be there at once, which takes a busy machine a while.
    let patient = || train("d", "3", &["--start-timeout", "20"]);
    let twice = [("1", patient()), ("0", patient()), ("1", patient())];
    let twice = workers(&place, free_port(), &twice);
    assert!(twice.iter().any(|outcome| outcome.stderr.contains("do two runs use one port")));
}

/// One process finds the picture, and process 0 saves: they may be two.
#[test]
fn a_broken_picture_of_any_process_saves_the_state_first() {
    let place = Place::new();
    place.run(&["data", "-n", "8", "--seed", "1", "--out", "x/"]).succeeds();
    put_run(&place, "3", "1", "kind = \"folder\"\npath = \"x\"\nmemory_mib = 0");
    let steps = ["train", "mine.toml", "--steps", "8", "--set", "train.batch=2", "--out"];
    for broken in ["x/00002.png", "x/00003.png", "x/00006.png"] {
        let path = place.path(broken);
        let whole = fs::read(&path).expect("a picture");
        fs::write(&path, &whole[..whole.len() / 2]).expect("a writable folder");
        let run = broken.replace(['/', '.'], "-");
        let late = [&steps[..], &[run.as_str()]].concat();
        let stopped = place.run(&launch("2", &[], &late)).fails_saying(&[broken]);
        let saved = contents(&place.path(&format!("{run}/checkpoints")));
        let named = |path: &std::path::PathBuf| {
            path.file_name().is_some_and(|name| stopped.stderr.contains(&*name.to_string_lossy()))
        };
        assert!(saved.is_empty() || saved.keys().any(named), "{}", stopped.stderr);
        let tries = stopped.stderr.matches("error: ").count();
        assert_eq!(tries, 2, "each process has one error: {}", stopped.stderr);
        fs::write(&path, &whole).expect("a writable folder");
        if !saved.is_empty() {
            place.run(&launch("2", &[], &[&late[..], &["--resume"]].concat())).succeeds();
        }
    }
}

/// A limit of the shell on the size of files stands for a disk that is full.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_of_process_0_ends_all_with_its_error() {
    let place = Place::new();
    let command = place.command(&launch("2", &[], &train("run", "6", &[])));
    let mut limited = Command::new("bash");
    limited.args(["-c", r#"trap '' XFSZ; ulimit -f 16; exec "$0" "$@""#]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(place.0.path()).env("OMP_NUM_THREADS", "1").stdin(Stdio::null());
    let outcome = Outcome::of(&mut limited);
    outcome.fails_saying(&["[0] error: ", "File too large", "[1] error: process 0 failed: "]);
}

#[test]
fn bad_launches_are_refused() {
    let place = Place::new();
    let few = train("run", "3", &["--set", "train.batch=1"]);
    place.run(&launch("2", &[], &few)).fails_saying(&["of 2 with batches of 1"]);
    assert!(!place.path("run").exists(), "nothing is written");
    place.refuses(&["launch", "-n", "0", "train", "sprites"], &["processes", "at least 1"]);
    place.refuses(&["launch", "-n", "2", "inspect", "x"], &["launch inspect", "train"]);
    let likelihood = ["launch", "-n", "2", "eval", "likelihood", "x", "sprites:1:8"];
    place.refuses(&likelihood, &["launch eval likelihood", "bpd or distance"]);
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

/// Two network namespaces with a cable between them stand for two machines.
struct Machines {
    names: [String; 2],
}

impl Machines {
    /// `None` where this user may not make namespaces, or the program `ip` is missing.
    fn new() -> Option<Self> {
        let number = std::process::id();
        let machines = Self { names: ["a", "b"].map(|side| format!("inkdrop-{side}-{number}")) };
        let [a, b] = &machines.names;
        let made = ip(&["netns", "add", a]) && ip(&["netns", "add", b]);
        let cable = ["link", "add", "cable", "netns", a, "type", "veth"];
        let ready = made && ip(&[&cable[..], &["peer", "name", "cable", "netns", b]].concat());
        let up = |(name, address): (&String, &str)| {
            ip(&["-n", name, "addr", "add", address, "dev", "cable"])
                && ip(&["-n", name, "link", "set", "lo", "up"])
                && ip(&["-n", name, "link", "set", "cable", "up"])
        };
        let addresses = [(a, "10.99.0.1/24"), (b, "10.99.0.2/24")];
        (ready && addresses.into_iter().all(up)).then_some(machines)
    }

    /// Starts the part of a launch on one machine.
    fn start(&self, place: &Place, node: usize, out: &str, command: &[&str]) -> Launched {
        let number = node.to_string();
        let master = ["--nodes", "2", "--node", &number, "--master", "10.99.0.1:29511"];
        let inner = place.command(&launch("1", &master, command));
        let mut outer = Command::new("ip");
        outer.args(["netns", "exec", &self.names[node]]).arg(inner.get_program());
        outer.args(inner.get_args()).current_dir(place.0.path()).env("OMP_NUM_THREADS", "1");
        let log = fs::File::create(place.path(&format!("{out}-{node}.log"))).expect("a log");
        let child = outer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Launched { child: child.expect("a process") }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&["netns", "del", name]);
        }
    }
}

fn ip(args: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
#[cfg(target_os = "linux")]
fn two_machines_train_together_and_a_cut_between_them_ends_both() {
    let place = Place::new();
    let Some(machines) = Machines::new() else {
        println!("skipped: no network namespaces");
        return;
    };
    let both =
        |out: &str, command: &[&str]| [0, 1].map(|node| machines.start(&place, node, out, command));
    let text = |out: &str, node: usize| {
        fs::read_to_string(place.path(&format!("{out}-{node}.log"))).expect("a log")
    };
    for run in both("whole", &train("whole", "5", &[])) {
        assert_eq!(run.end().code, Some(0), "{} {}", text("whole", 0), text("whole", 1));
    }
    place.run(&train("one", "5", &[])).succeeds();
    let of = |name: &str| place.path(&format!("{name}/final.safetensors"));
    assert!(difference(&of("one"), &of("whole")) < 1e-6);
    let runs = both("cut", &train("cut", "100000", &["--process-timeout", "3"]));
    wait_for_checkpoint(&place.path("cut/checkpoints"));
    assert!(ip(&["-n", &machines.names[0], "link", "set", "cable", "down"]));
    let cut = Instant::now();
    for (node, run) in runs.into_iter().enumerate() {
        assert_eq!(run.end().code, Some(1), "{}", text("cut", node));
    }
    assert!(cut.elapsed() < Duration::from_secs(30), "after {:?}", cut.elapsed());
    assert!(text("cut", 0).contains("process 1 ended or does not answer"), "{}", text("cut", 0));
    assert!(text("cut", 1).contains("the network to it is cut"), "{}", text("cut", 1));
}
