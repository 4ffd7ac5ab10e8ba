//! The launcher: starts one process per device, and ends all when one fails.
//!
//! The workers read torchrun's environment. A round starts all of them; a restart is another round.

mod config;
mod error;
mod group;
mod output;
mod report;
mod stop;
mod worker;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use config::Round;
use worker::Worker;

pub use config::{LaunchConfig, MasterAddress, Rendezvous};
pub use error::{HookError, LaunchError};
pub use output::WorkerOutput;
pub use report::{LaunchEvent, LaunchOutcome, LaunchReport};
pub use stop::{StopHandle, StopSignal};
pub use worker::{WorkerEnd, WorkerStatus};

/// Time between two looks at the workers.
const PERIOD: Duration = Duration::from_millis(10);

type Hook = Box<dyn FnMut(usize) -> Result<Rendezvous, HookError> + Send>;

/// The optional parts of a launch.
pub struct LaunchBuilder {
    config: LaunchConfig,
    output: WorkerOutput,
    stop: StopHandle,
    hook: Option<Hook>,
}

impl LaunchBuilder {
    /// Sets where the lines of the workers go. The default is the launcher's own output.
    pub fn output(self, output: WorkerOutput) -> Self {
        Self { output, ..self }
    }

    /// Sets the handle that stops the launch.
    pub fn stop(self, stop: StopHandle) -> Self {
        Self { stop, ..self }
    }

    /// Sets a function that is called before each round with the number of restarts so far.
    ///
    /// It says where the workers meet, and can host the TCP store there. Without it they meet at
    /// `master`, or at a free port of 127.0.0.1, and rank 0 hosts the store.
    pub fn before_round(
        self,
        hook: impl FnMut(usize) -> Result<Rendezvous, HookError> + Send + 'static,
    ) -> Self {
        Self { hook: Some(Box::new(hook)), ..self }
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// The config is invalid, the hook fails, or a process cannot be started. No worker is left
    /// then.
    pub fn start(self) -> Result<Launch, LaunchError> {
        self.config.validate()?;
        let mut launch = Launch {
            config: self.config,
            output: Arc::new(self.output),
            stop: self.stop,
            hook: self.hook,
            workers: Vec::new(),
            restarts: 0,
            failure: None,
            events: VecDeque::new(),
            state: State::Running,
        };
        launch.start_round()?;
        Ok(launch)
    }
}

enum State {
    Running,
    Ended(LaunchReport),
    Broken,
}

/// The running workers of this node.
///
/// When one fails, the others get SIGTERM, and SIGKILL after the grace period; dropping a launch
/// does the same. Signals go to process groups, so that descendants of workers end, too. What is left
/// of a group when its worker has ended gets SIGTERM and the grace period as well. A process
/// that starts a session of its own escapes. For a launcher that is killed by SIGKILL see
/// [`watch_parent`](crate::watch_parent).
pub struct Launch {
    config: LaunchConfig,
    output: Arc<WorkerOutput>,
    stop: StopHandle,
    hook: Option<Hook>,
    workers: Vec<Worker>,
    restarts: usize,
    failure: Option<WorkerEnd>,
    events: VecDeque<LaunchEvent>,
    state: State,
}

impl Launch {
    /// Prepares a launch.
    pub fn builder(config: LaunchConfig) -> LaunchBuilder {
        let (output, stop) = (WorkerOutput::inherit(), StopHandle::new());
        LaunchBuilder { config, output, stop, hook: None }
    }

