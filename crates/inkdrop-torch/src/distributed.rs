//! Process groups of libtorch's c10d: a store of keys, collectives, and the reduction of gradients.

mod nccl;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::time::{Duration, Instant};

use tch::Tensor;

use crate::ffi::{call, call_for_tensor, inkdrop_free};
use crate::{Result, TorchError};

pub use nccl::{NcclId, NcclState, check_nccl};

/// A client of a TCP store: keys and values that all processes of a group share.
///
/// One process serves the store, and may be a client of it, too.
///
/// ```
/// use std::time::Duration;
/// use inkdrop_torch::distributed::Store;
///
/// let limit = Duration::from_secs(5);
/// let store = Store::serve("127.0.0.1", 0, limit)?; // any free port
/// let client = Store::connect("127.0.0.1", store.port(), limit)?.with_prefix("run 1")?;
/// client.set("epoch", "7")?;
/// assert_eq!(store.get("run 1/epoch", limit)?, "7");
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct Store {
    handle: *mut c_void,
    port: u16,
}

// SAFETY: the handle is owned by this value alone, and c10d's stores lock each request.
#[allow(unsafe_code)]
unsafe impl Send for Store {}
#[allow(unsafe_code)]
unsafe impl Sync for Store {}

impl Store {
    /// Serves a store in this process, and connects to it.
    ///
    /// - port: 0 for any free port
    /// - timeout: limit of each request
    ///
    /// # Errors
    /// The port is taken.
    pub fn serve(host: &str, port: u16, timeout: Duration) -> Result<Self> {
        Self::new(host, port, true, timeout)
    }

    /// Connects to the store of another process, and waits for it if necessary.
    ///
    /// - timeout: limit of the connection and of each request
    ///
    /// # Errors
    /// There is no store at `host:port` within the time.
    pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<Self> {
        Self::new(host, port, false, timeout)
    }

    #[allow(unsafe_code)]
    fn new(host: &str, port: u16, serve: bool, timeout: Duration) -> Result<Self> {
        let host = text(host)?;
        let (mut handle, mut bound) = (std::ptr::null_mut(), 0);
        let (serve, limit) = (c_int::from(serve), milliseconds(timeout));
        // SAFETY: the text and both places live during the call.
        call(|error| unsafe {
            inkdrop_store_new(host.as_ptr(), port, serve, limit, &mut handle, &mut bound, error)
        })?;
        Ok(Self { handle, port: bound })
    }

    /// The same store with a prefix and a slash before each key.
    ///
    /// # Errors
    /// The prefix contains a NUL.
    #[allow(unsafe_code)]
    pub fn with_prefix(&self, prefix: &str) -> Result<Self> {
        let prefix = text(prefix)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle is alive; the text and the place live during the call.
        call(|error| unsafe {
            inkdrop_store_prefix(self.handle, prefix.as_ptr(), &mut handle, error)
        })?;
        Ok(Self { handle, port: self.port })
    }

    /// The port of the store.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// The connection is lost, or the key contains a NUL.
    #[allow(unsafe_code)]
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let key = text(key)?;
        let (bytes, length) = (value.as_ptr().cast(), value.len());
        // SAFETY: the handle is alive; both texts live during the call.
        call(|error| unsafe { inkdrop_store_set(self.handle, key.as_ptr(), bytes, length, error) })
    }

    /// The value of a key; waits until a process has set it.
    ///
    /// # Errors
    /// No process has set it within the time, or the connection is lost.
    #[allow(unsafe_code)]
    pub fn get(&self, key: &str, timeout: Duration) -> Result<String> {
        let key = text(key)?;
        let mut value: *mut c_char = std::ptr::null_mut();
        // SAFETY: the handle is alive; the text and the place live during the call.
        call(|error| unsafe {
            inkdrop_store_get(self.handle, key.as_ptr(), milliseconds(timeout), &mut value, error)
        })?;
        if value.is_null() {
            return Err(TorchError::message("out of memory".to_string()));
        }
        // SAFETY: a NUL-terminated text of inkdrop_text, and ours to free.
        let copy = unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned();
        unsafe { inkdrop_free(value) };
        Ok(copy)
    }

    /// True if a process has set the key.
    ///
    /// # Errors
    /// The connection is lost.
    #[allow(unsafe_code)]
    pub fn has(&self, key: &str) -> Result<bool> {
        let key = text(key)?;
        let mut found = 0;
        // SAFETY: the handle is alive; the text and the place live during the call.
        call(|error| unsafe { inkdrop_store_has(self.handle, key.as_ptr(), &mut found, error) })?;
        Ok(found != 0)
    }

    /// Adds to the number of a key, from 0, and returns the sum.
    ///
    /// # Errors
    /// The connection is lost.
    #[allow(unsafe_code)]
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        let key = text(key)?;
        let mut sum = 0;
        // SAFETY: the handle is alive; the text and the place live during the call.
        call(|error| unsafe {
            inkdrop_store_add(self.handle, key.as_ptr(), amount, &mut sum, error)
        })?;
        Ok(sum)
    }
}

