//! The bookkeeping of recordings, with a recorder that needs no GPU.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{Result, TorchError};

use super::{Inputs, MOST, Recorder, Recordings};
use crate::FnNetwork;
use crate::{ClassIds, Conditioning, Network, NetworkError};

const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

fn double(x: &Tensor, t: &Tensor, conditioning: &Conditioning) -> Tensor {
    let column = |row: &Tensor| row.to_kind(Kind::Float).view([-1, 1]);
    let mut out = x * 2.0 + column(t);
    if let Some(ids) = &conditioning.classes {
        out += column(ids.tensor());
    }
    conditioning.context.as_ref().map_or(out.shallow_clone(), |context| &out * context)
}

/// [`double`] for classes below 10, with a counter of its passes.
fn doubler(passes: &Arc<AtomicUsize>) -> Box<dyn Network> {
    let passes = Arc::clone(passes);
    Box::new(FnNetwork::new(move |x, t, conditioning| {
        passes.fetch_add(1, SeqCst);
        if let Some(ids) = &conditioning.classes {
            ids.check(x.size()[0], 10)?;
        }
        Ok(double(x, t, conditioning))
    }))
}

/// Plays a graph by computing [`double`] from the inputs that were recorded.
#[derive(Default)]
struct Fake {
    replays: Arc<AtomicUsize>,
    /// Recording fails.
    fails: bool,
    /// What replays add to the right numbers.
    error: f64,
    given_up: Arc<AtomicUsize>,
}

impl Recorder for Fake {
    type Graph = ();

    fn records(&self, _: Device) -> bool {
        true
    }

    fn record(&self, _: &Inputs, pass: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        if self.fails {
            return Err(TorchError::message("out of tape".to_string()));
        }
        pass()
    }

    fn replay(&self, _: &(), inputs: &Inputs, output: &Tensor) -> Result<()> {
        self.replays.fetch_add(1, SeqCst);
        let out = double(&inputs.x, &inputs.t, &inputs.conditioning) + self.error;
        Ok(output.shallow_clone().f_copy_(&out)?)
    }

    fn give_up(&self, _: &str) {
        self.given_up.fetch_add(1, SeqCst);
    }
}

struct Bench {
    recordings: Recordings<Fake>,
    passes: Arc<AtomicUsize>,
    replays: Arc<AtomicUsize>,
}

impl Bench {
    fn new(fails: bool) -> Self {
        let (passes, replays) = (Arc::default(), Arc::default());
        let recorder = Fake { replays: Arc::clone(&replays), fails, ..Fake::default() };
        Self { recordings: Recordings::new(doubler(&passes), recorder), passes, replays }
    }

    /// One pass of this many rows; what it returns must be what the network computes.
    fn check(&self, rows: i64, conditioning: &Conditioning) {
        let (x, t) = (Tensor::randn([rows, 3], F32), Tensor::randn([rows], F32));
        let out = self.recordings.forward(&x, &t, conditioning).unwrap();
        assert_eq!(out, double(&x, &t, conditioning));
    }

    fn counts(&self) -> (usize, usize, usize) {
        (self.passes.load(SeqCst), self.replays.load(SeqCst), self.recordings.recorded())
    }
}

fn ids(ids: &[i64]) -> Conditioning {
    Conditioning::classes(ClassIds::new(ids, Device::Cpu).unwrap())
}

#[test]
fn what_comes_twice_is_recorded_and_then_replayed_with_new_values() {
    let _guard = no_grad_guard();
    let bench = Bench::new(false);
    bench.check(2, &Conditioning::none());
    assert_eq!(bench.counts(), (1, 0, 0));
    bench.check(2, &Conditioning::none());
    assert_eq!(bench.counts(), (3, 1, 1)); // the answer, the recording, and its check
    for replays in 2..5 {
        bench.check(2, &Conditioning::none());
        assert_eq!(bench.counts(), (3, replays, 1));
    }
}

#[test]
fn results_are_not_overwritten_by_later_replays() {
    let _guard = no_grad_guard();
    let bench = Bench::new(false);
    let forward = |value: f64| {
        let (x, t) = (Tensor::full([1, 3], value, F32), Tensor::zeros([1], F32));
        bench.recordings.forward(&x, &t, &Conditioning::none()).unwrap()
    };
    let all: Vec<Tensor> = (0..5).map(|value| forward(f64::from(value))).collect();
    for (value, out) in all.iter().enumerate() {
        assert_eq!(out, &Tensor::full([1, 3], 2.0 * value as f64, F32));
    }
}

#[test]
fn passes_with_gradients_are_never_recorded() {
    let bench = Bench::new(false);
    for _ in 0..3 {
        bench.check(2, &Conditioning::none()); // gradients are on
    }
    assert_eq!(bench.counts(), (3, 0, 0));
}

#[test]
fn four_shapes_are_recorded_and_a_fifth_is_not() {
    let _guard = no_grad_guard();
    let bench = Bench::new(false);
    for rows in 1..=5 {
        for _ in 0..3 {
            bench.check(rows, &Conditioning::none());
        }
    }
    let most = MOST as i64;
    assert_eq!(bench.counts(), (3 * MOST + 3, 2 * MOST, MOST));
    bench.check(most, &Conditioning::none());
    assert_eq!(bench.counts(), (3 * MOST + 3, 2 * MOST + 1, MOST));
}

