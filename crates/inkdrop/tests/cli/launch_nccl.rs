//! Training with NCCL's interface: a library of the tests implements its functions on CPU memory.
#![cfg(target_os = "linux")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::launch::{difference, free_port, launch, signal, train, wait_for_checkpoint, worker};
use super::support::{Outcome, Place, tensors, train_args};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../inkdrop-torch/tests/stubs/nccl.cpp");

const NCCL: [&str; 2] = ["--backend", "nccl"];

fn build(options: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_string());
    let mut command = Command::new(compiler);
    command.args(["-std=c++17", "-O1", "-shared", "-fPIC", "-pthread"]).args(options).arg(SOURCE);
    let built = command.arg("-o").arg(folder.path().join("libnccl.so.2")).status();
    assert!(built.expect("a C++ compiler").success());
    folder
}

/// The folder of the library, built once.
fn library() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| build(&[])).path()
}

/// A command that finds a library in a folder.
fn finding(folder: &Path, mut command: Command) -> Command {
    let before = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = [folder.to_path_buf()].into_iter().chain(env::split_paths(&before));
    let folders: Vec<PathBuf> = folders.filter(|path| !path.as_os_str().is_empty()).collect();
    command.env("LD_LIBRARY_PATH", env::join_paths(folders).expect("paths without colons"));
    command
}

/// A run of two processes with the library and one of its faults.
fn run(place: &Place, args: &[&str], fault: &str) -> Outcome {
    let command = place.command(&launch("2", &[], args));
    Outcome::of(finding(library(), command).env("INKDROP_STUB_NCCL", fault))
}

#[test]
fn nccl_trains_the_network_of_gloo() {
    let place = Place::new();
    let normalised = |out| train_args(out, "4", &["--set", "data.count=16"]);
    for (gloo, nccl) in [
        (train("gloo", "5", &[]), train("nccl", "5", &NCCL)),
        (normalised("gloo-bn"), [normalised("nccl-bn"), NCCL.to_vec()].concat()),
    ] {
        let [gloo_out, nccl_out] = [gloo[3], nccl[3]];
        place.run(&launch("2", &[], &gloo)).succeeds();
        run(&place, &nccl, "").succeeds();
        let of = |name: &str| tensors(&place.path(&format!("{name}/final.safetensors")));
        assert!(of(gloo_out) == of(nccl_out), "{nccl_out}");
    }
    // Three processes add in another order.
    for (out, more) in [("gloo3", &[][..]), ("nccl3", &NCCL)] {
        let args = train(out, "3", more);
        let command = finding(library(), place.command(&launch("3", &[], &args)));
        Outcome::of(&mut { command }).succeeds();
    }
    let of = |name: &str| place.path(&format!("{name}/final.safetensors"));
    let apart = difference(&of("gloo3"), &of("nccl3"));
    assert!(apart < 1e-6, "{apart:e}");
}

#[test]
fn an_unusable_library_is_refused_with_what_was_looked_for() {
    let place = Place::new();
    let args = train("run", "3", &NCCL);
    let without = place.run(&launch("2", &[], &args));
    let without = without.fails_saying(&["NCCL was not found: libnccl.so.2", "LD_LIBRARY_PATH"]);
    assert!(!place.path("run/log.jsonl").exists(), "{}", without.stderr);
    let old = run(&place, &args, "version=2804");
    old.fails_saying(&["libnccl.so.2 is NCCL 2.8.4: expected 2.10 or later"]);
    let gpus_only = build(&["-DFOR_GPUS_ONLY"]);
    let command = place.command(&launch("2", &[], &args));
    let outcome = Outcome::of(&mut finding(gpus_only.path(), command));
    outcome.fails_saying(&["NCCL works on GPUs, the tensors are on the device cpu"]);
    place.refuses(&train("run", "3", &["--backend", "mpi"]), &["mpi", "nccl"]);
}

/// The launcher would end the others at once: without it they find out by themselves.
fn pair(place: &Place, args: &[&str], fault: &str) -> [super::launch::Launched; 2] {
    let port = free_port();
    ["0", "1"].map(|rank| {
        let mut command = finding(library(), place.command(args));
        command.env("INKDROP_STUB_NCCL", fault);
        worker(command, port, [rank, "2"])
    })
}

#[test]
fn errors_of_nccl_end_all_processes() {
    let place = Place::new();
    for (fault, words) in [
        ("fail=9", ["failed in NCCL: ", "a fault of the stub"]),
        ("async=9", ["was aborted: ", "remote process exited or there was a network error"]),
    ] {
        let begun = Instant::now();
        let ends = pair(&place, &train("run", "50", &NCCL), fault).map(|run| run.end());
        assert!(begun.elapsed() < Duration::from_secs(60), "after {:?}", begun.elapsed());
        let all = ends.iter().map(|end| end.stderr.as_str()).collect::<String>();
        for end in &ends {
            assert_eq!(end.code, Some(1), "{fault}: {}", end.stderr);
        }
        assert!(words.iter().all(|word| all.contains(word)), "{fault}: {all}");
        std::fs::remove_dir_all(place.path("run")).expect("a run directory");
    }
}

/// Neither NCCL nor the library of the tests notices that a process ended.
#[test]
fn a_killed_process_is_named_and_the_communicator_aborted() {
    let place = Place::new();
    let [first, second] = pair(&place, &train("run", "100000", &NCCL), "");
    wait_for_checkpoint(&place.path("run/checkpoints"));
    signal("-KILL", &second.child.id().to_string());
    let killed = Instant::now();
    second.end();
    let end = first.end();
    assert!(killed.elapsed() < Duration::from_secs(40), "after {:?}", killed.elapsed());
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert!(end.stderr.contains("process 1 ended or does not answer"), "{}", end.stderr);
}
