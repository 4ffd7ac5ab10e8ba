//! Gradient checkpointing gives what an ordinary run gives, and keeps errors in hand.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};
use inkdrop_torch::{DefaultGenerator, Pass, Result, TorchError, checkpoint, draw_dropout_key};

/// The tests share libtorch's generator.
static ALONE: Mutex<()> = Mutex::new(());

fn randn(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true)
}

fn block(x: &Tensor, w: &Tensor, dropout: f64) -> Result<Tensor> {
    Ok(x.f_matmul(w)?.f_gelu("none")?.f_dropout(dropout, true)?)
}

/// Loss and gradients of three blocks in a row.
fn run(checkpointed: bool, dropout: f64) -> Vec<Tensor> {
    manual_seed(3);
    let x = randn(&[16, 32]);
    let weights: Vec<Tensor> = (0..3).map(|_| randn(&[32, 32])).collect();
    let mut h = x.shallow_clone();
    for w in &weights {
        h = if checkpointed {
            let own = w.shallow_clone();
            checkpoint(&[&h], &[w], true, move |inputs, _| block(&inputs[0], &own, dropout))
                .unwrap()
        } else {
            block(&h, w, dropout).unwrap()
        };
    }
    let loss = h.square().sum(Kind::Float);
    loss.backward();
    let after = Tensor::randn([4], (Kind::Float, Device::Cpu)); // where the generator stands
    let mut all = vec![loss.detach(), x.grad(), after];
    all.extend(weights.iter().map(Tensor::grad));
    all
}

#[test]
fn gradients_are_bit_equal_with_dropout_on() {
    let _alone = ALONE.lock();
    for dropout in [0.0, 0.5] {
        assert_eq!(run(true, dropout), run(false, dropout), "dropout {dropout}");
    }
}

/// On a GPU the backward pass runs in a thread of libtorch's, while the thread of the step holds the generator.
#[test]
fn a_backward_pass_in_another_thread_draws_with_the_generator_of_the_step() {
    let _generator = DefaultGenerator::seeded(3);
    let x = Tensor::ones([4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let y = checkpoint(&[&x], &[], true, |inputs, _| {
        Ok(inputs[0].f_mul_scalar((draw_dropout_key()? % 1000) as f64)?)
    });
    let (y, (done, ended)) = (y.unwrap(), channel());
    let sum = y.sum(Kind::Float);
    std::thread::spawn(move || {
        sum.backward();
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("it does not wait for the generator");
    assert_eq!(x.grad(), y.detach(), "the second run repeats the draw");
    assert!(y.abs().min().double_value(&[]) > 0.0);
}

#[test]
fn the_block_runs_twice_and_is_dropped_with_the_graph() {
    let _alone = ALONE.lock();
    let passes = Arc::new(AtomicUsize::new(0));
    let (seen, x) = (passes.clone(), randn(&[4]));
    let y = checkpoint(&[&x], &[], false, move |inputs, pass| {
        seen.fetch_add(if pass == Pass::First { 1 } else { 10 }, Ordering::SeqCst);
        Ok(inputs[0].f_square()?)
    })
    .unwrap();
    assert_eq!(passes.load(Ordering::SeqCst), 1);
    y.sum(Kind::Float).backward();
    assert_eq!(passes.load(Ordering::SeqCst), 11);
    assert_eq!(x.grad(), x.detach() * 2.0);
    drop(y);
    assert_eq!(Arc::strong_count(&passes), 1, "the closure outlives the graph");
}

#[test]
fn inputs_without_gradient_stay_without() {
    let _alone = ALONE.lock();
    let (x, w) = (randn(&[2, 3]).detach(), randn(&[3, 3]));
    let own = w.shallow_clone();
    let y = checkpoint(&[&x], &[&w], false, move |inputs, _| block(&inputs[0], &own, 0.0)).unwrap();
    y.sum(Kind::Float).backward();
    assert!(w.grad().defined() && !x.grad().defined());
}

#[test]
fn a_result_that_depends_on_nothing_trained_has_no_gradients() {
    let _alone = ALONE.lock();
    let (x, w) = (randn(&[2, 3]), randn(&[2, 3]));
    let y =
        checkpoint(&[&x], &[], false, |inputs, _| Ok(inputs[0].f_detach()?.f_square()?)).unwrap();
    (y * &w).sum(Kind::Float).f_backward().unwrap();
    assert!(w.grad().defined() && !x.grad().defined());
}

#[test]
fn gradients_of_gradients_are_refused_and_not_lost() {
    let _alone = ALONE.lock();
    let x = randn(&[4]);
    let y = checkpoint(&[&x], &[], false, |inputs, _| Ok(inputs[0].f_square()?)).unwrap();
    let sum = y.sum(Kind::Float);
    let error = Tensor::f_run_backward(&[&sum], &[&x], true, true).unwrap_err().to_string();
    assert!(error.contains("gradients of gradients"), "{error}");
    let grads = Tensor::f_run_backward(&[&sum], &[&x], true, false).unwrap();
    assert_eq!(grads[0], x.detach() * 2.0);
}

#[test]
fn errors_and_panics_become_errors_in_either_pass() {
    let _alone = ALONE.lock();
    let x = randn(&[2, 3]);
    let refuse = |_: &[Tensor], _| {
        Err(Tensor::f_zeros([-1], (Kind::Float, Device::Cpu)).unwrap_err().into())
    };
    let refused: TorchError = checkpoint(&[&x], &[], false, refuse).unwrap_err();
    assert!(refused.to_string().contains("negative"), "{refused}");

    let panics = |at: Pass| {
        move |inputs: &[Tensor], pass: Pass| -> Result<Tensor> {
            assert!(pass != at, "a mistake in the block");
            Ok(inputs[0].f_square()?)
        }
    };
    let first = checkpoint(&[&x], &[], false, panics(Pass::First)).unwrap_err();
    assert!(first.to_string().contains("panicked"), "{first}");
    let y = checkpoint(&[&x], &[], false, panics(Pass::Again)).unwrap();
    let again = y.sum(Kind::Float).f_backward().unwrap_err().to_string();
    assert!(again.contains("panicked"), "{again}");
}
