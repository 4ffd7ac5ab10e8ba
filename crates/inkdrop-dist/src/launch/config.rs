//! What is launched: the command, the number of processes and nodes, and the environment of a rank.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use super::error::LaunchError;
use crate::watch::LAUNCHER_PID;

/// Environment variable with the number of threads of OpenMP, and so of libtorch.
const OMP_NUM_THREADS: &str = "OMP_NUM_THREADS";

/// torchrun's default for TORCHELASTIC_RUN_ID.
const RUN_ID: &str = "none";

/// The settings of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchConfig {
    /// Program of every worker: a path, or a name that is looked up in PATH.
    pub command: OsString,
    /// Arguments of the program, which are passed on unchanged.
    pub args: Vec<OsString>,
    /// Number of processes on each node, ≥ 1.
    pub processes: usize,
    /// Number of nodes (machines), ≥ 1. Every node runs one launcher.
    pub nodes: usize,
    /// Index of this node, in [0, nodes).
    pub node: usize,
    /// Address at which the workers meet: a host of node 0 and a free port there. `None` takes a
    /// free port of 127.0.0.1, for one node only.
    pub master: Option<MasterAddress>,
    /// Number of restarts after a failure. With several nodes it must be 0.
    pub max_restarts: usize,
    /// Time between SIGTERM and SIGKILL when workers must end.
    pub grace: Duration,
    /// OMP_NUM_THREADS of each worker, ≥ 1. `None` keeps the variable of the environment, or shares
    /// the cores among the workers of the node.
    pub threads: Option<usize>,
}

impl LaunchConfig {
    /// One node with `processes` workers, no restarts, and 10 seconds of grace.
    pub fn new(command: impl Into<OsString>, processes: usize) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            processes,
            nodes: 1,
            node: 0,
            master: None,
            max_restarts: 0,
            grace: Duration::from_secs(10),
            threads: None,
        }
    }

    /// Number of workers on all nodes.
    pub fn world_size(&self) -> usize {
        self.nodes.saturating_mul(self.processes)
    }

    /// Checks all fields.
    ///
    /// # Errors
    ///
    /// A field is out of range, several nodes have no master address, or several nodes have
    /// restarts.
    pub fn validate(&self) -> Result<(), LaunchError> {
        at_least_one("processes", self.processes)?;
        at_least_one("nodes", self.nodes)?;
        at_least_one("threads", self.threads.unwrap_or(1))?;
        if self.command.is_empty() {
            return Err(field("command", "empty", "a program"));
        }
        if self.node >= self.nodes {
            let range = format!("less than the number of nodes, {}", self.nodes);
            return Err(field("node", self.node, range));
        }
        // PyTorch counts ranks in 32 bits.
        if self.world_size() > i32::MAX as usize {
            let range = format!("at most {} workers on all nodes", i32::MAX);
            return Err(field("processes", self.processes, range));
        }
        self.validate_nodes()
    }

    fn validate_nodes(&self) -> Result<(), LaunchError> {
        let &Self { nodes, max_restarts, .. } = self;
        if nodes > 1 && self.master.is_none() {
            return Err(LaunchError::NoMaster { nodes });
        }
        if nodes > 1 && max_restarts > 0 {
            return Err(LaunchError::RestartOfNodes { max_restarts, nodes });
        }
        Ok(())
    }

    /// Rank of the worker with this local rank among those of all nodes.
    pub(super) fn rank(&self, local_rank: usize) -> usize {
        self.node * self.processes + local_rank
    }

    /// The command of a worker, with torchrun's environment.
    pub(super) fn worker(&self, local_rank: usize, round: &Round) -> Command {
        let mut command = Command::new(&self.command);
        command.args(&self.args).envs(self.environment(local_rank, round));
        let inherited = std::env::var_os(OMP_NUM_THREADS);
        if let Some(threads) = self.omp_threads(inherited.as_deref(), cores()) {
            command.env(OMP_NUM_THREADS, threads.to_string());
        }
        command
    }

    fn environment(&self, local_rank: usize, round: &Round) -> Vec<(&'static str, String)> {
        let (rank, world_size) = (self.rank(local_rank).to_string(), self.world_size().to_string());
        let Rendezvous { address, use_agent_store } = &round.rendezvous;
        vec![
            ("RANK", rank.clone()),
            ("LOCAL_RANK", local_rank.to_string()),
            ("WORLD_SIZE", world_size.clone()),
            ("LOCAL_WORLD_SIZE", self.processes.to_string()),
            ("GROUP_RANK", self.node.to_string()),
            ("GROUP_WORLD_SIZE", self.nodes.to_string()),
            ("ROLE_RANK", rank),
            ("ROLE_WORLD_SIZE", world_size),
            ("ROLE_NAME", "default".to_string()),
            ("MASTER_ADDR", address.host.clone()),
            ("MASTER_PORT", address.port.to_string()),
            ("TORCHELASTIC_RESTART_COUNT", round.restart_count.to_string()),
            ("TORCHELASTIC_MAX_RESTARTS", self.max_restarts.to_string()),
            ("TORCHELASTIC_RUN_ID", RUN_ID.to_string()),
            // Python's spelling of a truth value, as torchrun writes it.
            ("TORCHELASTIC_USE_AGENT_STORE", python_bool(*use_agent_store).to_string()),
            (LAUNCHER_PID, std::process::id().to_string()),
        ]
    }

    /// `None` leaves the inherited value.
    fn omp_threads(&self, inherited: Option<&OsStr>, cores: usize) -> Option<usize> {
        let shared = inherited.is_none().then(|| (cores / self.processes).max(1));
        self.threads.or(shared)
    }
}

