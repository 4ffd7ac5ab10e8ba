//! Configs and addresses that are refused, and how.

use inkdrop_dist::{Launch, LaunchConfig, MasterAddress};

fn refused(change: impl FnOnce(&mut LaunchConfig)) -> String {
    let mut config = LaunchConfig::new("/bin/true", 2);
    change(&mut config);
    let error = config.validate().unwrap_err().to_string();
    let started = Launch::builder(config).start().err().map(|error| error.to_string());
    assert_eq!(started.as_ref(), Some(&error));
    error
}

fn two_nodes(config: &mut LaunchConfig) {
    config.nodes = 2;
    config.master = Some("node0:29500".parse().unwrap());
}

#[test]
fn a_bad_config_is_refused_in_words() {
    assert_eq!(refused(|c| c.processes = 0), "processes is 0: expected at least 1");
    assert_eq!(refused(|c| c.nodes = 0), "nodes is 0: expected at least 1");
    assert_eq!(refused(|c| c.threads = Some(0)), "threads is 0: expected at least 1");
    assert_eq!(refused(|c| c.command = "".into()), "command is empty: expected a program");
    assert_eq!(refused(|c| c.node = 1), "node is 1: expected less than the number of nodes, 1");
    assert_eq!(
        refused(|c| c.processes = usize::MAX),
        format!("processes is {}: expected at most 2147483647 workers on all nodes", usize::MAX)
    );
    assert_eq!(
        refused(|c| c.nodes = 2),
        "2 nodes need the address of node 0: give master as HOST:PORT"
    );
    let restarts = |config: &mut LaunchConfig| {
        two_nodes(config);
        config.max_restarts = 3;
    };
    assert!(refused(restarts).starts_with("max_restarts is 3 with 2 nodes: "));
}

#[test]
fn a_good_config_is_accepted() {
    let mut config = LaunchConfig::new("/bin/true", 2);
    assert_eq!((config.validate().ok(), config.world_size()), (Some(()), 2));
    two_nodes(&mut config);
    config.node = 1;
    assert_eq!((config.validate().ok(), config.world_size()), (Some(()), 4));
}

#[test]
fn addresses_read_as_they_are_written() {
    let check = |text: &str, host: &str, port| {
        let address: MasterAddress = text.parse().unwrap();
        assert_eq!(address, MasterAddress { host: host.to_string(), port });
        assert_eq!(address.to_string(), text);
    };
    check("localhost:29500", "localhost", 29500);
    check("10.0.0.1:1", "10.0.0.1", 1);
    check("[::1]:65535", "::1", 65535);
    check("[fe80::1%eth0]:80", "fe80::1%eth0", 80);
}

#[test]
fn other_addresses_are_refused_in_words() {
    let check = |text: &str, problem: &str| {
        let error = text.parse::<MasterAddress>().unwrap_err().to_string();
        let expected =
            format!("{text:?} is not an address: {problem}; expected HOST:PORT or [IPv6]:PORT");
        assert_eq!(error, expected);
    };
    for text in ["", "localhost", "29500"] {
        check(text, "it has no port");
    }
    for text in ["::1:29500", "[::1:29500", "::1]:29500", "http://host:1", "[::1]"] {
        check(text, "an IPv6 address needs brackets");
    }
    for text in [":29500", "[]:29500", "my host:29500"] {
        check(text, "the host is empty or has spaces");
    }
    for text in ["host:", "host:0", "host:65536", "host:-1", "host:1x", "[::1]:"] {
        check(text, "the port is not a number from 1 to 65535");
    }
}
