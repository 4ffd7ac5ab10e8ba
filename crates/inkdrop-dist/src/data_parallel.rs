//! Distributed data-parallel training with libtorch's reducer of gradients (Li et al. 2020).

use std::sync::{Mutex, PoisonError};

use inkdrop_nn::SumOverProcesses;
use inkdrop_torch::TorchError;
use inkdrop_torch::distributed::{GradientReducer, ProcessGroup};
use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_train::{AllReduce, DataParallel, ProcessesError, TrainError};

use crate::{FailureReport, World};

/// Largest size of a bucket of gradients, and of the first bucket: those of PyTorch's
/// DistributedDataParallel.
const BUCKET_BYTES: [i64; 2] = [25 << 20, 1 << 20];

/// Data-parallel training: averages gradients over the processes of a [`World`] while the backward
/// pass runs, for [`TrainerBuilder::data_parallel`](inkdrop_train::TrainerBuilder::data_parallel).
#[derive(Debug)]
pub struct DistributedDataParallel {
    // Before the world, whose group it uses.
    reducer: Option<GradientReducer>,
    world: World,
}

impl DistributedDataParallel {
    /// Data-parallel training by all processes of the world.
    pub fn new(world: World) -> Self {
        Self { reducer: None, world }
    }

    fn explained(&self, result: inkdrop_torch::Result<()>) -> Result<(), ProcessesError> {
        result.map_err(|error| self.world.explain(error).into())
    }
}

impl DataParallel for DistributedDataParallel {
    fn rank(&self) -> usize {
        self.world.rank()
    }

    fn world_size(&self) -> usize {
        self.world.world_size()
    }

    fn register(&mut self, trained: &[&Tensor]) -> Result<(), ProcessesError> {
        let device = trained.first().map_or(Device::Cpu, |tensor| tensor.device());
        self.world.use_device(device)?;
        let reducer = GradientReducer::new(self.world.group(), trained, BUCKET_BYTES);
        self.reducer = Some(reducer.map_err(|error| self.world.explain(error))?);
        Ok(())
    }

    fn batch_statistics(&self) -> Result<Option<Box<dyn SumOverProcesses>>, ProcessesError> {
        let group = self.world.group().share()?;
        let failures = self.world.failure_report();
        Ok(Some(Box::new(SumByGroup { group: Mutex::new(group), failures })))
    }

    fn prepare_for_backward(&self) -> Result<(), ProcessesError> {
        match &self.reducer {
            Some(reducer) => self.explained(reducer.prepare_for_backward()),
            None => Err("the trained tensors are not registered".into()),
        }
    }

    fn all_reduce(&self, tensor: &mut Tensor) -> Result<(), ProcessesError> {
        self.explained(self.world.group().all_reduce(tensor))
    }

    fn broadcast(&self, tensors: &[&Tensor], root: usize) -> Result<(), ProcessesError> {
        self.explained(self.world.group().broadcast(tensors, root))
    }

    fn take_all_reduces(&self) -> Result<Vec<AllReduce>, ProcessesError> {
        let all = self.world.group().take_all_reduces()?.into_iter();
        Ok(all.map(|one| AllReduce { start: one.start, end: one.end, bytes: one.bytes }).collect())
    }

    fn explain(&self, error: TrainError) -> TrainError {
        match error {
            TrainError::Torch(error) => TrainError::Processes(self.world.explain(error).into()),
            other => other,
        }
    }
}

/// Sums of batch normalisations; the mutex lets layers of any thread share the group.
struct SumByGroup {
    group: Mutex<ProcessGroup>,
    failures: FailureReport,
}

impl SumOverProcesses for SumByGroup {
    fn sum(&self, x: &Tensor) -> inkdrop_torch::Result<Tensor> {
        let group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = group.sum(x);
        sum.map_err(|error| TorchError::message(self.failures.explain(error).to_string()))
    }
}
