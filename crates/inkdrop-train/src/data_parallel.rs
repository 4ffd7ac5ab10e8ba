//! Data-parallel training: the processes that train one network together, as the trainer sees them.

use std::time::Instant;

use inkdrop_nn::SumOverProcesses;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

use crate::TrainError;

/// An error of the processes of a run, such as the end of one of them.
pub type ProcessesError = Box<dyn std::error::Error + Send + Sync>;

/// An all-reduce of gradients, as the host saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllReduce {
    /// When it was started.
    pub start: Instant,
    /// When it ended; on a GPU, when it was queued.
    pub end: Instant,
    /// Size of the gradients.
    pub bytes: u64,
}

/// Data parallelism: each process computes the gradients of its share of every batch, and all take the
/// same optimizer step with their average (Li et al. 2020).
///
/// `inkdrop-dist` implements it with libtorch's process groups. All processes call the same methods in
/// the same order; each waits for the others.
pub trait DataParallel: Send {
    /// Number of this process, 0 to `world_size` − 1. Process 0 writes all files.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn world_size(&self) -> usize;

    /// Registers the trained tensors, once, before the first step.
    ///
    /// # Errors
    /// Another process has other tensors, or ended.
    fn register(&mut self, trained: &[&Tensor]) -> Result<(), ProcessesError>;

    /// Sums for synchronised batch normalisation; `None` if each process has statistics of its own.
    ///
    /// # Errors
    /// libtorch failed.
    fn batch_statistics(&self) -> Result<Option<Box<dyn SumOverProcesses>>, ProcessesError> {
        Ok(None)
    }

    /// Makes the next backward pass average the gradients of the trained tensors over all processes.
    /// Without this call, a backward pass adds to this process's gradients alone.
    ///
    /// # Errors
    /// A process ended.
    fn prepare_for_backward(&self) -> Result<(), ProcessesError>;

    /// Sums a tensor over all processes, in place; each gets the same bits.
    ///
    /// # Errors
    /// A process ended.
    fn all_reduce(&self, tensor: &mut Tensor) -> Result<(), ProcessesError>;

    /// Copies the values of one process into the tensors of all others.
    ///
    /// - root: number of that process
    ///
    /// # Errors
    /// A process ended.
    fn broadcast(&self, tensors: &[&Tensor], root: usize) -> Result<(), ProcessesError>;

    /// The all-reduces since the last call, in the order of their starts, for the log; empty if they are
    /// not measured.
    ///
    /// # Errors
    /// libtorch failed.
    fn take_all_reduces(&self) -> Result<Vec<AllReduce>, ProcessesError> {
        Ok(Vec::new())
    }

    /// Improves an error of libtorch from a pass in which gradients are averaged: names the process
    /// that ended.
    fn explain(&self, error: TrainError) -> TrainError {
        error
    }
}

/// The processes of a run; `None` for one process alone, where each method does nothing.
pub(crate) struct Processes(Option<Box<dyn DataParallel>>);

impl Processes {
    pub(crate) fn new(all: Option<Box<dyn DataParallel>>) -> Self {
        Self(all)
    }

