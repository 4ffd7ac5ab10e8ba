//! The queue of jobs: bounded, with cancellation; waiting jobs with the same settings share a pass.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inkdrop_data::picture::Picture;
use serde::Serialize;
use tokio::sync::watch;

use crate::engine::{EngineError, JobImages, Request};
use crate::random::random_hex;

/// Maximum time that a pass waits for further requests to join it.
const GATHER: Duration = Duration::from_millis(100);

/// Fraction of the last pass's duration that the next one waits for further requests.
const GATHER_FRACTION: f64 = 0.06;

/// Name of a job: 32 hexadecimal digits that cannot be guessed.
pub type JobId = String;

/// Limits of a queue.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Maximum number of waiting jobs.
    pub waiting: usize,
    /// Maximum number of images per pass.
    pub pass_images: usize,
    /// Maximum number of finished jobs whose images are kept.
    pub finished: usize,
    /// Maximum memory of the frames of finished jobs in bytes; the newest job keeps its frames in any case.
    pub animation_bytes: usize,
}

/// State of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum JobStatus {
    /// Waits for its pass.
    Waiting,
    /// Its pass has taken `step` of `of` steps.
    Running {
        /// Steps done.
        step: usize,
        /// Steps of the pass.
        of: usize,
    },
    /// The images are there.
    Done {
        /// Number of images.
        images: usize,
        /// Seconds from the request to the images.
        seconds: f64,
    },
    /// There are no images.
    Failed {
        /// What is wrong, and what was expected.
        message: String,
        /// True if another request could succeed.
        invalid: bool,
    },
    /// The client cancelled it.
    Cancelled,
}

impl JobStatus {
    /// True if the status is final.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running { .. })
    }
}

/// A job: a request with its state.
struct Job {
    request: Request,
    status: watch::Sender<JobStatus>,
    since: Instant,
    cancelled: bool,
    /// True if the frames of its steps are kept, for an animation.
    animation: bool,
    frames: Arc<Vec<Picture>>,
    images: Option<Arc<JobImages>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<JobId>,
    jobs: HashMap<JobId, Job>,
    finished: VecDeque<JobId>,
    closed: bool,
    last_pass: Duration,
    /// Images of the last two passes: so many are expected again.
    last_images: [usize; 2],
}

impl State {
    /// Drops the frames of the oldest finished jobs if all of them take more bytes than this. Those of the newest stay.
    fn forget_animations(&mut self, most: usize) {
        let mut bytes: usize = 0;
        for (age, id) in self.finished.iter().rev().enumerate() {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            let own: usize = job.frames.iter().map(|frame| frame.pixels().len()).sum();
            bytes = bytes.saturating_add(own);
            if age > 0 && bytes > most {
                job.frames = Arc::default();
            }
        }
    }

    /// Images of all waiting jobs.
    fn waiting_images(&self) -> usize {
        let count = |id| self.jobs.get(id).map_or(0, |job: &Job| job.request.count);
        self.waiting.iter().map(count).sum()
    }
}

/// A queue of jobs.
pub struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    limits: QueueLimits,
}

/// The reason why a job is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many jobs wait.
    #[error("{0} requests are waiting already: try again later")]
    Full(usize),
    /// The server stops.
    #[error("the server is stopping")]
    Closed,
}

