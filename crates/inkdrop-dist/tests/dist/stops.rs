//! Requests to stop: the first is passed on, the second kills.

use std::thread;

use inkdrop_dist::{
    LaunchConfig, LaunchOutcome, LaunchReport, StopHandle, StopSignal, WorkerStatus,
};

use crate::support::{Capture, Lifeline, captured, late_stop};

/// Requests stops when both workers have written `ready`.
fn stopped(config: LaunchConfig, requests: &[StopSignal]) -> (LaunchReport, Capture) {
    let ranks = config.processes;
    let stop = late_stop();
    let (builder, capture) = captured(config);
    let launch = builder.stop(stop.clone()).start().unwrap();
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            capture.stdout.wait_for("ready", ranks);
            requests.iter().for_each(|&signal| stop.request(signal));
        });
        launch.wait().unwrap()
    });
    (report, capture)
}

#[test]
fn the_first_request_is_passed_on_once() {
    let script = "n=0; trap 'n=$((n+1))' INT TERM; meet; echo ready
while [ $n = 0 ]; do nap; done
i=0; while [ $i -lt 10 ]; do nap; i=$((i+1)); done
echo total $n; exit 0";
    for (signal, code, text) in [
        (StopSignal::Interrupt, 130, "stopped by SIGINT"),
        (StopSignal::Terminate, 143, "stopped by SIGTERM"),
    ] {
        let lifeline = Lifeline::new();
        let (report, capture) = stopped(lifeline.sh(script, 2), &[signal]);
        assert_eq!(report.outcome, LaunchOutcome::Stopped(signal));
        assert_eq!((report.exit_code(), report.to_string()), (code, text.to_string()));
        let lines = capture.stdout.lines();
        assert_eq!(lines, ["[0] ready", "[0] total 1", "[1] ready", "[1] total 1"]);
        lifeline.assert_all_ended();
    }
}

/// Longer than the grace period: it is for failures only.
#[test]
fn workers_that_save_are_waited_for() {
    let script = "trap 'sleep 0.8; echo saved; exit 130' INT; meet; echo ready
[ $RANK = 1 ] && trap 'exit 130' INT
while :; do nap; done";
    let lifeline = Lifeline::new();
    let (report, capture) = stopped(lifeline.sh(script, 2), &[StopSignal::Interrupt]);
    assert_eq!(report.outcome, LaunchOutcome::Stopped(StopSignal::Interrupt));
    assert_eq!(report.workers[0].status, WorkerStatus::Exited(130));
    assert!(capture.stdout.text().contains("[0] saved"));
    lifeline.assert_all_ended();
}

#[test]
fn workers_without_a_handler_end_by_the_signal() {
    let lifeline = Lifeline::new();
    let config = lifeline.sh("meet; echo ready; exec sleep 30", 2);
    let (report, _) = stopped(config, &[StopSignal::Interrupt]);
    assert_eq!(report.exit_code(), 130);
    assert!(report.workers.iter().all(|end| end.status == WorkerStatus::Signaled(2)));
    lifeline.assert_all_ended();
}

#[test]
fn the_second_request_kills() {
    let lifeline = Lifeline::new();
    let config = lifeline.sh("trap '' INT TERM; meet; echo ready; sleep 30; sleep 30", 2);
    let twice = [StopSignal::Interrupt, StopSignal::Terminate];
    let (report, _) = stopped(config, &twice);
    assert_eq!(report.outcome, LaunchOutcome::Stopped(StopSignal::Interrupt));
    assert_eq!(report.exit_code(), 130);
    assert!(report.workers.iter().all(|end| end.status == WorkerStatus::Signaled(9)));
    lifeline.assert_all_ended();
}

/// After the grace period, and without a second signal, which could cut a save short. There is no
/// restart after a stop.
#[test]
fn a_failure_after_the_request_ends_the_others() {
    let lifeline = Lifeline::new();
    let script = "trap '' INT; trap 'echo again' TERM; [ $RANK = 0 ] && trap 'exit 3' INT
meet; echo ready; while :; do nap; done";
    let config = LaunchConfig { max_restarts: 5, ..lifeline.sh(script, 2) };
    let (report, capture) = stopped(config, &[StopSignal::Interrupt]);
    assert_eq!(capture.stdout.lines(), ["[0] ready", "[1] ready"]);
    assert_eq!(report.outcome, LaunchOutcome::Failed(report.workers[0]));
    assert_eq!((report.exit_code(), report.restarts), (3, 0));
    assert_eq!(report.workers[1].status, WorkerStatus::Signaled(9));
    lifeline.assert_all_ended();
}

#[test]
fn a_handle_keeps_the_first_signal() {
    let stop = StopHandle::new();
    assert_eq!((stop.requested(), stop.kills()), (None, false));
    stop.request(StopSignal::Terminate);
    assert_eq!((stop.requested(), stop.kills()), (Some(StopSignal::Terminate), false));
    for _ in 0..2 {
        stop.clone().request(StopSignal::Interrupt);
        assert_eq!((stop.requested(), stop.kills()), (Some(StopSignal::Terminate), true));
    }
}
