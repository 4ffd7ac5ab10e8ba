//! One worker: its process group, its output and its end.

use std::fmt;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::group::UnixProcessGroup;
use super::output::{Pump, Stream, WorkerOutput};

/// How long a process group may exist after SIGKILL, where the system does not say whether its
/// members have ended.
const REMOVAL: Duration = Duration::from_secs(1);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStatus {
    /// The process ended by itself, with this status.
    Exited(i32),
    /// A signal ended the process.
    Signaled(i32),
}

impl WorkerStatus {
    fn new(status: ExitStatus) -> Self {
        match status.signal() {
            Some(signal) => Self::Signaled(signal),
            None => Self::Exited(status.code().unwrap_or(1)),
        }
    }

    /// Exit code as shells report it: the status, or 128 + signal.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Signaled(signal) => 128 + signal,
        }
    }

    /// True for status 0.
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }

    /// True for the ends that Ctrl-C and SIGTERM usually have, with a signal handler or without.
    pub(super) fn is_stop(self) -> bool {
        let stops = [Signal::INT, Signal::TERM].map(|signal| 128 + signal.as_raw());
        self.is_success() || stops.contains(&self.exit_code())
    }
}

/// Which worker ended, and how. Displays as `rank 1 (pid 1234) was killed by signal 9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerEnd {
    /// Rank among the workers of all nodes.
    pub rank: usize,
    /// Process ID.
    pub pid: u32,
    /// How the process ended.
    pub status: WorkerStatus,
}

impl fmt::Display for WorkerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} (pid {}) ", self.rank, self.pid)?;
        match self.status {
            WorkerStatus::Exited(status) => write!(f, "ended with status {status}"),
            WorkerStatus::Signaled(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

/// A process that leads a process group of its own, so that signals reach its descendants.
pub(super) struct Worker {
    rank: usize,
    child: Child,
    group: UnixProcessGroup,
    pumps: Vec<Pump>,
    end: Option<WorkerEnd>,
    signalled: bool,
    kill_at: Option<Instant>,
    killed_at: Option<Instant>,
    group_gone: bool,
    reported: bool,
}

impl Worker {
    pub(super) fn start(
        mut command: Command,
        rank: usize,
        output: &Arc<WorkerOutput>,
    ) -> io::Result<Self> {
        // A terminal stops background process groups that read from it.
        command.process_group(0).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let group = UnixProcessGroup::led_by(&child);
        // Complete before the pumps start: if they fail, the drop of this value ends the process.
        let mut worker = Self {
            rank,
            child,
            group,
            pumps: Vec::new(),
            end: None,
            signalled: false,
            kill_at: None,
            killed_at: None,
            group_gone: false,
            reported: false,
        };
        worker.start_pumps(output)?;
        Ok(worker)
    }

    fn start_pumps(&mut self, output: &Arc<WorkerOutput>) -> io::Result<()> {
        if let Some(stdout) = self.child.stdout.take() {
            self.pumps.push(Pump::start(stdout, self.rank, output, Stream::Stdout)?);
        }
        if let Some(stderr) = self.child.stderr.take() {
            self.pumps.push(Pump::start(stderr, self.rank, output, Stream::Stderr)?);
        }
        Ok(())
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn end(&self) -> Option<WorkerEnd> {
        self.end
    }

    /// Advances the end of this worker; returns it once, when the process has just ended.
    ///
    /// What is left of its process group then gets `grace` to end.
    pub(super) fn poll(&mut self, grace: Duration) -> io::Result<Option<WorkerEnd>> {
        let just_ended = if self.end.is_none() { self.reap()? } else { None };
        self.look_for_group();
        if just_ended.is_some() && !self.group_gone {
            self.end_within(grace);
        }
        if self.kill_at.is_some_and(|at| Instant::now() >= at) {
            self.kill();
        }
        Ok(just_ended)
    }

    fn reap(&mut self) -> io::Result<Option<WorkerEnd>> {
        if let Some(status) = self.child.try_wait()? {
            let status = WorkerStatus::new(status);
            self.end = Some(WorkerEnd { rank: self.rank, pid: self.child.id(), status });
        }
        Ok(self.end)
    }

    /// Once the group is gone its ID may name another one, which must get no signal.
    fn look_for_group(&mut self) {
        if self.end.is_none() || self.group_gone {
            return;
        }
        if self.group.exists() && self.group.has_ended() {
            // A member may have started another one while the list of processes was read.
            self.kill();
            self.group_gone = true;
        }
        let late = self.killed_at.is_some_and(|at| at.elapsed() > REMOVAL);
        self.group_gone |= late || !self.group.exists();
    }

    /// True if no process of the group is left.
    pub(super) fn is_gone(&self) -> bool {
        self.group_gone
    }

    /// True if all output is written as well.
    pub(super) fn is_drained(&mut self) -> bool {
        if self.group_gone {
            self.pumps.retain_mut(|pump| !pump.is_done());
        }
        self.group_gone && self.pumps.is_empty()
    }

    /// The end of the worker, once, when all output is written.
    pub(super) fn take_report(&mut self) -> Option<WorkerEnd> {
        if self.reported || !self.is_drained() {
            return None;
        }
        self.reported = true;
        self.end
    }

    /// Sends SIGTERM, and SIGKILL after `grace`. Some programs take a second signal as the wish to
    /// end at once, so a worker that has got one gets the time alone.
    pub(super) fn end_within(&mut self, grace: Duration) {
        if !self.signalled {
            self.signal(Signal::TERM);
        }
        if self.kill_at.is_none() {
            // A grace beyond the clock's range has no end.
            self.kill_at = Instant::now().checked_add(grace);
        }
    }

    /// Sends a signal to the process group.
    pub(super) fn signal(&mut self, signal: Signal) {
        self.signalled = true;
        if !self.group_gone {
            self.group.signal(signal);
        }
    }

    /// Sends SIGKILL, once.
    pub(super) fn kill(&mut self) {
        if self.killed_at.is_none() {
            self.killed_at = Some(Instant::now());
            self.signal(Signal::KILL);
        }
    }

    pub(super) fn was_signalled(&self) -> bool {
        self.signalled
    }
}

impl Drop for Worker {
    /// The last resort: the launcher has ended its workers before.
    fn drop(&mut self) {
        if !self.group_gone {
            self.kill();
            let _ = self.child.wait();
        }
    }
}