    pub(crate) fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |all| all.rank())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |all| all.world_size())
    }

    /// True in the process that writes files.
    pub(crate) fn is_main(&self) -> bool {
        self.rank() == 0
    }

    pub(crate) fn register(&mut self, trained: &[&Tensor]) -> Result<(), TrainError> {
        match &mut self.0 {
            Some(all) => all.register(trained).map_err(TrainError::Processes),
            None => Ok(()),
        }
    }

    pub(crate) fn batch_statistics(&self) -> Result<Option<Box<dyn SumOverProcesses>>, TrainError> {
        match &self.0 {
            Some(all) => all.batch_statistics().map_err(TrainError::Processes),
            None => Ok(None),
        }
    }

    /// A backward pass.
    ///
    /// - average: true to average the gradients over all processes
    pub(crate) fn backward(&self, loss: &Tensor, average: bool) -> Result<(), TrainError> {
        let Some(all) = &self.0 else { return Ok(loss.f_backward()?) };
        if average {
            all.take_all_reduces().map_err(TrainError::Processes)?; // measured from here on
            all.prepare_for_backward().map_err(TrainError::Processes)?;
        }
        loss.f_backward().map_err(|error| all.explain(error.into()))
    }

    /// The all-reduces of the last averaged backward pass; empty for one process alone.
    pub(crate) fn take_all_reduces(&self) -> Result<Vec<AllReduce>, TrainError> {
        match &self.0 {
            Some(all) => all.take_all_reduces().map_err(TrainError::Processes),
            None => Ok(Vec::new()),
        }
    }

    /// The sum of a tensor over all processes.
    pub(crate) fn sum(&self, mut tensor: Tensor) -> Result<Tensor, TrainError> {
        if let Some(all) = &self.0 {
            all.all_reduce(&mut tensor).map_err(TrainError::Processes)?;
        }
        Ok(tensor)
    }

    /// Replaces tensors in f32 by their means over all processes, in one operation.
    pub(crate) fn average(&self, tensors: &[&Tensor]) -> Result<(), TrainError> {
        if self.0.is_none() || tensors.is_empty() {
            return Ok(());
        }
        let _guard = no_grad_guard();
        let flat = tensors.iter().map(|tensor| tensor.f_reshape([-1]));
        let flat = Tensor::f_cat(&flat.collect::<Result<Vec<_>, _>>()?, 0)?;
        let mean = self.sum(flat)?.f_div_scalar(self.count() as f64)?;
        let lengths: Vec<i64> = tensors.iter().map(|tensor| tensor.numel() as i64).collect();
        for (tensor, mean) in tensors.iter().zip(mean.f_split_with_sizes(&lengths, 0)?) {
            tensor.shallow_clone().f_copy_(&mean.f_view_as(tensor)?)?;
        }
        Ok(())
    }

    pub(crate) fn broadcast(&self, tensors: &[&Tensor]) -> Result<(), TrainError> {
        self.broadcast_from(tensors, 0)
    }

    /// Copies the values of process `root` into the tensors of all others.
    pub(crate) fn broadcast_from(
        &self,
        tensors: &[&Tensor],
        root: usize,
    ) -> Result<(), TrainError> {
        match &self.0 {
            Some(all) => all.broadcast(tensors, root).map_err(TrainError::Processes),
            None => Ok(()),
        }
    }

    /// True if the flag is true in any process.
    pub(crate) fn any(&self, flag: bool) -> Result<bool, TrainError> {
        if self.0.is_none() {
            return Ok(flag);
        }
        let count = self.sum(Tensor::f_from_slice(&[f64::from(u8::from(flag))])?)?;
        Ok(count.f_double_value(&[])? > 0.0)
    }

    /// Process 0's text.
    pub(crate) fn broadcast_text(&self, text: &str) -> Result<String, TrainError> {
        if self.0.is_none() {
            return Ok(text.to_string());
        }
        let length = Tensor::f_from_slice(&[text.len() as i64])?;
        self.broadcast(&[&length])?;
        let length = length.f_int64_value(&[0])?;
        let bytes = match self.is_main() {
            true => Tensor::f_from_slice(text.as_bytes())?,
            false => Tensor::f_zeros([length], (Kind::Uint8, Device::Cpu))?,
        };
        self.broadcast(&[&bytes])?;
        Ok(String::from_utf8_lossy(&Vec::<u8>::try_from(&bytes)?).into_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// Process 0 of two, whose sums over both are its own values times a factor.
    pub(crate) struct Two(pub f64);

    /// The other process has values 10 times as large.
    const TWO: Two = Two(11.0);

    impl DataParallel for Two {
        fn rank(&self) -> usize {
            0
        }

        fn world_size(&self) -> usize {
            2
        }

        fn register(&mut self, _: &[&Tensor]) -> Result<(), ProcessesError> {
            Ok(())
        }

        fn prepare_for_backward(&self) -> Result<(), ProcessesError> {
            Ok(())
        }

        fn all_reduce(&self, tensor: &mut Tensor) -> Result<(), ProcessesError> {
            let _ = tensor.f_mul_scalar_(self.0)?;
            Ok(())
        }

        fn broadcast(&self, _: &[&Tensor], _: usize) -> Result<(), ProcessesError> {
            Ok(())
        }
    }

    #[test]
    fn averages_are_means_over_processes_in_every_shape() {
        let [flat, square] =
            [Tensor::from_slice(&[2f32, 4.0]), Tensor::from_slice(&[6f32; 4]).view([2, 2])];
        Processes::new(Some(Box::new(TWO))).average(&[&flat, &square]).unwrap();
        assert_eq!(Vec::<f32>::try_from(&flat).unwrap(), [11.0, 22.0]);
        assert_eq!(Vec::<f32>::try_from(square.view([-1])).unwrap(), [33.0; 4]);
        Processes::new(None).average(&[&flat]).unwrap();
        assert_eq!(Vec::<f32>::try_from(&flat).unwrap(), [11.0, 22.0]);
    }

    #[test]
    fn a_flag_of_any_process_counts() {
        for (processes, flag) in
            [(Some(Box::new(TWO) as Box<dyn DataParallel>), true), (None, true)]
        {
            let processes = Processes::new(processes);
            assert!(processes.any(flag).unwrap());
            assert!(!processes.any(false).unwrap());
        }
    }
}