#[test]
fn shapes_that_come_once_do_not_take_the_place_of_others() {
    let _guard = no_grad_guard();
    let bench = Bench::new(false);
    for rows in 1..=9 {
        bench.check(rows, &Conditioning::none());
    }
    assert_eq!(bench.counts(), (9, 0, 0));
    for _ in 0..3 {
        bench.check(10, &Conditioning::none());
    }
    assert_eq!(bench.counts(), (12, 2, 1));
}

#[test]
fn conditions_and_kinds_have_recordings_of_their_own() {
    let _guard = no_grad_guard();
    let bench = Bench::new(false);
    let context = || Conditioning::context(Tensor::randn([2, 3], F32));
    for _ in 0..3 {
        bench.check(2, &Conditioning::none());
        bench.check(2, &context());
        bench.check(2, &ids(&[3, 4]));
        let (x, t) = (Tensor::randn([2, 3], F32), Tensor::from_slice(&[5i64, 6]));
        let none = Conditioning::none();
        let out = bench.recordings.forward(&x, &t, &none).unwrap();
        assert_eq!(out, double(&x, &t, &none));
    }
    assert_eq!(bench.counts(), (12, 8, 4));
}

#[test]
fn classes_are_checked_before_a_replay() {
    let _guard = no_grad_guard();
    let bench = Bench::new(false);
    for _ in 0..2 {
        bench.check(2, &ids(&[3, 5]));
    }
    bench.check(2, &ids(&[5, 4])); // between those that were accepted
    assert_eq!(bench.counts(), (3, 2, 1));
    bench.check(2, &ids(&[1, 2])); // new ones get an ordinary pass,
    assert_eq!(bench.counts(), (4, 2, 1));
    bench.check(2, &ids(&[1, 5])); // and are known from then on
    assert_eq!(bench.counts(), (4, 3, 1));
    let (x, t) = (Tensor::randn([2, 3], F32), Tensor::zeros([2], F32));
    for bad in [[3, 10], [-1, 5]] {
        let error = bench.recordings.forward(&x, &t, &ids(&bad)).unwrap_err();
        assert!(matches!(error, NetworkError::Class { count: 10, .. }), "{error}");
    }
    bench.check(2, &ids(&[2, 3]));
    assert_eq!(bench.counts(), (6, 4, 1));
}

#[test]
fn inputs_that_the_network_refuses_are_not_recorded() {
    let _guard = no_grad_guard();
    let bench = Bench::new(false);
    let (x, t) = (Tensor::randn([2, 3], F32), Tensor::zeros([2], F32));
    for _ in 0..3 {
        bench.recordings.forward(&x, &t, &ids(&[0, 12])).unwrap_err();
    }
    assert_eq!(bench.counts(), (3, 0, 0));
}

#[test]
fn a_recording_that_fails_costs_nothing_but_speed() {
    let _guard = no_grad_guard();
    let bench = Bench::new(true);
    for rows in [1, 1, 1, 2, 2, 2] {
        bench.check(rows, &Conditioning::none());
    }
    assert_eq!(bench.counts(), (6, 0, 0));
    assert_eq!(bench.recordings.trouble().as_deref(), Some("out of tape"));
}

#[test]
fn a_replay_that_differs_ends_recording() {
    let _guard = no_grad_guard();
    for (error, ends) in [(1.0, true), (f64::NAN, true), (1e-2, true), (1e-5, false)] {
        let (passes, replays, given_up) = (Arc::default(), Arc::default(), Arc::default());
        let (replays_of, given_up_of) = (Arc::clone(&replays), Arc::clone(&given_up));
        let fake = Fake { replays: replays_of, error, given_up: given_up_of, fails: false };
        let recordings = Recordings::new(doubler(&passes), fake);
        for rows in [1, 1, 1, 2, 2, 2] {
            let (x, t) = (Tensor::full([rows, 3], 0.5, F32), Tensor::zeros([rows], F32));
            let out = recordings.forward(&x, &t, &Conditioning::none()).unwrap();
            assert!(out.allclose(&(&x * 2.0), 1e-4, 1e-4, false), "{error}");
        }
        let problem = recordings.trouble();
        assert_eq!(given_up.load(SeqCst), usize::from(ends), "{error}");
        assert_eq!(problem.is_some_and(|p| p.contains("differs from the ordinary one")), ends);
        assert_eq!(replays.load(SeqCst), if ends { 1 } else { 4 });
    }
}

#[test]
fn a_pass_that_is_not_finite_does_not_speak_against_its_replay() {
    let nan = Tensor::full([2], f64::NAN, F32);
    assert_eq!(super::difference(&nan, &nan).unwrap(), None);
    let finite = Tensor::zeros([2], F32);
    assert!(super::difference(&nan, &finite).unwrap().is_some());
}

#[test]
fn on_the_cpu_it_is_the_network_itself() {
    let _guard = no_grad_guard();
    let passes = Arc::default();
    let network = super::CudaGraphNetwork::new(doubler(&passes));
    for _ in 0..4 {
        let (x, t) = (Tensor::randn([2, 3], F32), Tensor::randn([2], F32));
        let out = network.forward(&x, &t, &Conditioning::none()).unwrap();
        assert_eq!(out, double(&x, &t, &Conditioning::none()));
    }
    assert_eq!((passes.load(SeqCst), network.recorded(), network.trouble()), (4, 0, None));
}
