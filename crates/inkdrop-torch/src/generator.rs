//! Random number generators of libtorch: one of one's own, and the default one of the process.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::Tensor;

use crate::Result;
use crate::ffi::{call_for_tensor, pointer};

/// A CPU generator (`torch.Generator`): Mersenne Twister, independent of all others.
#[derive(Debug)]
pub(crate) struct Generator {
    /// As `torch.Generator.get_state` gives it: bytes.
    state: Tensor,
}

impl Generator {
    /// The generator after `manual_seed(seed)`.
    #[allow(unsafe_code)]
    pub(crate) fn seeded(seed: i64) -> Result<Self> {
        // SAFETY: the call has no pointers but its results.
        let state =
            call_for_tensor(|out, error| unsafe { inkdrop_generator(seed as u64, out, error) })?;
        Ok(Self { state })
    }

    /// `torch.randn(shape, generator=…)`, f32 on the CPU.
    #[allow(unsafe_code)]
    pub(crate) fn normal(&mut self, shape: &[i64]) -> Result<Tensor> {
        let state = pointer(Some(&self.state));
        // SAFETY: a live tensor that nothing else holds, and a slice with its length.
        call_for_tensor(|out, error| unsafe {
            inkdrop_generator_normal(state, shape.as_ptr(), shape.len(), out, error)
        })
    }
}

/// Exclusive use of libtorch's default generator, on which parameter initialisation, dropout and
/// training noise depend.
///
/// The generator is one for the whole process. While a thread holds this value, another thread that
/// asks for it waits, so that two training runs in one process get the same numbers as one alone.
/// A thread may hold several. Code that draws without it (`Tensor::randn` in another thread) is not
/// held off.
///
/// ```
/// use inkdrop_torch::DefaultGenerator;
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let draw = || {
///     let _generator = DefaultGenerator::seeded(7); // torch.manual_seed(7)
///     Tensor::randn([4], (Kind::Float, Device::Cpu))
/// };
/// assert_eq!(draw(), draw());
/// ```
#[derive(Debug)]
#[must_use = "the generator is held until this value is dropped"]
pub struct DefaultGenerator {
    /// `None` where this thread holds it already.
    held: Option<MutexGuard<'static, ()>>,
}

/// The thread that holds the generator; 0 for none.
static OWNER: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The number of this thread, from 1.
    static THREAD: u64 = {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        1 + COUNT.fetch_add(1, Ordering::Relaxed)
    };
    /// The thread that this one works for, which waits for it; 0 for none.
    static WORKS_FOR: Cell<u64> = const { Cell::new(0) };
}

/// The number of this thread, for [`WorksFor`].
pub(crate) fn this_thread() -> u64 {
    THREAD.with(|number| *number)
}

/// While it lives, this thread works for another one that waits for it, and uses the generator that the other one
/// holds: libtorch runs the backward pass of a GPU in threads of its own.
pub(crate) struct WorksFor(u64);

impl WorksFor {
    /// - thread: its number
    pub(crate) fn new(thread: u64) -> Self {
        Self(WORKS_FOR.replace(thread))
    }
}

impl Drop for WorksFor {
    fn drop(&mut self) {
        WORKS_FOR.set(self.0);
    }
}

impl DefaultGenerator {
    /// Waits until no other thread holds the generator.
    pub fn lock() -> Self {
        static LOCK: Mutex<()> = Mutex::new(());
        let owner = OWNER.load(Ordering::Acquire);
        if owner != 0 && (owner == this_thread() || owner == WORKS_FOR.get()) {
            return Self { held: None };
        }
        // A thread that panicked leaves a generator in some state, which is always a valid one.
        let held = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        OWNER.store(this_thread(), Ordering::Release);
        Self { held: Some(held) }
    }

    /// Waits, then seeds the generators of all devices (`torch.manual_seed`).
    pub fn seeded(seed: i64) -> Self {
        let generator = Self::lock();
        tch::manual_seed(seed);
        generator
    }
}

impl Drop for DefaultGenerator {
    fn drop(&mut self) {
        if self.held.is_some() {
            OWNER.store(0, Ordering::Release);
        }
    }
}

/// A random number that follows from a seed and an index: the output of SplitMix64 number `index`, counted from
/// 0 (Steele et al. 2014).
///
/// ```
/// use inkdrop_torch::split_mix_64;
///
/// let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
/// assert_eq!([0, 1].map(|index| split_mix_64(1_234_567, index)), published);
/// ```
pub fn split_mix_64(seed: u64, index: u64) -> u64 {
    let step = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = seed.wrapping_add(step);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// SAFETY: these are the declarations of shim/generator.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_generator(seed: u64, out: *mut *mut c_void, error: *mut *mut c_char) -> c_int;
    fn inkdrop_generator_normal(
        state: *const c_void,
        shape: *const i64,
        axes: usize,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
}
