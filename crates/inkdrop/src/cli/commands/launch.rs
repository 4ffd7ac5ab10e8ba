//! `inkdrop launch`: starts a command in several processes, as torchrun does.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use inkdrop::dist::{
    HookError, Launch, LaunchConfig, LaunchEvent, MasterAddress, Rendezvous, StopHandle, StopSignal,
};
use inkdrop::torch::distributed::Store;

/// Limit of a request to the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(300);

/// The commands that share their work among processes.
const COMMANDS: [&str; 4] = ["train", "distill", "sample", "eval"];

/// Run a command in several processes that share the work
///
/// `train` and `distill`: each process trains on its share of every batch. `sample`: each generates one
/// shard of the images, into a directory or x.I-of-N.npz. `eval bpd` and `eval distance`: each evaluates
/// its share of the batches.
/// The number of the process stands before each line of output.
/// When a process fails, all end; with --max-restarts they start again and continue. Ctrl-C saves and
/// stops. `torchrun --no-python inkdrop …` does the same.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Number of processes on this machine
    #[arg(short = 'n', long, alias = "nproc-per-node", value_name = "N")]
    processes: usize,
    /// Number of machines; each runs this command
    #[arg(long, alias = "nnodes", value_name = "N", default_value_t = 1)]
    nodes: usize,
    /// Number of this machine, from 0
    #[arg(long, alias = "node-rank", value_name = "I", default_value_t = 0)]
    node: usize,
    /// Address of machine 0 and a free port there; required with several machines
    #[arg(long, value_name = "HOST:PORT")]
    master: Option<MasterAddress>,
    /// How often all processes are started again after a failure
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_restarts: usize,
    /// The command and its options, such as `train sprites --out runs/sprites`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let command = arguments.command[0].to_string_lossy();
    if !COMMANDS.contains(&command.as_ref()) {
        bail!("launch {command}: expected {}", COMMANDS.join(" or "));
    }
    if arguments.command[..].iter().take(2).eq(["eval", "likelihood"]) {
        bail!(
            "launch eval likelihood: it runs in one process; leave `launch` out, or take bpd or distance"
        );
    }
    let program = std::env::current_exe().context("cannot find the program itself")?;
    let config = LaunchConfig {
        args: arguments.command.clone(),
        nodes: arguments.nodes,
        node: arguments.node,
        master: arguments.master.clone(),
        max_restarts: arguments.max_restarts,
        ..LaunchConfig::new(program, arguments.processes)
    };
    let stop = StopHandle::new();
    let on_signal = stop.clone();
    ctrlc::set_handler(move || on_signal.request(StopSignal::Interrupt))
        .context("cannot listen for Ctrl-C")?;
    let mut store = StoreHost::new(arguments);
    let launch = Launch::builder(config).stop(stop).before_round(move |_| store.rendezvous());
    let mut launch = launch.start()?;
    while let Some(event) = launch.next_event()? {
        if !matches!(&event, LaunchEvent::Ended(end) if end.status.is_success()) {
            eprintln!("{event}");
        }
    }
    Ok(launch.wait()?.exit_code().try_into().unwrap_or(1))
}

/// The store of the processes, on machine 0. It outlives them, so that the others learn which one ended.
struct StoreHost {
    address: Option<MasterAddress>,
    serves: bool,
    store: Option<Store>,
}

impl StoreHost {
    fn new(arguments: &Arguments) -> Self {
        Self { address: arguments.master.clone(), serves: arguments.node == 0, store: None }
    }

    /// Where the processes meet; the store is opened once.
    fn rendezvous(&mut self) -> Result<Rendezvous, HookError> {
        let MasterAddress { host, port } = self
            .address
            .clone()
            .unwrap_or_else(|| MasterAddress { host: "127.0.0.1".to_string(), port: 0 });
        let mut port = port;
        if self.serves {
            let store = match self.store.take() {
                Some(store) => store,
                None => Store::serve(&host, port, STORE_TIMEOUT).map_err(|error| {
                    format!(
                        "the store for the processes cannot be opened at {host}:{port}: {error}"
                    )
                })?,
            };
            port = self.store.insert(store).port();
        }
        Ok(Rendezvous { address: MasterAddress { host, port }, use_agent_store: true })
    }
}
