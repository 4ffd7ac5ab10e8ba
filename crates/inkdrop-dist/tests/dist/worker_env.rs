//! The environment of a worker.

use inkdrop_dist::WorkerEnv;

/// Variables as torchrun sets them, with changes; an empty value removes one.
fn worker(changes: &[(&str, &str)]) -> Result<Option<WorkerEnv>, String> {
    let torchrun = [
        ("RANK", "5"),
        ("LOCAL_RANK", "1"),
        ("WORLD_SIZE", "8"),
        ("MASTER_ADDR", "10.0.0.7"),
        ("MASTER_PORT", "29500"),
        ("TORCHELASTIC_RESTART_COUNT", "2"),
        ("TORCHELASTIC_RUN_ID", "a"),
        ("TORCHELASTIC_USE_AGENT_STORE", "True"),
    ];
    let find = |all: &[(&str, &str)], name: &str| {
        all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_string())
    };
    let value = |name: &str| find(changes, name).or_else(|| find(&torchrun, name));
    let worker = WorkerEnv::from_variables(|name| value(name).filter(|value| !value.is_empty()));
    worker.map_err(|error| error.to_string())
}

#[test]
fn torchruns_variables_are_read() {
    let worker = worker(&[]).expect("valid").expect("a worker");
    assert_eq!((worker.rank, worker.local_rank, worker.world_size), (5, 1, 8));
    assert_eq!((worker.master_host.as_str(), worker.master_port), ("10.0.0.7", 29500));
    assert_eq!((worker.restart_count, worker.agent_store, worker.run_id.as_str()), (2, true, "a"));
}

#[test]
fn a_launcher_needs_to_set_four() {
    assert_eq!(worker(&[("WORLD_SIZE", "")]), Ok(None));
    let few = [
        "LOCAL_RANK",
        "TORCHELASTIC_RESTART_COUNT",
        "TORCHELASTIC_RUN_ID",
        "TORCHELASTIC_USE_AGENT_STORE",
    ];
    let without: Vec<(&str, &str)> = few.iter().map(|name| (*name, "")).collect();
    let worker = worker(&without).expect("valid").expect("a worker");
    assert_eq!((worker.local_rank, worker.restart_count, worker.agent_store), (5, 0, false));
}

#[test]
fn bad_variables_are_named() {
    for (change, words) in [
        (("RANK", ""), ["RANK is not", "torchrun"]),
        (("MASTER_ADDR", ""), ["MASTER_ADDR is not", "WORLD_SIZE"]),
        (("RANK", "8"), ["RANK is \"8\"", "0 to 7"]),
        (("RANK", "-1"), ["RANK is \"-1\"", "0 to 7"]),
        (("WORLD_SIZE", "0"), ["WORLD_SIZE is \"0\"", "at least 1"]),
        (("WORLD_SIZE", "two"), ["WORLD_SIZE is \"two\"", "whole number"]),
        (("MASTER_PORT", "0"), ["MASTER_PORT is \"0\"", "1 to 65535"]),
        (("MASTER_PORT", "70000"), ["70000", "1 to 65535"]),
    ] {
        let error = worker(&[change]).expect_err("a bad variable");
        for word in words {
            assert!(error.contains(word), "no `{word}` in {error}");
        }
    }
}
