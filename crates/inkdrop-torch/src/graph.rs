//! CUDA graphs: a pass is recorded once and then replayed by the GPU.
//!
//! A U-Net is hundreds of small kernels; for small batches a GPU computes them faster than a
//! CPU can start them. A replay starts all of them at once.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use tch::Device;

use crate::ffi::call;
use crate::{Result, TorchError, gpu};

/// Passes on the side stream before the one that is recorded: libraries make their plans and
/// workspaces in the first, and choose among them in the second.
const WARM_UPS: usize = 2;

/// Set after libtorch could not close a recording: its allocator then waits for the end of it forever.
static BROKEN: OnceLock<()> = OnceLock::new();

/// Checks if CUDA graphs are available.
///
/// # Errors
/// The reason: no GPU, a libtorch without the functions, or an earlier recording that broke.
#[allow(unsafe_code)]
pub fn cuda_graphs() -> std::result::Result<(), String> {
    crate::device::cuda_state()?;
    if BROKEN.get().is_some() {
        return Err("an earlier recording broke off".to_string());
    }
    // SAFETY: looks up functions by name; no pointer but the error's.
    call(|error| unsafe { inkdrop_graph_ready(error) }).map_err(|error| error.to_string())
}

/// True if operations of this thread record gradients; `no_grad_guard` turns it off.
#[allow(unsafe_code)]
pub fn grad_enabled() -> bool {
    // SAFETY: reads a flag of this thread.
    unsafe { inkdrop_grad_enabled() != 0 }
}

/// A recorded pass on a GPU.
///
/// A replay runs the same kernels on the same addresses. Therefore the caller keeps inputs and
/// outputs alive, copies new values into the inputs before a replay, and copies the outputs after it.
/// Intermediate tensors are in a memory pool of the graph, which is freed with it.
#[derive(Debug)]
pub struct CudaGraph {
    handle: *mut c_void,
}

// SAFETY: the handle is owned by this value alone; replays and the destructor of at::cuda::CUDAGraph
// may run in any thread (streams, allocator and driver lock for themselves), and a value that is
// Send but not Sync is used by one at a time. The part that is bound to a thread, the change of
// stream, has ended before `capture` returns.
#[allow(unsafe_code)]
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    /// Records `pass`. It runs three times: twice on a side stream, so that libraries settle on
    /// their plans, then once more there while its kernels are recorded instead of run. Its outputs
    /// hold nothing until the first [`replay`](Self::replay).
    ///
    /// The pass must do the same each time: it may not wait for the GPU or bring a number to the
    /// host, may not draw random numbers that matter, and has no gradients. Flags such as
    /// [`allow_tf32`](crate::allow_tf32) and the weights' addresses are recorded with it; weights
    /// may change in place. This thread waits for the GPU before and after; other threads go on.
    ///
    /// # Errors
    /// [`cuda_graphs`] returns an error, the pass fails, or it cannot be recorded. The last one ends
    /// recording in this process.
    pub fn capture(device: Device, mut pass: impl FnMut() -> Result<()>) -> Result<Self> {
        cuda_graphs().map_err(TorchError::message)?;
        let aside = Aside::enter(device)?;
        for _ in 0..WARM_UPS {
            pass()?;
        }
        aside.record(pass)
    }

    /// Enqueues the recorded kernels on this thread's stream, without waiting for them.
    ///
    /// # Errors
    /// The driver returns an error.
    #[allow(unsafe_code)]
    pub fn replay(&self) -> Result<()> {
        // SAFETY: the handle is that of a complete recording until `drop`.
        call(|error| unsafe { inkdrop_graph_replay(self.handle, error) })
    }
}

impl Drop for CudaGraph {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is dropped once.
        unsafe { inkdrop_graph_drop(self.handle) }
    }
}

/// This thread on a side stream; back on the one from before when dropped, also by a panic.
struct Aside {
    /// `None` after it has become a graph.
    graph: Option<CudaGraph>,
}

impl Aside {
    #[allow(unsafe_code)]
    fn enter(device: Device) -> Result<Self> {
        let index = gpu::index(device)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the shim puts a handle into `handle` where it returns 0.
        call(|error| unsafe { inkdrop_graph_new(index, &mut handle, error) })?;
        Ok(Self { graph: Some(CudaGraph { handle }) })
    }

    #[allow(unsafe_code)]
    fn record(mut self, mut pass: impl FnMut() -> Result<()>) -> Result<CudaGraph> {
        let handle = self.handle();
        // SAFETY: the handle lives as long as `self`, which is of this thread.
        call(|error| unsafe { inkdrop_graph_begin(handle, error) })?;
        pass()?;
        call(|error| unsafe { inkdrop_graph_end(handle, error) })?;
        self.leave();
        self.graph.take().ok_or_else(|| TorchError::message("the graph is gone".to_string()))
    }

    fn handle(&self) -> *mut c_void {
        self.graph.as_ref().map_or(std::ptr::null_mut(), |graph| graph.handle)
    }

    #[allow(unsafe_code)]
    fn leave(&self) {
        // SAFETY: the handle is that of `enter`, and this is the thread that entered.
        if unsafe { inkdrop_graph_leave(self.handle()) } != 0 {
            let _ = BROKEN.set(());
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.graph.is_some() {
            self.leave();
        }
    }
}

// SAFETY: these are declarations of shim/cuda.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_grad_enabled() -> c_int;
    fn inkdrop_graph_ready(error: *mut *mut c_char) -> c_int;
    fn inkdrop_graph_new(device: c_int, graph: *mut *mut c_void, error: *mut *mut c_char) -> c_int;
    fn inkdrop_graph_begin(graph: *mut c_void, error: *mut *mut c_char) -> c_int;
    fn inkdrop_graph_end(graph: *mut c_void, error: *mut *mut c_char) -> c_int;
    fn inkdrop_graph_leave(graph: *mut c_void) -> c_int;
    fn inkdrop_graph_replay(graph: *mut c_void, error: *mut *mut c_char) -> c_int;
    fn inkdrop_graph_drop(graph: *mut c_void);
}
