//! Help, version and wrong commands.

use std::process::Stdio;

use super::support::{Outcome, Place};

const COMMANDS: [&str; 8] =
    ["train", "sample", "edit", "inspect", "convert", "plan", "data", "demo"];

#[test]
fn no_subcommand_shows_the_usage_and_fails() {
    let outcome = Place::new().refuses(&[], &["Usage: inkdrop"]);
    assert_eq!(outcome.code, Some(2));
    assert_eq!(outcome.stdout, "");
}

#[test]
fn help_lists_every_command_on_stdout() {
    let outcome = Place::new().run(&["--help"]).succeeds();
    for command in COMMANDS {
        assert!(outcome.stdout.contains(&format!("\n  {command} ")), "{command}");
    }
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_command_has_help() {
    let place = Place::new();
    for command in COMMANDS {
        let outcome = place.run(&[command, "--help"]).succeeds();
        assert!(outcome.stdout.contains(&format!("Usage: inkdrop {command}")), "{command}");
        let wide = outcome.stdout.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{command}");
    }
}

#[test]
fn version_is_the_package_s() {
    let outcome = Place::new().run(&["--version"]).succeeds();
    assert_eq!(outcome.stdout, concat!("inkdrop ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_verbose_version_names_the_kernels() {
    let place = Place::new();
    let run = |variable: Option<(&str, &str)>| {
        let mut command = place.command(&["--version", "-v"]);
        command.env_remove("INKDROP_MAX_ISA").env_remove("INKDROP_KERNELS").envs(variable);
        Outcome::of(&mut command)
    };
    let plain = run(None).succeeds().stdout;
    assert!(plain.starts_with(concat!("inkdrop ", env!("CARGO_PKG_VERSION"), "\nkernels of ")));
    assert!(plain.contains("\nlibtorch: 2.11.0\n") && !plain.contains("unknown"), "{plain}");
    assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
    let capped = run(Some(("INKDROP_MAX_ISA", "baseline"))).succeeds().stdout;
    assert!(capped.contains("kernels of inkdrop: baseline "), "{capped}");
    let off = run(Some(("INKDROP_KERNELS", "off"))).succeeds().stdout;
    assert!(off.contains("kernels of inkdrop: off "), "{off}");
    let wrong = run(Some(("INKDROP_MAX_ISA", "sse")));
    assert_eq!(wrong.code, Some(1));
    let expected = "INKDROP_MAX_ISA is 'sse', expected avx512_bf16, avx512, avx2 or baseline";
    assert!(wrong.stderr.contains(expected), "{}", wrong.stderr);
    place.refuses(&["-v"], &["--version"]);
}

#[test]
fn unknown_command_is_named() {
    let outcome = Place::new().refuses(&["trian"], &["trian", "train"]);
    assert_eq!(outcome.code, Some(2));
}

#[test]
fn list_names_the_builtin_configs() {
    let outcome = Place::new().run(&["train", "--list"]).succeeds();
    assert!(outcome.stdout.lines().any(|line| line.starts_with("sprites")), "{}", outcome.stdout);
}

#[test]
fn a_reader_that_went_away_is_no_panic() {
    let place = Place::new();
    let mut command = place.command(&["train", "--list"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(101), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn errors_stay_plain_where_backtraces_are_asked_for() {
    let place = Place::new();
    let mut command = place.command(&["inspect", "missing.safetensors"]);
    command.env("RUST_BACKTRACE", "1");
    Outcome::of(&mut command).fails_saying(&["missing.safetensors"]);
}