impl Drop for Store {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is dropped once.
        unsafe { inkdrop_store_drop(self.handle) }
    }
}

/// A group of processes that compute together; its collectives use Gloo, on the CPU.
///
/// Each process calls the same collectives in the same order.
#[derive(Debug)]
pub struct ProcessGroup {
    handle: *mut c_void,
    rank: usize,
    size: usize,
}

// SAFETY: the handle is owned by this value alone; collectives lock for themselves.
#[allow(unsafe_code)]
unsafe impl Send for ProcessGroup {}

impl ProcessGroup {
    /// Joins a group; returns when all processes have joined.
    ///
    /// - rank: number of this process, 0 to size − 1
    /// - address: address of this machine that the other processes reach
    /// - timeout: limit of each collective
    ///
    /// # Errors
    /// A process has not joined within the time, or the address is not of this machine.
    #[allow(unsafe_code)]
    pub fn join(
        store: &Store,
        rank: usize,
        size: usize,
        address: &str,
        timeout: Duration,
    ) -> Result<Self> {
        let (Ok(of), Ok(all)) = (c_int::try_from(rank), c_int::try_from(size)) else {
            return Err(TorchError::message(format!("rank {rank} of {size} processes")));
        };
        let address = text(address)?;
        let (store, limit) = (store.handle, milliseconds(timeout));
        let mut handle = std::ptr::null_mut();
        // SAFETY: the store's handle is alive; the text and the place live during the call.
        call(|error| unsafe {
            inkdrop_group_new(store, of, all, address.as_ptr(), limit, &mut handle, error)
        })?;
        Ok(Self { handle, rank, size })
    }

    /// Number of this process, 0 to size − 1.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All-reduce: sums a tensor over all processes, in place; each gets the same bits.
    ///
    /// # Errors
    /// A process ended, is late, or has another shape.
    #[allow(unsafe_code)]
    pub fn all_reduce(&self, tensor: &mut Tensor) -> Result<()> {
        let tensor = tensor.as_mut_ptr().cast();
        // SAFETY: the handle is alive, and the tensor during the call.
        call(|error| unsafe { inkdrop_group_all_reduce(self.handle, tensor, error) })
    }

