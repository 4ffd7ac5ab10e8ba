//! What needs a GPU says so in words where there is none, and works where there is one.
#![allow(missing_docs, clippy::unwrap_used)]

use inkdrop_torch::tch::{self, Cuda, Device, Kind, Tensor};
use inkdrop_torch::{
    CudaGraph, DefaultGenerator, DeviceChoice, checkpoint, cuda_graphs, draw_dropout_key, dropout,
    gpu_memory, grad_enabled, reset_peak, to_device_async, torch_config,
};

#[test]
fn graphs_are_there_or_there_is_a_reason() {
    match cuda_graphs() {
        Ok(()) => assert!(Cuda::is_available()),
        Err(reason) => assert!(reason.len() > 10 && !reason.contains('\n'), "{reason}"),
    }
}

#[test]
fn a_graph_without_a_gpu_is_an_error_and_runs_nothing() {
    if cuda_graphs().is_ok() {
        return;
    }
    let mut runs = 0;
    let count = || {
        runs += 1;
        Ok(())
    };
    let reason = CudaGraph::capture(Device::Cuda(0), count).unwrap_err().to_string();
    assert_eq!(reason, cuda_graphs().unwrap_err());
    assert_eq!(runs, 0);
}

#[test]
fn memory_is_asked_of_gpus_only() {
    for error in [gpu_memory(Device::Cpu).unwrap_err(), reset_peak(Device::Cpu).unwrap_err()] {
        assert!(error.to_string().contains("expected a GPU"), "{error}");
    }
    if DeviceChoice::Cuda(0).resolve().is_err() {
        assert!(gpu_memory(Device::Cuda(0)).is_err());
    }
}

#[test]
fn libtorch_says_its_release() {
    assert!(torch_config().unwrap().contains("TORCH_VERSION=2.11.0"));
}

#[test]
fn the_guard_turns_gradients_off_and_on_again() {
    assert!(grad_enabled());
    {
        let _guard = tch::no_grad_guard();
        assert!(!grad_enabled());
    }
    assert!(grad_enabled());
}

/// On a GPU: new values in the inputs, the recorded sum in the output.
#[test]
fn a_replay_sees_what_the_inputs_hold_then() {
    let Ok(device @ Device::Cuda(_)) = DeviceChoice::Auto.resolve() else { return };
    let _guard = tch::no_grad_guard();
    let mut x = Tensor::zeros([4], (Kind::Float, device));
    let mut out = Tensor::zeros([4], (Kind::Float, device));
    let graph = CudaGraph::capture(device, || {
        out = x.f_mul_scalar(2.0)?.f_add_scalar(1.0)?;
        Ok(())
    });
    let graph = graph.unwrap();
    for value in [3.0, 5.0] {
        x.copy_(&Tensor::full([4], value, (Kind::Float, device)));
        graph.replay().unwrap();
        assert_eq!(Vec::<f64>::try_from(&out).unwrap(), [2.0 * value + 1.0; 4]);
    }
}

/// The source is overwritten as soon as the copy is enqueued.
#[test]
fn a_copy_keeps_the_values_of_its_moment() {
    let device = DeviceChoice::Auto.resolve().unwrap();
    let mut copies = Vec::new();
    for value in 0..50 {
        let mut source = Tensor::full([1 << 16], value, (Kind::Float, Device::Cpu));
        copies.push(to_device_async(&source, device).unwrap().shallow_clone());
        if device.is_cuda() {
            let _ = source.fill_(-1.0);
        }
    }
    for (value, copy) in copies.iter().enumerate() {
        assert_eq!(copy.device(), device);
        assert_eq!(f64::try_from(copy.mean(Kind::Double)).unwrap(), value as f64);
    }
}

/// The backward pass of a GPU runs in a thread of libtorch's, which must not wait for the generator of this one.
#[test]
fn a_checkpointed_block_draws_again_while_the_step_holds_the_generator() {
    let device = DeviceChoice::Auto.resolve().unwrap();
    let _generator = DefaultGenerator::seeded(4);
    let x = Tensor::ones([1000], (Kind::Float, device)).set_requires_grad(true);
    let y =
        checkpoint(&[&x], &[], true, |inputs, _| dropout(&inputs[0], 0.5, draw_dropout_key()?, 0));
    let y = y.unwrap();
    y.sum(Kind::Float).backward();
    assert_eq!(x.grad(), y.detach());
}
