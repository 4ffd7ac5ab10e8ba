//! Workers whose launcher is killed by SIGKILL. This binary is launcher and worker as well: as
//! one test of it, with a variable set.

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use inkdrop_dist::{Launch, LaunchConfig, LaunchOutcome, watch_parent};

use crate::support::{Lifeline, run_config};

/// The pipe of a [`Lifeline`]. Without it the roles are empty tests.
const PIPE: &str = "INKDROP_DIST_PIPE";
/// Makes the launcher start its workers through a shell that stays.
const SHELL: &str = "INKDROP_DIST_SHELL";
/// How long a worker lives, in milliseconds: without end would outlive a failed test.
const LIFE: &str = "INKDROP_DIST_LIFE";

fn role(name: &str) -> [OsString; 3] {
    [format!("orphans::{name}").into(), "--exact".into(), "--nocapture".into()]
}

#[test]
fn launcher_role() {
    if env::var_os(PIPE).is_none() {
        return;
    }
    let program = env::current_exe().unwrap();
    let mut config = LaunchConfig::new(program.clone(), 2);
    if env::var_os(SHELL).is_some() {
        config.command = "/bin/sh".into();
        config.args = vec!["-c".into(), r#""$0" "$@"; exit $?"#.into(), program.into()];
    }
    config.args.extend(role("worker_role"));
    Launch::builder(config).start().unwrap().wait().unwrap();
}

#[test]
fn worker_role() {
    let Some(pipe) = env::var_os(PIPE).map(PathBuf::from) else { return };
    watch_parent().unwrap();
    let mut pipe = OpenOptions::new().write(true).open(pipe).unwrap();
    pipe.write_all(b"ready ").unwrap();
    let life = env::var(LIFE).unwrap().parse().unwrap();
    thread::sleep(Duration::from_millis(life));
    pipe.write_all(b"survived ").unwrap();
}

fn kill_launcher(shell: bool) {
    let lifeline = Lifeline::new();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(role("launcher_role")).env(PIPE, lifeline.pipe()).env(LIFE, "30000");
    if shell {
        command.env(SHELL, "1");
    }
    let mut launcher = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    lifeline.received.wait_for("ready", 2);
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    lifeline.assert_all_ended();
    assert_eq!(lifeline.received.text(), "ready ready ");
}

#[test]
fn a_killed_launcher_leaves_no_worker() {
    kill_launcher(false);
}

#[test]
fn a_killed_launcher_leaves_no_worker_behind_a_shell() {
    kill_launcher(true);
}

#[test]
fn a_watched_launcher_that_lives_changes_nothing() {
    let lifeline = Lifeline::new();
    let mut pipe = OsString::from(format!("{PIPE}="));
    pipe.push(lifeline.pipe());
    let mut args = vec![pipe, format!("{LIFE}=700").into(), env::current_exe().unwrap().into()];
    args.extend(role("worker_role"));
    let (report, _) = run_config(LaunchConfig { args, ..LaunchConfig::new("env", 2) });
    assert_eq!(report.outcome, LaunchOutcome::Finished);
    lifeline.received.wait_for("survived", 2);
}
