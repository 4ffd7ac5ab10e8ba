//! The xtask binary itself, in workspaces of a few bytes with stub tools.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A workspace with a copy of xtask in `bin/`, stub tools in `tools/`, and maybe a libtorch.
struct Stage {
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// One test at a time, also those without a stage: a child that another test forks would hold a
/// just written tool open for writing, and the kernel does not run such a file.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    fn new(libtorch: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let stage = Stage { dir, _turn: turn() };
        fs::create_dir_all(stage.path("xtask")).expect("a folder");
        fs::create_dir_all(stage.path("bin")).expect("a folder");
        fs::copy(env!("CARGO_BIN_EXE_xtask"), stage.path("bin/xtask")).expect("a copy");
        stage.script("tools/cargo", "echo \"cargo $*\" >> log; echo \"cargo 1.95.0 (stub)\"");
        stage.script("tools/c++", "echo stub compiler");
        stage.script("tools/python3", "exit 1");
        if libtorch {
            stage.libtorch();
        }
        stage
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn libtorch(&self) {
        let home = self.path(".libtorch/2.11.0-cpu");
        fs::create_dir_all(home.join("lib")).expect("a folder");
        fs::write(home.join("lib/libc10.so"), "abc").expect("a file");
        let stamp = "version 2.11.0\ndevice cpu\nsource wheel\norigin x\n3 lib/libc10.so\nend\n";
        fs::write(home.join("install-stamp"), stamp).expect("a stamp");
        symlink("2.11.0-cpu", self.path(".libtorch/current")).expect("a link");
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    fn xtask(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/xtask"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("tools").display()))
            .env("CARGO", self.path("tools/cargo"))
            .env("CARGO_MANIFEST_DIR", self.path("xtask"))
            .env("LIBTORCH", self.path(".libtorch/current"));
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

fn done(command: &mut Command) -> (Output, String) {
    let output = command.output().expect("xtask runs");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output, text)
}

#[test]
fn arguments_and_exit_status_pass_through() {
    let stage = Stage::new(true);
    stage.script("bin/inkdrop", "echo \"inkdrop $*\"; echo \"[$LIBTORCH]\"; exit 7");
    let (output, text) = done(&mut stage.xtask(&["sample", "--help", "-n", "4", "a b"]));
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains("inkdrop sample --help -n 4 a b\n"), "{text}");
    assert!(text.contains("[]"), "cargo sets its own LIBTORCH, not xtask: {text}");
    assert!(stage.log().contains("cargo build --release --package inkdrop"));
}

#[test]
fn a_failed_build_stops_before_the_binary() {
    let stage = Stage::new(true);
    stage.script("bin/inkdrop", "echo ran");
    stage.script("tools/cargo", "exit 101");
    let (output, text) = done(&mut stage.xtask(&["inspect", "x"]));
    assert_eq!(output.status.code(), Some(101));
    assert!(!text.contains("ran"), "{text}");
}

#[test]
fn test_hands_its_arguments_to_cargo() {
    let stage = Stage::new(true);
    for args in [&["test"][..], &["test", "-p", "x"], &["test", "a", "--", "-p"]] {
        let (output, text) = done(&mut stage.xtask(args));
        assert!(output.status.success(), "{text}");
    }
    let log = stage.log();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines[0], "cargo test --release --workspace --lib --bins --tests");
    assert_eq!(lines[1], "cargo test --release --workspace --doc");
    assert_eq!(lines[2], "cargo test --release -p x");
    assert_eq!(lines[3], "cargo test --release --workspace a -- -p");
}

#[test]
fn setup_says_one_line_where_all_is_well() {
    let stage = Stage::new(true);
    let (output, text) = done(&mut stage.xtask(&["setup"]));
    assert!(output.status.success(), "{text}");
    assert_eq!(
        text,
        "libtorch 2.11.0 (cpu, from the PyPI wheel) is ready in .libtorch/2.11.0-cpu\n"
    );
}