fn field(name: &'static str, given: impl ToString, expected: impl Into<String>) -> LaunchError {
    LaunchError::Field { field: name, given: given.to_string(), expected: expected.into() }
}

fn at_least_one(name: &'static str, given: usize) -> Result<(), LaunchError> {
    if given == 0 { Err(field(name, given, "at least 1")) } else { Ok(()) }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// What the workers of one round have in common. A restart is a new round.
#[derive(Debug)]
pub(super) struct Round {
    pub rendezvous: Rendezvous,
    pub restart_count: usize,
}

/// Where the workers of a round meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendezvous {
    /// Address of the TCP store.
    pub address: MasterAddress,
    /// True if the launcher hosts the store, so that every worker is a client. If false, rank 0
    /// hosts it.
    pub use_agent_store: bool,
}

/// Host and port of the TCP store. As text `HOST:PORT`, or `[IPv6]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterAddress {
    /// Name or IP address; an IPv6 address without brackets.
    pub host: String,
    /// Port, ≥ 1.
    pub port: u16,
}

impl FromStr for MasterAddress {
    type Err = LaunchError;

    fn from_str(text: &str) -> Result<Self, LaunchError> {
        let invalid = |problem| LaunchError::Address { given: text.to_string(), problem };
        let (host, port) = text.rsplit_once(':').ok_or(invalid("it has no port"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains([':', '[', ']']) {
            return Err(invalid("an IPv6 address needs brackets"));
        }
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(invalid("the host is empty or has spaces"));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self { host: host.to_string(), port }),
            _ => Err(invalid("the port is not a number from 1 to 65535")),
        }
    }
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_cores_unless_the_user_sets_threads() {
        let check = |processes, threads, inherited: Option<&str>, cores, expected| {
            let config = LaunchConfig { threads, ..LaunchConfig::new("x", processes) };
            assert_eq!(config.omp_threads(inherited.map(OsStr::new), cores), expected);
        };
        check(2, None, None, 8, Some(4));
        check(3, None, None, 8, Some(2));
        check(8, None, None, 2, Some(1));
        check(2, None, Some("7"), 8, None);
        check(2, Some(3), None, 8, Some(3));
        check(2, Some(3), Some("7"), 8, Some(3));
    }
}