    /// The sum of a tensor over all processes, with its gradient: the sum of the sum's gradients over all
    /// processes.
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce`].
    #[allow(unsafe_code)]
    pub fn sum(&self, tensor: &Tensor) -> Result<Tensor> {
        // SAFETY: the handle is alive, and the tensor during the call.
        call_for_tensor(|out, error| unsafe {
            inkdrop_group_sum(self.handle, tensor.as_ptr().cast(), out, error)
        })
    }

    /// Another handle of the same group.
    ///
    /// # Errors
    /// Out of memory.
    #[allow(unsafe_code)]
    pub fn share(&self) -> Result<Self> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle is alive; the shim counts references.
        call(|error| unsafe { inkdrop_group_share(self.handle, &mut handle, error) })?;
        Ok(Self { handle, rank: self.rank, size: self.size })
    }

    /// Copies the values of one process into the tensors of all others.
    ///
    /// - root: number of that process
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce`].
    #[allow(unsafe_code)]
    pub fn broadcast(&self, tensors: &[&Tensor], root: usize) -> Result<()> {
        let Some(from) = c_int::try_from(root).ok().filter(|_| root < self.size) else {
            return Err(TorchError::message(format!("rank {root} of {} processes", self.size)));
        };
        let tensors: Vec<*const c_void> = tensors.iter().map(|t| t.as_ptr().cast()).collect();
        let (first, count) = (tensors.as_ptr(), tensors.len());
        // SAFETY: the handle is alive, and `count` tensors during the call.
        call(|error| unsafe { inkdrop_group_broadcast(self.handle, first, count, from, error) })
    }

    /// The tensors of all processes, [size, ...] in the order of their ranks.
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce`].
    #[allow(unsafe_code)]
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Tensor> {
        let tensor = tensor.f_contiguous()?;
        let shape: Vec<i64> = [self.size as i64].into_iter().chain(tensor.size()).collect();
        let mut all = Tensor::f_zeros(shape, (tensor.kind(), tensor.device()))?;
        let (own, out) = (tensor.as_ptr().cast(), all.as_mut_ptr().cast());
        // SAFETY: the handle is alive, and both tensors during the call.
        call(|error| unsafe { inkdrop_group_all_gather(self.handle, own, out, error) })?;
        Ok(all)
    }
}

/// An all-reduce of a group, as this process's host saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllReduce {
    /// When it was started.
    pub start: Instant,
    /// When it ended. On a GPU: when it was queued.
    pub end: Instant,
    /// Size of the tensor.
    pub bytes: u64,
}

/// The shim's form of an all-reduce: seconds since its start and since its end.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct EndedAllReduce {
    start: f64,
    end: f64,
    bytes: i64,
}

impl ProcessGroup {
    /// The all-reduces since the last call, in the order of their starts. Those that are still running
    /// end now.
    ///
    /// # Errors
    /// Out of memory.
    #[allow(unsafe_code)]
    pub fn take_all_reduces(&self) -> Result<Vec<AllReduce>> {
        const ROOM: usize = 4096; // a step has one for each 25 MiB of gradients
        let mut list = vec![EndedAllReduce::default(); ROOM];
        let mut count = 0;
        // SAFETY: the handle is alive, and the list has room for ROOM values.
        call(|error| unsafe {
            let first = list.as_mut_ptr();
            inkdrop_group_take_all_reduces(self.handle, first, ROOM, &mut count, error)
        })?;
        let now = Instant::now();
        let ago = |age: f64| now.checked_sub(Duration::from_secs_f64(age)).unwrap_or(now);
        let all = list[..count].iter().map(|one| AllReduce {
            start: ago(one.start),
            end: ago(one.end),
            bytes: one.bytes.unsigned_abs(),
        });
        Ok(all.collect())
    }
}

impl Drop for ProcessGroup {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is dropped once; reducers hold the group themselves.
        unsafe { inkdrop_group_drop(self.handle) }
    }
}

/// Averages gradients over a group of processes while the backward pass still runs: the reducer of
/// PyTorch's DistributedDataParallel (Li et al. 2020).
///
/// Gradients are collected in buckets, in the reverse order of the parameters; a bucket is reduced as
/// soon as its last gradient is there.
#[derive(Debug)]
pub struct GradientReducer {
    handle: *mut c_void,
}

// SAFETY: the handle is owned by this value alone; the reducer locks for itself.
#[allow(unsafe_code)]
unsafe impl Send for GradientReducer {}

impl GradientReducer {
    /// A reducer of the gradients of `parameters`, which all processes have in the same order.
    ///
    /// - bucket_bytes: largest size of a bucket; that of the first, whose gradients are ready first
    ///
    /// # Errors
    /// Another process has other parameters.
    #[allow(unsafe_code)]
    pub fn new(
        group: &ProcessGroup,
        parameters: &[&Tensor],
        bucket_bytes: [i64; 2],
    ) -> Result<Self> {
        let tensors: Vec<*const c_void> = parameters.iter().map(|t| t.as_ptr().cast()).collect();
        let [bucket, first] = bucket_bytes;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the group's handle is alive, and all tensors during the call; the reducer keeps
        // references of its own.
        call(|error| unsafe {
            let (list, count) = (tensors.as_ptr(), tensors.len());
            inkdrop_reducer_new(group.handle, list, count, bucket, first, &mut handle, error)
        })?;
        Ok(Self { handle })
    }

    /// Averages the gradients in the next backward pass. Without this call, a backward pass adds to
    /// this process's gradients alone (gradient accumulation).
    ///
    /// # Errors
    /// In the pass before, a parameter had no gradient.
    #[allow(unsafe_code)]
    pub fn prepare_for_backward(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        call(|error| unsafe { inkdrop_reducer_prepare(self.handle, error) })
    }
}

impl Drop for GradientReducer {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and is dropped once.
        unsafe { inkdrop_reducer_drop(self.handle) }
    }
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| TorchError::message(format!("{text:?} contains a NUL")))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

// SAFETY: these are the declarations of shim/distributed.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_store_new(
        host: *const c_char,
        port: u16,
        serve: c_int,
        timeout_ms: i64,
        store: *mut *mut c_void,
        bound: *mut u16,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_store_prefix(
        store: *mut c_void,
        prefix: *const c_char,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_store_set(
        store: *mut c_void,
        key: *const c_char,
        value: *const c_char,
        length: usize,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_store_get(
        store: *mut c_void,
        key: *const c_char,
        timeout_ms: i64,
        value: *mut *mut c_char,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_store_has(
        store: *mut c_void,
        key: *const c_char,
        found: *mut c_int,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_store_add(
        store: *mut c_void,
        key: *const c_char,
        amount: i64,
        sum: *mut i64,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_store_drop(store: *mut c_void);
    fn inkdrop_group_new(
        store: *mut c_void,
        rank: c_int,
        size: c_int,
        address: *const c_char,
        timeout_ms: i64,
        group: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_all_reduce(
        group: *mut c_void,
        tensor: *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_sum(
        group: *mut c_void,
        tensor: *const c_void,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_share(
        group: *mut c_void,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_broadcast(
        group: *mut c_void,
        tensors: *const *const c_void,
        count: usize,
        root: c_int,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_take_all_reduces(
        group: *mut c_void,
        list: *mut EndedAllReduce,
        room: usize,
        count: *mut usize,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_all_gather(
        group: *mut c_void,
        tensor: *const c_void,
        out: *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_drop(group: *mut c_void);
    fn inkdrop_reducer_new(
        group: *mut c_void,
        parameters: *const *const c_void,
        count: usize,
        bucket_bytes: i64,
        first_bucket_bytes: i64,
        reducer: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_reducer_prepare(reducer: *mut c_void, error: *mut *mut c_char) -> c_int;
    fn inkdrop_reducer_drop(reducer: *mut c_void);
}