#[test]
fn a_wrong_libtorch_stops_every_task() {
    let stage = Stage::new(true);
    fs::create_dir_all(stage.path("old")).expect("a folder");
    fs::write(stage.path("old/build-version"), "2.5.1+cu121\n").expect("a file");
    for task in ["setup", "test", "sample"] {
        let (output, text) = done(stage.xtask(&[task]).env("LIBTORCH", stage.path("old")));
        assert_eq!(output.status.code(), Some(1), "{text}");
        for part in ["2.5.1", "2.11.0", "unset LIBTORCH"] {
            assert!(text.contains(part), "{task}: {text}");
        }
    }
    assert_eq!(stage.log(), "");
}

#[test]
fn without_pip_the_wheel_says_what_to_install() {
    let stage = Stage::new(false);
    let (output, text) = done(&mut stage.xtask(&["setup", "--source", "wheel"]));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("apt install python3-pip"), "{text}");
    assert!(!stage.path(".libtorch/current").exists());
}

/// A python3 whose pip copies the wheel `w.whl`, if the requirements pin hashes.
const PIP: &str = "case \"$*\" in
    *download*--require-hashes*)
        while [ \"$1\" != --dest ]; do shift; done
        grep -q '^torch===2.11.0 ' \"$4\" && grep -q -e --hash=sha256: \"$4\" && cp w.whl \"$2/torch.whl\";;
    *pip*) ;;
    *) exit 1;;
esac";

#[test]
fn an_unreachable_site_is_followed_by_the_wheels() {
    let stage = Stage::new(false);
    stage.script("tools/curl", "exit 6");
    stage.script("tools/python3", PIP);
    let file = fs::File::create(stage.path("w.whl")).expect("a file");
    let mut wheel = zip::ZipWriter::new(file);
    for name in
        ["lib/libtorch_cpu.so", "lib/libc10.so", "include/torch/csrc/api/include/torch/torch.h"]
    {
        let options = zip::write::SimpleFileOptions::default();
        wheel.start_file(format!("torch/{name}"), options).expect("an entry");
    }
    wheel.finish().expect("a wheel");
    let (output, text) = done(&mut stage.xtask(&["setup"]));
    assert!(output.status.success(), "{text}");
    for part in [
        "python3 has no torch; trying download.pytorch.org",
        "not reachable",
        "trying the PyPI wheel",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        text.contains("(cpu, from the PyPI wheel) is ready in .libtorch/2.11.0-cpu\n"),
        "{text}"
    );
    assert!(stage.path(".libtorch/current/lib/libtorch_cpu.so").exists());
    assert!(!stage.path(".libtorch/downloads").exists());
}

#[test]
fn curls_problems_are_explained() {
    let stage = Stage::new(false);
    let setup = |body: &str| {
        stage
            .script("tools/curl", &format!("while [ \"$1\" != --output ]; do shift; done; {body}"));
        done(&mut stage.xtask(&["setup", "--source", "official"])).1
    };
    let part = stage.path(".libtorch/downloads/libtorch-cpu.part");
    fs::create_dir_all(part.parent().unwrap_or(Path::new("/"))).expect("a folder");
    for (body, explained, kept) in [
        ("echo half > \"$2\"; exit 18", "the next run resumes from there", true),
        ("exit 23", "the disk is full: libtorch for cpu needs about 1.1 GB", true),
        ("exit 22", "the server refused the file", false),
        ("exit 6", "not reachable", false),
    ] {
        let text = setup(body);
        assert!(text.contains(explained), "{text}");
        assert_eq!(part.exists(), kept, "{text}");
        assert!(!stage.path(".libtorch/current").exists());
    }
}

