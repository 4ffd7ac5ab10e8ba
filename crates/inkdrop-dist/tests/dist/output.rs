//! The output of workers.

use std::io::{self, Write};

use inkdrop_dist::{Launch, LaunchError, WorkerOutput};

use crate::support::{Lifeline, run};

#[test]
fn lines_stay_whole_and_in_order_with_eight_chatty_workers() {
    let script = r#"i=0
while [ $i -lt 200 ]; do
    printf 'one '; printf 'line '; echo $i
    printf 'an '; printf 'error ' >&2; echo $i >&2
    i=$((i+1))
done"#;
    let (report, capture) = run(script, 8);
    assert_eq!(report.exit_code(), 0);
    let (stdout, stderr) = (capture.stdout.text(), capture.stderr.text());
    for rank in 0..8 {
        let of_rank = |text: &str| {
            let prefix = format!("[{rank}] ");
            let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
            lines.map(String::from).collect::<Vec<_>>()
        };
        // The `an ` of a round begins the next line.
        let line = |i| if i == 0 { "one line 0".into() } else { format!("an one line {i}") };
        let mut expected: Vec<String> = (0..200).map(line).collect();
        expected.push("an ".into());
        assert_eq!(of_rank(&stdout), expected);
        let expected: Vec<_> = (0..200).map(|i| format!("error {i}")).collect();
        assert_eq!(of_rank(&stderr), expected);
    }
    assert_eq!((stdout.lines().count(), stderr.lines().count()), (8 * 201, 8 * 200));
}

#[test]
fn the_last_line_needs_no_end() {
    let (_, capture) = run("printf out; printf err >&2", 1);
    assert_eq!(capture.stdout.text(), "[0] out\n");
    assert_eq!(capture.stderr.text(), "[0] err\n");
}

#[test]
fn progress_lines_become_lines() {
    let (_, capture) = run(r"printf '\r 10%%'; printf '\r 20%%'; printf '\r 30%%\n'", 1);
    assert_eq!(capture.stdout.text(), "[0]  10%\n[0]  20%\n[0]  30%\n");
}

#[test]
fn bytes_that_are_not_text_pass() {
    let (_, capture) = run(r"printf '\377\376 x\n'", 1);
    assert_eq!(capture.stdout.bytes(), b"[0] \xff\xfe x\n");
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is full"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_cannot_be_written_ends_all() {
    let lifeline = Lifeline::new();
    let config = lifeline.sh("meet; echo text; exec sleep 30", 2);
    let output = WorkerOutput::new(Full, io::sink());
    let launch = Launch::builder(config).output(output).start().unwrap();
    let error = launch.wait().unwrap_err();
    assert!(matches!(error, LaunchError::Output(_)));
    assert_eq!(error.to_string(), "cannot write the output of the workers: the disk is full");
    lifeline.assert_all_ended();
}

/// The process is outside of the worker's group, so the launch neither ends it nor waits for it.
#[cfg(target_os = "linux")]
#[test]
fn a_daemon_that_keeps_the_pipe_does_not_keep_the_launch() {
    let (report, capture) = run("setsid sleep 30 & echo $!; sleep 0.2", 1);
    assert_eq!(report.exit_code(), 0);
    let text = capture.stdout.text();
    let pid = text.trim_start_matches("[0] ").trim_end();
    let killed = std::process::Command::new("kill").arg(pid).status().unwrap();
    assert!(killed.success(), "the daemon has ended before the launch");
}
