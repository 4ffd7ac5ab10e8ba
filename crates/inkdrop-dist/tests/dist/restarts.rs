//! Restarts after failures.

use inkdrop_dist::{LaunchConfig, LaunchEvent, LaunchOutcome, WorkerStatus};

use crate::support::{captured, run_config, sh};

#[test]
fn all_workers_start_again_after_a_failure() {
    let script = "echo try $TORCHELASTIC_RESTART_COUNT of $TORCHELASTIC_MAX_RESTARTS
[ $TORCHELASTIC_RESTART_COUNT = 1 ] && exit 0
[ $RANK = 1 ] && exit 4
exec sleep 30";
    let config = LaunchConfig { max_restarts: 3, ..sh::<&str>(script, &[], 2) };
    let (report, capture) = run_config(config);
    assert_eq!(report.outcome, LaunchOutcome::Finished);
    assert_eq!((report.restarts, report.exit_code()), (1, 0));
    let lines = capture.stdout.lines();
    // The first round may end before a worker has written its line.
    assert!(lines.contains(&"[1] try 0 of 3".to_string()));
    assert_eq!(lines.iter().filter(|line| line.ends_with("try 1 of 3")).count(), 2);
}

#[test]
fn restarts_end_at_their_limit() {
    let config = LaunchConfig { max_restarts: 2, ..sh::<&str>("echo try; exit 5", &[], 1) };
    let (builder, capture) = captured(config);
    let mut launch = builder.start().unwrap();
    let mut events = Vec::new();
    while let Some(event) = launch.next_event().unwrap() {
        // When an event comes, the output before it is written.
        let tries = capture.stdout.text().lines().count();
        events.push((tries, event.to_string(), event));
    }
    let report = launch.wait().unwrap();
    assert_eq!(report.outcome, LaunchOutcome::Failed(report.workers[0]));
    assert_eq!((report.restarts, report.exit_code()), (2, 5));
    assert_eq!(events.iter().map(|event| event.0).collect::<Vec<_>>(), [1, 1, 2, 2, 3]);
    for (index, (_, text, event)) in events.iter().enumerate() {
        match event {
            LaunchEvent::Ended(end) => assert_eq!(end.status, WorkerStatus::Exited(5)),
            _ => {
                let restart = index.div_ceil(2);
                let expected = format!("all workers start again: restart {restart} of 2");
                assert_eq!(*text, expected);
            }
        }
    }
}
