//! The processes of a run: joining, checks that they belong together, and errors that name the one that ended.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use inkdrop_torch::TorchError;
use inkdrop_torch::distributed::{NcclId, ProcessGroup, Store, check_nccl};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::heartbeat::{
    Heartbeat, NO_STORE, find_failure, report_failure, report_loss, wait_for_finders,
};
use crate::nccl_watch::NcclWatch;
use crate::{Backend, DistError, WorkerEnv};

/// Time between two looks at who has joined.
const POLL: Duration = Duration::from_millis(20);

/// Limit of the search for the process that ended.
const EXPLAIN_LIMIT: Duration = Duration::from_secs(4);

/// The processes of a run, joined by a store and a process group.
#[derive(Debug)]
pub struct World {
    _heartbeat: Heartbeat,
    _nccl_watch: Option<NcclWatch>,
    group: ProcessGroup,
    failures: FailureReport,
    backend: Backend,
    local_rank: usize,
    limit: Duration,
}

/// Sends the error of this process to the others, and finds the process that ended; made by
/// [`World::failure_report`].
#[derive(Debug, Clone)]
pub struct FailureReport {
    store: Arc<Store>,
    rank: usize,
    world_size: usize,
    /// True after the loss of another process: the errors that follow are not this process's own.
    lost: Arc<AtomicBool>,
}

impl FailureReport {
    /// Sends the reason, which the errors of the other processes quote. Does nothing after the loss of
    /// another process: the others name that one by themselves.
    pub fn send(&self, reason: &str) {
        if !self.lost.load(Ordering::Relaxed) {
            report_failure(&self.store, self.rank, reason);
        }
    }

    /// Which of the other processes ended, and why; `None` if all are alive. Takes two seconds.
    pub(crate) fn find(&self) -> Option<String> {
        find_failure(&self.store, self.rank, self.world_size)
    }

    /// Improves an error of a collective operation: names the process that ended. Takes two seconds.
    pub fn explain(&self, error: TorchError) -> DistError {
        let (found, answer) = channel();
        let report = self.clone();
        // In a thread of its own: a request to a store behind a cut network may wait for minutes.
        let look = move || {
            let _ = found.send(report.find());
        };
        let looking = thread::Builder::new().name("find-failure".to_string()).spawn(look);
        let failure = match looking.map(|_| answer.recv_timeout(EXPLAIN_LIMIT)) {
            Ok(Ok(Some(failure))) => failure,
            Ok(Ok(None)) => return DistError::Torch(error),
            _ => NO_STORE.to_string(),
        };
        let is_first = !self.lost.swap(true, Ordering::Relaxed);
        if is_first && failure != NO_STORE {
            report_loss(&self.store, self.rank, &failure);
            if self.rank == 0 {
                wait_for_finders(&self.store, self.rank, self.world_size);
            }
        }
        DistError::Lost(failure)
    }
}

/// Time limits of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// Until all processes have started.
    pub start: Duration,
    /// Until all processes have reached the same point, such as the end of a step.
    pub answer: Duration,
}

impl Default for TimeLimits {
    /// Five minutes to start, ten to answer: a process may load data or write a checkpoint meanwhile.
    fn default() -> Self {
        Self { start: Duration::from_secs(300), answer: Duration::from_secs(600) }
    }
}