    /// Waits for the next event; `None` after the end of all workers.
    ///
    /// # Errors
    ///
    /// A restart fails, or output cannot be written. All workers have ended then.
    pub fn next_event(&mut self) -> Result<Option<LaunchEvent>, LaunchError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.state {
                State::Running => self.poll_or_end()?,
                State::Ended(_) => return Ok(None),
                State::Broken => return Err(LaunchError::Ended),
            }
        }
    }

    /// Waits for the end of all workers. Events that were not read are dropped.
    ///
    /// # Errors
    ///
    /// As [`Launch::next_event`].
    pub fn wait(mut self) -> Result<LaunchReport, LaunchError> {
        while self.next_event()?.is_some() {}
        match &self.state {
            State::Ended(report) => Ok(report.clone()),
            _ => Err(LaunchError::Ended),
        }
    }

    fn start_round(&mut self) -> Result<(), LaunchError> {
        let rendezvous = self.rendezvous()?;
        let round = Round { rendezvous, restart_count: self.restarts };
        for local_rank in 0..self.config.processes {
            let rank = self.config.rank(local_rank);
            let command = self.config.worker(local_rank, &round);
            let worker = Worker::start(command, rank, &self.output)
                .map_err(|error| LaunchError::spawn(self.config.command.clone(), rank, error))?;
            self.workers.push(worker);
        }
        Ok(())
    }

    fn rendezvous(&mut self) -> Result<Rendezvous, LaunchError> {
        if let Some(hook) = &mut self.hook {
            return hook(self.restarts).map_err(LaunchError::Hook);
        }
        let address = match &self.config.master {
            Some(address) => address.clone(),
            None => free_address().map_err(LaunchError::Port)?,
        };
        Ok(Rendezvous { address, use_agent_store: false })
    }

    fn poll_or_end(&mut self) -> Result<(), LaunchError> {
        let polled = self.poll();
        if polled.is_err() {
            self.end_all();
        }
        polled
    }

    fn poll(&mut self) -> Result<(), LaunchError> {
        if self.workers.is_empty() {
            return self.start_round();
        }
        self.pass_stop_on();
        self.collect_ends()?;
        if let Some(error) = self.output.take_error() {
            return Err(LaunchError::Output(error));
        }
        // A kill does not wait for a terminal that takes no output.
        let kills = self.stop.kills();
        if self.workers.iter_mut().all(|worker| worker.is_drained() || kills && worker.is_gone()) {
            self.end_round();
        } else {
            thread::sleep(PERIOD);
        }
        Ok(())
    }

    fn pass_stop_on(&mut self) {
        let Some(signal) = self.stop.requested() else { return };
        for worker in &mut self.workers {
            if !worker.was_signalled() {
                worker.signal(signal.signal());
            }
            if self.stop.kills() {
                worker.kill();
            }
        }
    }

    fn collect_ends(&mut self) -> Result<(), LaunchError> {
        let mut ended = Vec::new();
        for worker in &mut self.workers {
            let rank = worker.rank();
            let end = worker.poll(self.config.grace);
            ended.extend(end.map_err(|source| LaunchError::Wait { rank, source })?);
            self.events.extend(worker.take_report().map(LaunchEvent::Ended));
        }
        ended.into_iter().for_each(|end| self.note_end(end));
        Ok(())
    }

    /// After a failure the other workers would wait for the failed one without end.
    fn note_end(&mut self, end: WorkerEnd) {
        let expected = match self.stop.requested() {
            None => end.status.is_success(),
            Some(_) => end.status.is_stop() || self.stop.kills(),
        };
        if !expected && self.failure.is_none() {
            self.failure = Some(end);
            for worker in &mut self.workers {
                worker.end_within(self.config.grace);
            }
        }
    }

    fn end_round(&mut self) {
        let workers = self.workers.drain(..).filter_map(|worker| worker.end()).collect();
        let outcome = match (self.failure.take(), self.stop.requested()) {
            (Some(_), None) if self.restarts < self.config.max_restarts => return self.restart(),
            (Some(failure), _) => LaunchOutcome::Failed(failure),
            (None, Some(signal)) => LaunchOutcome::Stopped(signal),
            (None, None) => LaunchOutcome::Finished,
        };
        let report = LaunchReport { outcome, workers, restarts: self.restarts };
        self.state = State::Ended(report);
    }

    /// Without workers the next poll starts a round, after the caller has seen the event.
    fn restart(&mut self) {
        self.restarts += 1;
        let max_restarts = self.config.max_restarts;
        self.events.push_back(LaunchEvent::Restarting { restart: self.restarts, max_restarts });
    }

    /// Ends all workers after an error of the launcher.
    fn end_all(&mut self) {
        self.state = State::Broken;
        let grace = self.config.grace;
        self.workers.iter_mut().for_each(|worker| worker.end_within(grace));
        loop {
            self.pass_stop_on();
            // The drop of a worker kills it, if its end cannot be read.
            self.workers.retain_mut(|worker| worker.poll(grace).is_ok() && !worker.is_gone());
            if self.workers.is_empty() {
                break;
            }
            thread::sleep(PERIOD);
        }
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        self.end_all();
    }
}

fn free_address() -> std::io::Result<MasterAddress> {
    let host = Ipv4Addr::LOCALHOST;
    let port = TcpListener::bind((host, 0))?.local_addr()?.port();
    Ok(MasterAddress { host: host.to_string(), port })
}
