//! Worker threads that prefetch batches.
//!
//! Batches are split into pieces, which any thread may read; a batch is joined in the order of its
//! pieces. A jump to another step starts a new generation, and drops the jobs and results of
//! older ones.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::MOST_WORKERS;
use super::reader::{Read, Reader};
use crate::DataError;
use crate::loader::BatchSampler;

/// Prefetch: number of batches read ahead.
const AHEAD: usize = 3;

/// Largest number of images in a piece.
const PIECE: usize = 16;

#[derive(Debug)]
struct Job {
    generation: u64,
    step: usize,
    piece: usize,
    epoch: usize,
    items: Vec<usize>,
}

#[derive(Debug)]
struct Done {
    generation: u64,
    step: usize,
    piece: usize,
    read: Result<Read, DataError>,
}

/// A batch that is being read.
#[derive(Debug)]
struct Planned {
    step: usize,
    pieces: Vec<Option<Result<Read, DataError>>>,
}

/// Worker threads and their results.
#[derive(Debug)]
pub(super) struct WorkerPool {
    /// `None` when the pool shuts down.
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    generation: Arc<AtomicU64>,
    /// Consecutive steps, the next one first.
    planned: VecDeque<Planned>,
}

impl WorkerPool {
    /// Starts threads, at least one.
    pub(super) fn new(workers: usize, reader: &Arc<Reader>) -> Result<Self, DataError> {
        if workers > MOST_WORKERS {
            let problem = format!("expected at most {MOST_WORKERS}");
            return Err(DataError::Workers { wanted: workers, problem });
        }
        let (jobs, taken) = channel();
        let (finished, done) = channel();
        let (taken, generation) = (Arc::new(Mutex::new(taken)), Arc::new(AtomicU64::new(0)));
        let mut pool = Self {
            jobs: Some(jobs),
            done,
            threads: Vec::new(),
            generation: Arc::clone(&generation),
            planned: VecDeque::new(),
        };
        for number in 0..workers {
            let worker = Worker {
                jobs: Arc::clone(&taken),
                done: finished.clone(),
                generation: Arc::clone(&generation),
                reader: Arc::clone(reader),
            };
            let thread = Builder::new().name(format!("loader-{number}"));
            let thread = thread.spawn(move || worker.work()).map_err(|error| {
                DataError::Workers { wanted: workers, problem: error.to_string() }
            })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// The images of a step; the threads prefetch the steps after it.
    pub(super) fn read(&mut self, step: usize, batches: &BatchSampler) -> Result<Read, DataError> {
        if self.planned.front().is_none_or(|planned| planned.step != step) {
            self.planned.clear();
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        let next = self.planned.back().map_or(step, |planned| planned.step.saturating_add(1));
        for step in next..=step.saturating_add(AHEAD) {
            self.plan(step, batches);
        }
        while self.planned.front().is_some_and(|front| front.pieces.iter().any(Option::is_none)) {
            self.receive()?;
        }
        let pieces = self.planned.pop_front().into_iter().flat_map(|front| front.pieces).flatten();
        pieces.collect::<Result<Vec<Read>, DataError>>().map(Read::joined)
    }

    fn plan(&mut self, step: usize, batches: &BatchSampler) {
        let items = batches.indices(step);
        let (epoch, _) = batches.epoch_and_position(step);
        let length = items.len().div_ceil(2 * self.threads.len()).clamp(1, PIECE);
        let mut pieces = Vec::new();
        for (piece, items) in items.chunks(length).enumerate() {
            let generation = self.generation.load(Ordering::Relaxed);
            let job = Job { generation, step, piece, epoch, items: items.to_vec() };
            pieces.push(None);
            if let Some(jobs) = &self.jobs {
                // If all threads have ended, `receive` returns the error.
                let _ = jobs.send(job);
            }
        }
        self.planned.push_back(Planned { step, pieces });
    }

    /// Waits for a piece, and stores it in its batch.
    fn receive(&mut self) -> Result<(), DataError> {
        let done = self.done.recv().map_err(|_| DataError::Workers {
            wanted: self.threads.len(),
            problem: "all have ended before their work was done".to_owned(),
        })?;
        if done.generation == self.generation.load(Ordering::Relaxed) {
            let mut planned = self.planned.iter_mut().filter(|planned| planned.step == done.step);
            if let Some(place) = planned.next().and_then(|p| p.pieces.get_mut(done.piece)) {
                *place = Some(done.read);
            }
        }
        Ok(())
    }
}

impl Drop for WorkerPool {
    /// Waits until each thread has finished the piece that it reads.
    fn drop(&mut self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // The result of a panic is of no use here.
            let _ = thread.join();
        }
    }
}

/// One worker thread.
struct Worker {
    jobs: Arc<Mutex<Receiver<Job>>>,
    done: Sender<Done>,
    generation: Arc<AtomicU64>,
    reader: Arc<Reader>,
}

impl Worker {
    fn work(self) {
        while let Some(Job { generation, step, piece, epoch, items }) = self.next() {
            if generation == self.generation.load(Ordering::Relaxed) {
                let read = self.reader.read(epoch, &items);
                if self.done.send(Done { generation, step, piece, read }).is_err() {
                    return;
                }
            }
        }
    }

    /// The next job; `None` when the pool shuts down.
    fn next(&self) -> Option<Job> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.recv().ok()
    }
}