impl World {
    /// Joins the other processes; returns when all have joined.
    ///
    /// # Errors
    /// The store cannot be served or reached, a process is absent, or one has another version or
    /// another number of processes.
    pub fn join(worker: WorkerEnv, limits: TimeLimits) -> Result<Self, DistError> {
        let store = open_store(&worker, limits.start)?;
        agree(&store, &worker, limits.start)?;
        wait_for_all(&store, &worker, limits.start)?;
        let (host, port) = (worker.master_host.as_str(), worker.master_port);
        let beats = Store::connect(host, port, limits.start)?;
        let beats = beats.with_prefix(&worker.key_prefix())?;
        let heartbeat = Heartbeat::start(beats, worker.rank)
            .map_err(|error| DistError::Store(format!("a thread cannot start: {error}")))?;
        let address = local_address(host, port)?.to_string();
        let (rank, world_size) = (worker.rank, worker.world_size);
        let lost = Arc::new(AtomicBool::new(false));
        let failures = FailureReport { store: Arc::new(store), rank, world_size, lost };
        let group = ProcessGroup::join(&failures.store, rank, world_size, &address, limits.answer);
        let group = group.map_err(|error| failures.explain(error))?;
        Ok(Self {
            _heartbeat: heartbeat,
            _nccl_watch: None,
            group,
            failures,
            backend: Backend::default(),
            local_rank: worker.local_rank,
            limit: limits.answer,
        })
    }

    /// Sets the library of the collectives; the default is [`Backend::Auto`].
    pub fn backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// Prepares collectives of tensors on this device; all processes call it.
    pub(crate) fn use_device(&mut self, device: Device) -> Result<(), DistError> {
        match (self.backend, device) {
            (Backend::Auto | Backend::Gloo, Device::Cpu) => Ok(()),
            (Backend::Gloo, _) => Err(DistError::Device),
            (Backend::Auto | Backend::Nccl, _) => self.use_nccl(device),
        }
    }

    /// Before they wait in NCCL, where no process finds the others' errors, all have its library.
    fn use_nccl(&mut self, device: Device) -> Result<(), DistError> {
        check_nccl()?;
        let all = self.all_gather(&Tensor::from(1i64))?;
        debug_assert_eq!(all.len(), self.world_size());
        let own = match self.rank() {
            0 => NcclId::new()?.to_string(),
            _ => String::new(),
        };
        let id: NcclId = self.broadcast_text(&own)?.parse()?;
        self.group.use_nccl(&id, device).map_err(DistError::Nccl)?;
        let watch = NcclWatch::start(self.group.share()?, self.failure_report(), self.limit);
        let thread = |error| DistError::Store(format!("a thread cannot start: {error}"));
        self._nccl_watch = Some(watch.map_err(thread)?);
        Ok(())
    }

    /// Number of this process on its machine, which chooses its GPU.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// Number of this process, 0 to `world_size` − 1.
    pub fn rank(&self) -> usize {
        self.failures.rank
    }

    /// Number of processes.
    pub fn world_size(&self) -> usize {
        self.failures.world_size
    }

    /// The process group.
    pub fn group(&self) -> &ProcessGroup {
        &self.group
    }

    /// The report of this process, for use after a trainer has taken the world.
    pub fn failure_report(&self) -> FailureReport {
        self.failures.clone()
    }

