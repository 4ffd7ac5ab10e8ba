//! Two processes train a network of the test's own; each is this test binary with an environment.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use inkdrop::Images;
use inkdrop::dist::{DistributedDataParallel, TimeLimits, WorkerEnv, World};
use inkdrop::nn::{FnNetwork, Linear, Params, TrainableNetwork};
use inkdrop::process::{Process, ProcessConfig};
use inkdrop::torch::tch::{Device, Kind, Tensor};
use inkdrop::train::{Precision, TrainConfig, Trainer};
use ndarray::Array4;
use serde_json::{Value, json};

/// Names the folder of the results.
const RESULTS: &str = "INKDROP_TEST_RESULTS";

/// A linear layer. In its second pass in process 1 the output is the same, and the gradient infinite.
fn network(rank: usize) -> Box<dyn TrainableNetwork> {
    let mut params = Params::new(Kind::Float, Device::Cpu);
    let layer = Linear::new(&mut params.root().sub("layer"), 16, 16).unwrap();
    let passes = Arc::new(AtomicUsize::new(0));
    let network = FnNetwork::new(move |x: &Tensor, _: &Tensor, _| {
        let y = layer.forward(&x.flatten(1, -1))?.view_as(x);
        let overflows = rank == 1 && passes.fetch_add(1, Ordering::Relaxed) == 1;
        if !overflows {
            return Ok(y);
        }
        let large = &y * 1e37;
        Ok(y + (&large - large.detach()))
    });
    Box::new(network.trainable(params))
}

/// Runs in the processes that the other test starts.
#[test]
fn worker_of_the_loss_scale_test() {
    let Some(folder) = std::env::var_os(RESULTS).map(PathBuf::from) else { return };
    let world = World::join(WorkerEnv::from_env().unwrap().unwrap(), TimeLimits::default());
    let world = world.unwrap();
    let rank = world.rank();
    let images = Images::new(Array4::from_shape_fn((8, 4, 4, 1), |(n, y, x, _)| {
        ((n * 37 + y * 11 + x * 5) % 256) as u8
    }));
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap();
    let precision = Precision::F16;
    let config =
        TrainConfig { steps: 3, batch: 4, log_every: 1, precision, ..TrainConfig::default() };
    let builder = Trainer::builder(network(rank), network(rank), process, images.unwrap());
    let data_parallel = Box::new(DistributedDataParallel::new(world));
    let mut trainer = builder.data_parallel(data_parallel).build(config).unwrap();
    let mut run = trainer.start_run(None).unwrap();
    let mut steps = Vec::new();
    while let Some(step) = run.next_step().unwrap() {
        let weights = run.trainer().weights();
        let sum = |weight: &Tensor| weight.to_kind(Kind::Double).abs().sum(Kind::Double);
        let sums = weights.iter().map(|(_, weight)| sum(weight).double_value(&[]));
        let scale = step.log_line.unwrap().loss_scale.unwrap();
        steps.push(json!([scale, sums.sum::<f64>()]));
    }
    fs::write(folder.join(rank.to_string()), Value::from(steps).to_string()).unwrap();
}

fn start(rank: usize, port: u16, folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::worker_of_the_loss_scale_test"]).env(RESULTS, folder);
    command.env("RANK", rank.to_string()).env("WORLD_SIZE", "2").env("MASTER_ADDR", "127.0.0.1");
    command.env("MASTER_PORT", port.to_string()).env("OMP_NUM_THREADS", "1");
    command.stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap()
}

/// The gradients of process 0 are finite: it learns of the overflow by the average.
#[test]
fn an_overflow_in_one_process_makes_all_skip_the_step_and_lower_the_loss_scale() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let workers = [0, 1].map(|rank| start(rank, port, folder.path()));
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let read = |rank: &str| fs::read_to_string(folder.path().join(rank)).unwrap();
    assert_eq!(read("0"), read("1"), "both take the same decision");
    let steps: Vec<[f64; 2]> = serde_json::from_str(&read("0")).unwrap();
    let [[scale1, first], [scale2, second], [scale3, third]] = steps[..] else { panic!("3 steps") };
    assert_eq!(scale2, scale1 - 1.0);
    assert!(scale3 >= scale2, "{steps:?}");
    assert_eq!(first, second, "the step is skipped");
    assert_ne!(second, third);
}