/// Jobs that share a pass.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Ids of the jobs.
    pub jobs: Vec<JobId>,
    /// Their requests.
    pub requests: Vec<Request>,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: QueueLimits) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), limits }
    }

    /// A panic while the state was locked leaves it complete: every change is one assignment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job. Returns its id and its state as it changes.
    ///
    /// - animation: keeps the frames of the steps, for an animation
    ///
    /// # Errors
    /// The queue is full or closed.
    pub fn submit(
        &self,
        request: Request,
        animation: bool,
    ) -> Result<(JobId, watch::Receiver<JobStatus>), Refusal> {
        let (sender, receiver) = watch::channel(JobStatus::Waiting);
        let job = Job {
            request,
            status: sender,
            since: Instant::now(),
            cancelled: false,
            animation,
            frames: Arc::default(),
            images: None,
        };
        let id = random_hex();
        let mut state = self.state();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.waiting.len() >= self.limits.waiting {
            return Err(Refusal::Full(state.waiting.len()));
        }
        state.waiting.push_back(id.clone());
        state.jobs.insert(id.clone(), job);
        self.arrived.notify_all();
        Ok((id, receiver))
    }

    /// Number of waiting jobs.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Cancels a job that waits or runs; returns false if there is none with this id.
    pub fn cancel(&self, id: &str) -> bool {
        let mut state = self.state();
        let Some(job) = state.jobs.get_mut(id) else { return false };
        job.cancelled = true;
        if state.waiting.iter().any(|waiting| waiting == id) {
            state.waiting.retain(|waiting| waiting != id);
            self.end(&mut state, id, JobStatus::Cancelled);
        }
        true
    }

    /// The status of a job.
    pub fn status(&self, id: &str) -> Option<JobStatus> {
        self.state().jobs.get(id).map(|job| job.status.borrow().clone())
    }

    /// The images of a finished job, and its request.
    pub fn images(&self, id: &str) -> Option<(Arc<JobImages>, Request)> {
        let state = self.state();
        let job = state.jobs.get(id)?;
        Some((job.images.clone()?, job.request.clone()))
    }

    /// The frames of a finished job; none if those of newer jobs take their memory.
    pub fn frames(&self, id: &str) -> Option<Arc<Vec<Picture>>> {
        let state = self.state();
        let job = state.jobs.get(id).filter(|job| job.images.is_some())?;
        Some(job.frames.clone())
    }

    /// Refuses further jobs, and ends those that wait.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for id in std::mem::take(&mut state.waiting) {
            let message = Refusal::Closed.to_string();
            self.end(&mut state, &id, JobStatus::Failed { message, invalid: false });
        }
        self.arrived.notify_all();
    }

    /// Cancels the jobs that run.
    pub fn cancel_all(&self) {
        self.state().jobs.values_mut().for_each(|job| job.cancelled = true);
    }

    /// Waits for the next pass: the first waiting job, and the others that can join it. `None` if the
    /// queue is closed.
    pub fn next_pass(&self) -> Option<Pass> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut state = self.gather(state);
        let pass = self.pass(&mut state);
        drop(state);
        // All waiting jobs may have been cancelled meanwhile.
        if pass.jobs.is_empty() { self.next_pass() } else { Some(pass) }
    }

    /// Waits a little for as many images as the last two passes had: their clients come back one after
    /// another. A single client does not wait.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let until = Instant::now() + state.last_pass.mul_f64(GATHER_FRACTION).min(GATHER);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let expected = state.last_images.iter().sum::<usize>().min(self.limits.pass_images);
            if left.is_zero() || state.closed || state.waiting_images() >= expected {
                return state;
            }
            let waited = self.arrived.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the next pass out of the waiting jobs.
    fn pass(&self, state: &mut State) -> Pass {
        let mut pass = Pass { jobs: Vec::new(), requests: Vec::new() };
        let mut images = 0;
        for id in std::mem::take(&mut state.waiting) {
            let Some(job) = state.jobs.get(&id) else { continue };
            let count = job.request.count;
            let joins = pass.requests.first().is_none_or(|first| job.request.joins(first));
            if joins && (images == 0 || images + count <= self.limits.pass_images) {
                images += count;
                pass.requests.push(job.request.clone());
                pass.jobs.push(id);
            } else {
                state.waiting.push_back(id);
            }
        }
        pass
    }

    /// Records a step of a job. Returns false if the job is cancelled.
    ///
    /// - frame: makes the frame of the step, for an animation
    pub fn step(
        &self,
        id: &str,
        (step, of): (usize, usize),
        frame: impl FnOnce() -> Option<Picture>,
    ) -> bool {
        let keeps = self.state().jobs.get(id).is_some_and(|job| job.animation);
        let frame = keeps.then(frame).flatten();
        let mut state = self.state();
        let Some(job) = state.jobs.get_mut(id) else { return false };
        Arc::make_mut(&mut job.frames).extend(frame);
        job.status.send_replace(JobStatus::Running { step, of });
        !job.cancelled
    }

    /// Ends a job with its images or an error.
    ///
    /// - count: called with the status before the client learns it
    pub fn finish(
        &self,
        id: &str,
        result: Result<JobImages, EngineError>,
        count: impl FnOnce(&JobStatus),
    ) {
        let mut state = self.state();
        let Some(job) = state.jobs.get_mut(id) else { return };
        let seconds = job.since.elapsed().as_secs_f64();
        let status = match result {
            _ if job.cancelled => JobStatus::Cancelled,
            Ok(result) => {
                let images = result.images.len();
                job.images = Some(Arc::new(result));
                JobStatus::Done { images, seconds }
            }
            Err(EngineError::Cancelled) => JobStatus::Cancelled,
            Err(EngineError::Invalid(message)) => JobStatus::Failed { message, invalid: true },
            Err(EngineError::Failed(message)) => JobStatus::Failed { message, invalid: false },
        };
        count(&status);
        self.end(&mut state, id, status);
    }

    /// Records the duration and the images of a pass.
    pub fn pass_took(&self, duration: Duration, images: usize) {
        let mut state = self.state();
        state.last_pass = duration;
        state.last_images = [images, state.last_images[0]];
    }

    /// Ends a job; forgets the oldest finished ones.
    fn end(&self, state: &mut State, id: &str, status: JobStatus) {
        if let Some(job) = state.jobs.get(id) {
            job.status.send_replace(status);
            state.finished.push_back(id.to_string());
        }
        while state.finished.len() > self.limits.finished {
            if let Some(oldest) = state.finished.pop_front() {
                state.jobs.remove(&oldest);
            }
        }
        state.forget_animations(self.limits.animation_bytes);
    }
}
