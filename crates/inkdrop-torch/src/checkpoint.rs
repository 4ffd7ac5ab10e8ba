//! Gradient checkpointing: a block keeps only its inputs and runs again in the backward pass.

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use tch::Tensor;

use crate::Result;
use crate::ffi::{call, inkdrop_text};
use crate::forward_ad::in_jvp;
use crate::generator::{WorksFor, this_thread};

/// Run of a block under gradient checkpointing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The forward pass, which keeps only its result.
    First,
    /// The second run, in the backward pass, which computes the gradients.
    Again,
}

/// The block: inputs in, one tensor out. It may run in a thread of libtorch's.
type Block = dyn FnMut(&[Tensor], Pass) -> Result<Tensor> + Send;

/// Gradient checkpointing (Chen et al. 2016): the autograd graph keeps only `inputs` of the block,
/// and the backward pass runs the block a second time.
///
/// Gradients reach `inputs` and `parameters`, bit for bit those of an ordinary run.
/// An error or a panic of the block is an error of the forward or of the backward pass,
/// and so is a backward pass with `create_graph`: there are no gradients of gradients.
///
/// - inputs: inputs of the block; at least one
/// - parameters: all other trained tensors that the block uses, each once
/// - random: true if the block draws from libtorch's default generators of the CPU or of the first
///   input's device (dropout); the second run then repeats the draws of the first
///
/// ```
/// use inkdrop_torch::checkpoint;
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let x = Tensor::randn([4, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// let w = Tensor::randn([8, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// let weight = w.shallow_clone();
/// let block = move |inputs: &[Tensor], _| Ok(inputs[0].f_matmul(&weight)?.f_gelu("none")?);
/// let y = checkpoint(&[&x], &[&w], false, block)?;
/// y.sum(Kind::Float).backward();
/// assert_eq!(w.grad().size(), [8, 8]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Errors
/// The block's own error, or libtorch's.
#[allow(unsafe_code)]
pub fn checkpoint(
    inputs: &[&Tensor],
    parameters: &[&Tensor],
    random: bool,
    mut block: impl FnMut(&[Tensor], Pass) -> Result<Tensor> + Send + 'static,
) -> Result<Tensor> {
    if in_jvp() {
        let inputs: Vec<Tensor> = inputs.iter().map(|input| input.shallow_clone()).collect();
        return block(&inputs, Pass::First);
    }
    let thread = this_thread();
    let boxed: Box<Block> = Box::new(move |inputs: &[Tensor], pass| {
        // The second run may draw in a thread of libtorch's, while this one holds the generator and waits.
        let _works_for = (pass == Pass::Again).then(|| WorksFor::new(thread));
        block(inputs, pass)
    });
    let state = Box::into_raw(Box::new(Mutex::new(boxed))).cast::<c_void>();
    let tensors = inputs.iter().chain(parameters).map(|tensor| tensor.as_ptr().cast::<c_void>());
    let tensors: Vec<*const c_void> = tensors.collect();
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers are those of live tensors for the whole call, and `inputs` of
    // them exist. C++ owns `state` from here on, whatever happens, and frees it with `drop_block`.
    let result = call(|error| unsafe {
        let (all, count) = (tensors.as_ptr(), tensors.len());
        let random = c_int::from(random);
        let inputs = inputs.len();
        inkdrop_checkpoint(
            state, run_block, drop_block, all, inputs, count, random, &mut out, error,
        )
    });
    // SAFETY: on success `out` is a tensor that was made for us alone.
    result.map(|()| unsafe { Tensor::from_ptr(out.cast()) })
}

// SAFETY: these are the declarations of shim/shim.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_checkpoint(
        state: *mut c_void,
        run: extern "C" fn(
            *mut c_void,
            *const *const c_void,
            usize,
            c_int,
            *mut *mut c_void,
            *mut *mut c_char,
        ) -> c_int,
        drop: extern "C" fn(*mut c_void),
        tensors: *const *const c_void,
        inputs: usize,
        count: usize,
        random: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
}

/// Called from C++ to run the block. Never unwinds.
#[allow(unsafe_code)]
extern "C" fn run_block(
    state: *mut c_void,
    tensors: *const *const c_void,
    count: usize,
    again: c_int,
    out: *mut *mut c_void,
    error: *mut *mut c_char,
) -> c_int {
    let pass = if again == 0 { Pass::First } else { Pass::Again };
    let run = || {
        // SAFETY: C++ hands back the `state` that `checkpoint` made, and `count` live tensors,
        // of which we take handles of our own.
        let (block, pointers) = unsafe {
            (&*state.cast::<Mutex<Box<Block>>>(), std::slice::from_raw_parts(tensors, count))
        };
        let handle =
            |&tensor: &*const c_void| unsafe { Tensor::clone_from_ptr(tensor.cast_mut().cast()) };
        let inputs: Vec<Tensor> = pointers.iter().map(handle).collect();
        let mut block = block.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        block(&inputs, pass)
    };
    let failed = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(mut tensor)) => {
            // SAFETY: `out` is a place for one pointer; C++ owns the tensor from here on.
            unsafe { *out = tensor.as_mut_ptr().cast() };
            std::mem::forget(tensor);
            return 0;
        }
        Ok(Err(failed)) => failed.detail().to_string(),
        Err(payload) => {
            let words = payload.downcast_ref::<&str>().map(|text| (*text).to_string());
            let words = words.or_else(|| payload.downcast_ref::<String>().cloned());
            format!("a checkpointed block panicked: {}", words.unwrap_or_default())
        }
    };
    // SAFETY: `error` is a place for one text; inkdrop_text copies this one.
    unsafe { *error = inkdrop_text(failed.as_ptr().cast(), failed.len()) };
    1
}

/// Called from C++ when the graph no longer needs the block. Never unwinds.
#[allow(unsafe_code)]
extern "C" fn drop_block(state: *mut c_void) {
    // SAFETY: `checkpoint` made this box, and C++ lets go of it once.
    let block = unsafe { Box::from_raw(state.cast::<Mutex<Box<Block>>>()) };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(block)));
}
