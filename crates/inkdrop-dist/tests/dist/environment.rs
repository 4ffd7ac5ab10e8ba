//! What a worker gets: environment, arguments, standard input.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use inkdrop_dist::{LaunchConfig, LaunchError, MasterAddress, Rendezvous};

use crate::support::{captured, run, run_config, sh};

#[test]
fn each_rank_of_each_node_has_torchruns_environment() {
    let script = r#"echo "$RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE, \
$GROUP_RANK $GROUP_WORLD_SIZE, $ROLE_RANK $ROLE_WORLD_SIZE $ROLE_NAME, $MASTER_ADDR $MASTER_PORT, \
$TORCHELASTIC_RESTART_COUNT $TORCHELASTIC_MAX_RESTARTS $TORCHELASTIC_RUN_ID \
$TORCHELASTIC_USE_AGENT_STORE""#;
    for node in 0..2 {
        let master = Some("[::1]:29500".parse().unwrap());
        let config = LaunchConfig { nodes: 2, node, master, ..sh::<&str>(script, &[], 3) };
        let (report, capture) = run_config(config);
        assert_eq!(report.exit_code(), 0);
        let line = |local: usize| {
            let rank = 3 * node + local;
            format!(
                "[{rank}] {rank} {local} 6 3, {node} 2, {rank} 6 default, ::1 29500, 0 0 none False"
            )
        };
        assert_eq!(capture.stdout.lines(), (0..3).map(line).collect::<Vec<_>>());
        assert_eq!(
            report.workers.iter().map(|end| end.rank).collect::<Vec<_>>(),
            match node {
                0 => [0, 1, 2],
                _ => [3, 4, 5],
            }
        );
    }
}

#[test]
fn threads_and_the_launchers_process_id_are_given() {
    let script = "echo $OMP_NUM_THREADS $INKDROP_LAUNCHER_PID";
    let config = LaunchConfig { threads: Some(3), ..sh::<&str>(script, &[], 1) };
    let (_, capture) = run_config(config);
    assert_eq!(capture.stdout.text(), format!("[0] 3 {}\n", std::process::id()));
    let (_, capture) = run("[ -n \"$OMP_NUM_THREADS\" ] && echo some", 1);
    assert_eq!(capture.stdout.text(), "[0] some\n");
}

#[test]
fn two_launches_at_once_meet_at_two_ports() {
    let differ = || {
        let start = || {
            let (builder, capture) = captured(sh::<&str>("echo $MASTER_ADDR:$MASTER_PORT", &[], 2));
            (builder.start().unwrap(), capture)
        };
        let launches = [start(), start()];
        let addresses = launches.map(|(launch, capture)| {
            assert_eq!(launch.wait().unwrap().exit_code(), 0);
            let lines = capture.stdout.lines();
            let addresses: Vec<_> = lines.iter().map(|line| line[4..].to_string()).collect();
            assert_eq!(addresses[0], addresses[1]);
            assert!(addresses[0].starts_with("127.0.0.1:"));
            addresses[0].clone()
        });
        addresses[0] != addresses[1]
    };
    // The system draws the ports, once in many thousand times the same.
    assert!((0..3).any(|_| differ()));
}

#[test]
fn the_hook_says_where_the_workers_of_a_round_meet() {
    let script = "echo $MASTER_ADDR $MASTER_PORT $TORCHELASTIC_USE_AGENT_STORE; exit 1";
    let config = LaunchConfig { max_restarts: 1, ..sh::<&str>(script, &[], 1) };
    let (builder, capture) = captured(config);
    let hook = |restarts| {
        let address = MasterAddress { host: "store".to_string(), port: 100 + restarts as u16 };
        Ok(Rendezvous { address, use_agent_store: true })
    };
    builder.before_round(hook).start().unwrap().wait().unwrap();
    assert_eq!(capture.stdout.lines(), ["[0] store 100 True", "[0] store 101 True"]);
}

#[test]
fn an_error_of_the_hook_ends_the_launch() {
    let fail_at = |round| {
        let config = LaunchConfig { max_restarts: 2, ..sh::<&str>("exit 1", &[], 2) };
        captured(config).0.before_round(move |restarts| match restarts {
            _ if restarts == round => Err("no store".into()),
            _ => Ok(Rendezvous { address: "store:1".parse().unwrap(), use_agent_store: true }),
        })
    };
    let text = "cannot prepare the start of the workers: no store";
    assert_eq!(fail_at(0).start().err().unwrap().to_string(), text);
    let mut launch = fail_at(1).start().unwrap();
    let error = loop {
        if let Err(error) = launch.next_event() {
            break error;
        }
    };
    assert_eq!(error.to_string(), text);
    assert!(matches!(launch.next_event(), Err(LaunchError::Ended)));
    assert!(matches!(launch.wait(), Err(LaunchError::Ended)));
}

#[test]
fn arguments_pass_unchanged() {
    let odd: [&[u8]; 6] = [b"two words", b"", b"\"'$HOME\\`", "ä".as_bytes(), b"\xff\xfe", b"-x"];
    let args: Vec<OsString> = odd.iter().map(|arg| OsStr::from_bytes(arg).into()).collect();
    let script = r#"printf '<%s>' "$@"; echo"#;
    let (_, capture) = run_config(sh(script, &args, 1));
    let mut expected = b"[0] ".to_vec();
    odd.iter().for_each(|arg| expected.extend([b"<", *arg, b">"].concat()));
    assert_eq!(capture.stdout.bytes(), [expected, b"\n".to_vec()].concat());
}

#[test]
fn standard_input_is_empty() {
    let (report, capture) = run("cat; echo end", 2);
    assert_eq!(report.exit_code(), 0);
    assert_eq!(capture.stdout.lines(), ["[0] end", "[1] end"]);
}