    /// Checks that all processes compute the same: compares their facts with those of process 0.
    ///
    /// - facts: properties, each with its name; all processes have the same names
    ///
    /// # Errors
    /// A fact differs, or a process ended.
    pub fn agree(&self, facts: &[(&'static str, String)]) -> Result<(), DistError> {
        for (what, given) in facts {
            let expected = self.broadcast_text(given)?;
            if *given != expected {
                return Err(DistError::Differs { what, given: given.clone(), expected });
            }
        }
        Ok(())
    }

    /// The text of process 0.
    ///
    /// # Errors
    /// A process ended.
    pub fn broadcast_text(&self, text: &str) -> Result<String, DistError> {
        let length = Tensor::f_from_slice(&[text.len() as i64]).map_err(TorchError::from)?;
        self.broadcast(&length)?;
        let length = length.f_int64_value(&[0]).map_err(TorchError::from)?;
        let bytes = match self.rank() {
            0 => Tensor::f_from_slice(text.as_bytes()),
            _ => Tensor::f_zeros([length], (Kind::Uint8, Device::Cpu)),
        };
        let bytes = bytes.map_err(TorchError::from)?;
        self.broadcast(&bytes)?;
        let bytes = Vec::<u8>::try_from(&bytes).map_err(TorchError::from)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn broadcast(&self, tensor: &Tensor) -> Result<(), DistError> {
        self.group.broadcast(&[tensor], 0).map_err(|error| self.explain(error))
    }

    /// The tensors of all processes, in the order of their ranks; all have one shape.
    ///
    /// # Errors
    /// A process ended, or has another shape.
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, DistError> {
        let all = self.group.all_gather(tensor).map_err(|error| self.explain(error))?;
        (0..self.world_size() as i64)
            .map(|rank| Ok(all.f_get(rank).map_err(TorchError::from)?))
            .collect()
    }

    /// As [`FailureReport::explain`].
    pub fn explain(&self, error: TorchError) -> DistError {
        self.failures.explain(error)
    }
}

/// Process 0 serves the store, unless the launcher does.
fn open_store(worker: &WorkerEnv, limit: Duration) -> Result<Store, DistError> {
    let (host, port) = (worker.master_host.as_str(), worker.master_port);
    let serves = worker.rank == 0 && !worker.agent_store;
    let store = match serves {
        true => Store::serve(host, port, limit).map_err(|error| {
            DistError::Store(format!(
                "port {port} cannot be opened for the other processes; choose another MASTER_PORT ({error})"
            ))
        })?,
        false => Store::connect(host, port, limit).map_err(|_| {
            DistError::Store(format!(
                "nothing answers at {host}:{port} within {} s: check MASTER_ADDR and MASTER_PORT, and that process 0 was started",
                limit.as_secs()
            ))
        })?,
    };
    Ok(store.with_prefix(&worker.key_prefix())?)
}

/// Checks that this process belongs to the run that the store serves.
fn agree(store: &Store, worker: &WorkerEnv, limit: Duration) -> Result<(), DistError> {
    let WorkerEnv { rank, world_size, .. } = *worker;
    let facts = [
        ("the version", env!("CARGO_PKG_VERSION").to_string()),
        ("a number of processes of", world_size.to_string()),
    ];
    for (what, given) in facts {
        if rank == 0 {
            store.set(what, &given)?;
        }
        let expected = store.get(what, limit).map_err(|_| DistError::Absent {
            absent: vec![0],
            world_size,
            seconds: limit.as_secs(),
        })?;
        if given != expected {
            return Err(DistError::Differs { what, given, expected });
        }
    }
    match store.add(&joined(rank), 1)? {
        1 => Ok(()),
        _ => {
            let address = format!("{}:{}", worker.master_host, worker.master_port);
            Err(DistError::Taken { rank, address })
        }
    }
}

fn joined(rank: usize) -> String {
    format!("joined/{rank}")
}

fn wait_for_all(store: &Store, worker: &WorkerEnv, limit: Duration) -> Result<(), DistError> {
    let started = Instant::now();
    let mut absent: Vec<usize> = (0..worker.world_size).collect();
    loop {
        let mut still = Vec::new();
        for &rank in &absent {
            if !store.has(&joined(rank))? {
                still.push(rank);
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        if started.elapsed() > limit {
            let (world_size, seconds) = (worker.world_size, limit.as_secs());
            return Err(DistError::Absent { absent: still, world_size, seconds });
        }
        absent = still;
        thread::sleep(POLL);
    }
}

/// The address of this machine on the way to the store. The name of a machine often stands for an
/// address that other machines cannot reach.
fn local_address(host: &str, port: u16) -> Result<IpAddr, DistError> {
    let unknown = |error: std::io::Error| DistError::Store(format!("no way to {host}: {error}"));
    let known: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(unknown)?.collect();
    // IPv4 first, as `localhost` stands for both.
    let to = known.iter().find(|address| address.is_ipv4()).or(known.first());
    let Some(to) = to else { return Err(DistError::Store(format!("{host} has no address"))) };
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // Nothing is sent: connecting a UDP socket asks for the route alone.
    let socket = UdpSocket::bind(any).and_then(|socket| socket.connect(to).map(|()| socket));
    Ok(socket.and_then(|socket| socket.local_addr()).map_err(unknown)?.ip())
}