#[test]
fn help_lists_every_task_and_unknown_ones_are_refused() {
    let stage = Stage::new(true);
    let (_, text) = done(&mut stage.xtask(&["--help"]));
    for task in [
        "setup",
        "doctor",
        "demo",
        "test",
        "check",
        "parity",
        "tensorboard",
        "train",
        "sample",
        "edit",
        "inspect",
        "convert",
        "plan",
        "eval",
        "report",
        "bench",
        "gpu-check",
    ] {
        assert!(text.contains(&format!("\n  {task} ")), "{task}: {text}");
    }
    let (output, text) = done(&mut stage.xtask(&["trian", "--help"]));
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("unrecognized subcommand 'trian'"), "{text}");
}

#[test]
fn doctor_fails_without_libtorch_and_says_how_to_get_it() {
    let (output, text) = done(&mut Stage::new(false).xtask(&["doctor"]));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("-> cargo xtask setup"), "{text}");
}

#[test]
fn doctor_is_content_with_what_is_required() {
    let (output, text) = done(&mut Stage::new(true).xtask(&["doctor"]));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn doctor_sees_an_old_cargo_and_a_missing_compiler() {
    let stage = Stage::new(true);
    stage.script("tools/cargo", "echo cargo 1.80.0");
    let (output, text) = done(stage.xtask(&["doctor"]).env("CXX", "/no/such/compiler"));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("-> rustup update") && text.contains("C++ compiler"), "{text}");
}

#[test]
fn check_runs_all_and_fails_if_one_does() {
    let stage = Stage::new(true);
    stage.script("tools/cargo", "echo \"cargo $*\" >> log; test \"$1\" != clippy");
    let (output, text) = done(&mut stage.xtask(&["check"]));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("lints       failed") && text.contains("docs        ok"), "{text}");
}

/// A fake Python that logs its arguments and copies itself into new environments.
const PYTHON: &str = "echo \"python $*\" | sed \"s|$PWD/||g\" >> log
case \"$*\" in
    *\"$BREAK\"*) echo \"its own words\"; exit 1;;
    \"-m venv \"*) mkdir -p \"$3/bin\"; cp \"$0\" \"$3/bin/python\";;
    -c*print*) echo PyTorch stub;;
    *raw_checkpoints.py*) mkdir -p \"$4\"; printf 'a.pt\\tb.pt\\ta.json\\tx\\nc\\td\\t-\\ty\\n' > \"$4/jobs.tsv\";;
esac";

/// Calls `parity --online`; the Python fails if its arguments contain `breaking`.
fn online(stage: &Stage, breaking: &str, args: &[&str]) -> (Option<i32>, String) {
    stage.script("tools/python3", PYTHON);
    let breaking = if breaking.is_empty() { "never" } else { breaking };
    let args = [&["parity", "--online", "--seed", "7"], args].concat();
    let (output, text) = done(stage.xtask(&args).env("BREAK", breaking));
    (output.status.code(), text)
}

