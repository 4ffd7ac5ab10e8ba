//! Writes a Chrome trace of data-parallel training: backward passes, the all-reduces of their buckets, and
//! updates of the weights.
//!
//! `cargo run --release --example trace_all_reduce -- trace.json`, then open the file in Perfetto or at
//! chrome://tracing. Two processes train a small DDPM on random images.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use inkdrop::Images;
use inkdrop::dist::{DistributedDataParallel, Launch, LaunchConfig, TimeLimits, WorkerEnv, World};
use inkdrop::nn::SumOverProcesses;
use inkdrop::process::{Process, ProcessConfig};
use inkdrop::torch::DefaultGenerator;
use inkdrop::torch::tch::{Device, Kind, Tensor};
use inkdrop::train::{AllReduce, DataParallel, ProcessesError, TrainConfig, Trainer};
use inkdrop::unet::{DdpmConfig, ModelConfig};
use ndarray::Array4;
use serde_json::{Value, json};

const STEPS: usize = 4;

/// A span of the trace.
struct Span {
    name: String,
    row: &'static str,
    from: Instant,
    to: Instant,
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// Passes everything on, and notes when.
struct Traced {
    inner: DistributedDataParallel,
    spans: Spans,
    backward: RefCell<Option<Instant>>,
    update: RefCell<Option<Instant>>,
}

impl Traced {
    fn add(&self, name: impl Into<String>, row: &'static str, from: Instant, to: Instant) {
        if let Ok(mut spans) = self.spans.lock() {
            spans.push(Span { name: name.into(), row, from, to });
        }
    }
}

impl DataParallel for Traced {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn world_size(&self) -> usize {
        self.inner.world_size()
    }

    fn register(&mut self, trained: &[&Tensor]) -> Result<(), ProcessesError> {
        self.inner.register(trained)
    }

    fn batch_statistics(&self) -> Result<Option<Box<dyn SumOverProcesses>>, ProcessesError> {
        self.inner.batch_statistics()
    }

    fn prepare_for_backward(&self) -> Result<(), ProcessesError> {
        *self.backward.borrow_mut() = Some(Instant::now());
        self.inner.prepare_for_backward()
    }

    /// After the backward pass the losses are summed, then the weights are updated until the processes
    /// meet for the next batch.
    fn all_reduce(&self, tensor: &mut Tensor) -> Result<(), ProcessesError> {
        let from = Instant::now();
        if let Some(update) = self.update.take() {
            self.add("update", "step", update, from);
        }
        self.inner.all_reduce(tensor)?;
        if self.backward.take().is_some() {
            *self.update.borrow_mut() = Some(Instant::now());
        }
        Ok(())
    }

    fn broadcast(&self, tensors: &[&Tensor], root: usize) -> Result<(), ProcessesError> {
        self.inner.broadcast(tensors, root)
    }

    fn take_all_reduces(&self) -> Result<Vec<AllReduce>, ProcessesError> {
        let all = self.inner.take_all_reduces()?;
        if let Some(from) = *self.backward.borrow() {
            self.add("backward", "step", from, Instant::now());
            for (number, one) in all.iter().enumerate() {
                let name = format!("all-reduce {number}: {} kB", one.bytes / 1000);
                self.add(name, "all-reduce", one.start, one.end);
            }
        }
        Ok(all)
    }
}

/// A DDPM with half the channels of the published one.
fn model() -> ModelConfig {
    ModelConfig::Ddpm(DdpmConfig { features: 64, ..DdpmConfig::cifar10() })
}

fn train(worker: WorkerEnv, path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let world = World::join(worker, TimeLimits::default())?;
    let (rank, spans) = (world.rank(), Spans::default());
    let inner = DistributedDataParallel::new(world);
    let (backward, update) = (RefCell::new(None), RefCell::new(None));
    let traced = Traced { inner, spans: spans.clone(), backward, update };
    let (network, ema) = {
        let _generator = DefaultGenerator::seeded(0);
        (model().build(Kind::Float, Device::Cpu)?, model().build(Kind::Float, Device::Cpu)?)
    };
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
    let pixel = |(n, y, x, c): (usize, usize, usize, usize)| ((n * 7 + y * x + 31 * c) % 256) as u8;
    let images = Images::new(Array4::from_shape_fn((8, 32, 32, 3), pixel))?;
    let config = TrainConfig { steps: STEPS, batch: 4, ..TrainConfig::default() };
    let builder = Trainer::builder(network, ema, process, images);
    let mut trainer = builder.data_parallel(Box::new(traced)).build(config)?;
    trainer.run(None, &mut inkdrop::train::NoCallback)?;
    if rank == 0 {
        let spans = spans.lock().map_err(|_| "a thread panicked")?;
        fs::write(path, trace(&spans, started).to_string())?;
        println!("{path} has {} spans", spans.len());
    }
    Ok(())
}

/// Complete events ("X") with microseconds.
fn trace(spans: &[Span], started: Instant) -> Value {
    let events = spans.iter().map(|span| {
        json!({
            "name": span.name,
            "ph": "X",
            "pid": 0,
            "tid": span.row,
            "ts": span.from.saturating_duration_since(started).as_micros() as u64,
            "dur": span.to.saturating_duration_since(span.from).as_micros() as u64,
        })
    });
    json!({ "traceEvents": events.collect::<Vec<_>>() })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = env::args().nth(1).unwrap_or_else(|| "trace.json".to_string());
    if let Some(worker) = WorkerEnv::from_env()? {
        return train(worker, &path);
    }
    let config =
        LaunchConfig { args: vec![path.into()], ..LaunchConfig::new(env::current_exe()?, 2) };
    let report = Launch::builder(config).start()?.wait()?;
    inkdrop::torch::exit_process(report.exit_code().try_into().unwrap_or(1))
}
