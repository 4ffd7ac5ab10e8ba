//! Ends of workers, and what is left of them: nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use inkdrop_dist::{Launch, LaunchConfig, LaunchError, LaunchOutcome, WorkerStatus};

use crate::support::{Lifeline, captured, run, run_config};

#[test]
fn all_succeed() {
    let (report, _) = run("true", 3);
    assert_eq!(report.outcome, LaunchOutcome::Finished);
    assert_eq!((report.exit_code(), report.restarts), (0, 0));
    assert_eq!(report.to_string(), "all workers ended with status 0");
    assert_eq!(report.workers.len(), 3);
    for (rank, end) in report.workers.iter().enumerate() {
        assert_eq!((end.rank, end.status), (rank, WorkerStatus::Exited(0)));
    }
}

#[test]
fn one_failure_ends_all() {
    let lifeline = Lifeline::new();
    let config = lifeline.sh("meet; [ $RANK = 2 ] && exit 7; exec sleep 30", 4);
    let (report, _) = run_config(config);
    let failed = report.workers[2];
    assert_eq!(failed.status, WorkerStatus::Exited(7));
    assert_eq!(report.outcome, LaunchOutcome::Failed(failed));
    assert_eq!(report.exit_code(), 7);
    assert_eq!(report.to_string(), format!("rank 2 (pid {}) ended with status 7", failed.pid));
    for rank in [0, 1, 3] {
        assert_eq!(report.workers[rank].status, WorkerStatus::Signaled(15), "rank {rank}");
    }
    lifeline.assert_all_ended();
}

#[test]
fn workers_that_ignore_sigterm_are_killed() {
    let lifeline = Lifeline::new();
    let script = "trap '' TERM; meet; [ $RANK = 0 ] && exit 1; sleep 30; sleep 30";
    let (report, _) = run_config(lifeline.sh(script, 3));
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.workers[1].status, WorkerStatus::Signaled(9));
    assert_eq!(report.workers[2].status, WorkerStatus::Signaled(9));
    lifeline.assert_all_ended();
}

#[test]
fn grandchildren_end_with_their_worker() {
    let scripts = [
        "sleep 30 & sleep 30 & meet; [ $RANK = 0 ] && exit 1; wait",
        "meet; sleep 30 & (sleep 30; sleep 30) & exit 1",
        "meet; (trap '' TERM; sleep 30; sleep 30) & exit 1",
    ];
    for script in scripts {
        let lifeline = Lifeline::new();
        let (report, _) = run_config(lifeline.sh(script, 2));
        assert_eq!(report.exit_code(), 1, "{script}");
        lifeline.assert_all_ended();
    }
}

#[test]
fn grandchildren_of_a_worker_that_succeeds_end_as_well() {
    let lifeline = Lifeline::new();
    let (report, _) = run_config(lifeline.sh("meet; sleep 30 & exit 0", 2));
    assert_eq!(report.outcome, LaunchOutcome::Finished);
    lifeline.assert_all_ended();
}

#[test]
fn a_signal_gives_128_and_its_number() {
    let (report, _) = run("kill -9 $$; sleep 30", 1);
    let end = report.workers[0];
    assert_eq!(report.outcome, LaunchOutcome::Failed(end));
    assert_eq!(report.exit_code(), 137);
    assert_eq!(end.to_string(), format!("rank 0 (pid {}) was killed by signal 9", end.pid));
}

#[test]
fn a_dropped_launch_leaves_no_process() {
    let lifeline = Lifeline::new();
    let (builder, capture) = captured(lifeline.sh("meet; echo ready; sleep 30; sleep 30", 2));
    let launch = builder.start().unwrap();
    capture.stdout.wait_for("ready", 2);
    drop(launch);
    lifeline.assert_all_ended();
}

#[test]
fn a_panic_leaves_no_process() {
    let lifeline = Lifeline::new();
    let (builder, capture) = captured(lifeline.sh("trap '' TERM; meet; echo ready; sleep 30", 2));
    let panicking = AssertUnwindSafe(|| {
        let _launch = builder.start().unwrap();
        capture.stdout.wait_for("ready", 2);
        // Unlike `panic!`, prints nothing into the output of the tests.
        std::panic::resume_unwind(Box::new(()));
    });
    assert!(catch_unwind(panicking).is_err());
    lifeline.assert_all_ended();
}

#[test]
fn a_command_that_cannot_start_is_named() {
    let start = |command: &str| {
        let error = Launch::builder(LaunchConfig::new(command, 2)).start().err().unwrap();
        (error.to_string(), error)
    };
    let (text, error) = start("no-such-program");
    assert!(matches!(error, LaunchError::NotFound { .. }));
    assert_eq!(
        text,
        "cannot find the command \"no-such-program\": give its path, or a program in PATH"
    );
    let (text, error) = start("/");
    assert!(matches!(error, LaunchError::Spawn { rank: 0, .. }));
    assert!(text.starts_with("cannot start \"/\" as rank 0: "), "{text}");
}