#[test]
fn online_creates_its_environment_once() {
    let stage = Stage::new(true);
    let (code, text) = online(&stage, "", &["--count", "2", "--no-convert", "more.safetensors"]);
    assert_eq!(code, Some(0), "{text}");
    let first = stage.log();
    for part in [
        "python -m venv .libtorch/live-python\n",
        "-m pip install --only-binary=:all: --no-input --no-cache-dir --disable-pip-version-check \
         torch==2.11.0 torchvision==0.26.0 diffusers==0.35.2 denoising-diffusion-pytorch==2.3.4 ema-pytorch==0.8.3 \
         safetensors numpy scipy\n",
        "export.py --out live-",
        "/cases --seed 7 --count 2\n",
        "--package inkdrop-parity -- ",
        "/cases more.safetensors\n",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    let (code, text) = online(&stage, "", &["--no-convert"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!stage.log()[first.len()..].contains("pip"), "the second run uses the first one's");
}

#[test]
fn online_names_the_missing_requirement() {
    for (breaking, part) in [
        ("version_info", "older than 3.10"),
        ("-m venv", "apt install python3-venv"),
        ("-m pip", "check the network"),
        ("print", "lacks one of torch==2.11.0"),
    ] {
        let stage = Stage::new(true);
        let (code, text) = online(&stage, breaking, &[]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(part), "{breaking}: {text}");
        let stamped = stage.path(".libtorch/live-python/stamp").exists();
        assert_eq!(stamped, breaking == "print", "only a whole environment is kept");
    }
}

#[test]
fn online_stops_if_the_pytorch_modules_are_wrong() {
    let stage = Stage::new(true);
    // A workspace's neighbour: the stage is a folder below the shared one.
    stage.script("inner/python", PYTHON);
    fs::create_dir_all(stage.path("inner/xtask")).expect("a folder");
    fs::create_dir_all(stage.path("shared/parity")).expect("a folder");
    symlink(stage.path(".libtorch"), stage.path("inner/.libtorch")).expect("a link");
    let python = stage.path("inner/python").display().to_string();
    let mut command = stage.xtask(&["parity", "--online", "--python", &python]);
    command.env("CARGO_MANIFEST_DIR", stage.path("inner/xtask")).env("BREAK", "verify.py");
    let (output, text) = done(&mut command);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!stage.log().contains("export.py"), "{text}");
}

#[test]
fn online_fails_if_the_checker_or_a_converted_file_does() {
    let stage = Stage::new(true);
    stage.script("bin/inkdrop", "exit 0");
    stage.script("tools/cargo", "case \"$*\" in *inkdrop-parity*) exit 3;; esac");
    let (code, text) = online(&stage, "", &["--no-convert"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("the cases are kept in"), "{text}");
    stage.script("tools/cargo", "exit 0");
    for breaking in ["raw_checkpoints.py", "check_files.py"] {
        let (code, text) = online(&stage, breaking, &[]);
        assert_eq!(code, Some(1), "{breaking}: {text}");
    }
    stage.script("bin/inkdrop", "test \"$2\" != c");
    let (code, text) = online(&stage, "", &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("1 conversions failed"), "{text}");
}

#[test]
fn online_converts_every_line_of_the_list() {
    let stage = Stage::new(true);
    stage.script("bin/inkdrop", "echo \"inkdrop $*\" >> log");
    let (code, text) = online(&stage, "", &[]);
    assert_eq!(code, Some(0), "{text}");
    let log = stage.log();
    assert!(log.contains("inkdrop convert a.pt b.pt --config a.json\n"), "{log}");
    assert!(log.contains("inkdrop convert c d\n"), "{log}");
}

#[test]
fn bench_compare_builds_and_hands_its_arguments_to_the_driver() {
    let stage = Stage::new(true);
    stage.script("tools/python3", "echo \"python3 $*\" >> log; exit 7");
    let python = stage.path("tools/python3").display().to_string();
    let args = ["bench", "--growth", "--filter", "steps", "--python", &python, "--repeats", "1"];
    let (output, text) = done(&mut stage.xtask(&args));
    assert_eq!(output.status.code(), Some(7), "{text}");
    let log = stage.log();
    assert!(log.contains("--bin compare_ours\n"), "{log}");
    assert!(log.contains("benches/compare/driver.py --bin "), "{log}");
    assert!(log.ends_with(" --growth --filter steps --repeats 1\n"), "{log}");
}

/// The driver is Python, as one side of the comparison is.
#[test]
fn the_driver_passes_its_tests() {
    let _turn = turn();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut python = Command::new("python3");
    python.args(["-m", "unittest", "discover", "--start-directory", "benches/compare"]);
    let output = match python.current_dir(root).env("PYTHONDONTWRITEBYTECODE", "1").output() {
        Err(_) => return eprintln!("python3 is not installed: not tested"),
        Ok(output) => output,
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("OK"), "{text}");
}

#[test]
fn bench_without_options_runs_criterion() {
    let stage = Stage::new(true);
    let (output, text) = done(&mut stage.xtask(&["bench", "--bench", "forward", "--", "ddpm"]));
    assert!(output.status.success(), "{text}");
    assert_eq!(stage.log(), "cargo bench --package inkdrop-benches --bench forward -- ddpm\n");
}
