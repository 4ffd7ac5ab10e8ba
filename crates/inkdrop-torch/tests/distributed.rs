//! Process groups; threads stand for processes.
#![cfg(feature = "distributed")]
#![allow(missing_docs, clippy::unwrap_used)]

use std::thread;
use std::time::Duration;

use inkdrop_torch::distributed::{GradientReducer, ProcessGroup, Store};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad};

const LIMIT: Duration = Duration::from_secs(20);
const HERE: &str = "127.0.0.1";

/// Runs a function in each of `size` processes, and returns their results in the order of ranks.
fn together<T: Send>(size: usize, run: impl Fn(ProcessGroup) -> T + Sync) -> Vec<T> {
    let server = Store::serve(HERE, 0, LIMIT).unwrap();
    let (port, run) = (server.port(), &run);
    thread::scope(|scope| {
        let process = |rank| {
            let store = Store::connect(HERE, port, LIMIT).unwrap();
            run(ProcessGroup::join(&store, rank, size, HERE, LIMIT).unwrap())
        };
        let threads: Vec<_> = (0..size).map(|rank| scope.spawn(move || process(rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn all_ranks_get_the_same_sum() {
    let sums = together(3, |group| {
        let mut tensor = Tensor::arange(5, (Kind::Double, Device::Cpu)) * (group.rank() as f64);
        group.all_reduce(&mut tensor).unwrap();
        Vec::<f64>::try_from(&tensor).unwrap()
    });
    assert_eq!(sums, vec![vec![0.0, 3.0, 6.0, 9.0, 12.0]; 3]);
}

#[test]
fn any_process_can_be_the_root_of_a_broadcast() {
    let all = together(3, |group| {
        let tensor = Tensor::from_slice(&[group.rank() as f32]);
        group.broadcast(&[&tensor], 2).unwrap();
        let error = group.broadcast(&[&tensor], 3).unwrap_err().to_string();
        (tensor.double_value(&[0]), error)
    });
    assert_eq!(all, vec![(2.0, "rank 3 of 3 processes".to_string()); 3]);
}

#[test]
fn broadcast_copies_rank_0_and_gather_keeps_the_order_of_ranks() {
    let all = together(3, |group| {
        let rank = group.rank() as f32;
        let tensors = [Tensor::from_slice(&[rank, 5.0]), Tensor::from_slice(&[rank + 7.0; 3])];
        let gathered = group.all_gather(&tensors[0]).unwrap();
        group.broadcast(&tensors.iter().collect::<Vec<_>>(), 0).unwrap();
        [&gathered, &tensors[0], &tensors[1]]
            .map(|t| Vec::<f32>::try_from(t.reshape([-1])).unwrap())
    });
    let expected = [vec![0.0, 5.0, 1.0, 5.0, 2.0, 5.0], vec![0.0, 5.0], vec![7.0; 3]];
    assert_eq!(all, vec![expected; 3]);
}

/// Two linear layers; the loss of a rank is that of its rows times the number of ranks, so that the average
/// over ranks is the gradient of the whole batch.
#[test]
fn reduced_gradients_are_those_of_the_whole_batch_also_accumulated() {
    let seeded = |shape: &[i64], from: f64| {
        let count: i64 = shape.iter().product();
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.37 + from).sin().reshape(shape)
    };
    let images = || seeded(&[8, 4], 0.0);
    let build = || [seeded(&[6, 4], 1.0), seeded(&[2, 6], 2.0)].map(|w| w.set_requires_grad(true));
    let loss = |[a, b]: &[Tensor; 2], rows: &Tensor| {
        rows.matmul(&a.tr()).tanh().matmul(&b.tr()).square().sum(Kind::Double)
    };
    let whole = build();
    loss(&whole, &images()).backward();
    for (size, parts) in [(2, 1), (2, 2), (4, 2)] {
        let gradients = together(size, |group| {
            let (weights, x) = (build(), images());
            let refs: Vec<&Tensor> = weights.iter().collect();
            // Buckets of a few bytes: each weight has its own.
            let reducer = GradientReducer::new(&group, &refs, [16, 16]).unwrap();
            let rows = 8 / (size * parts) as i64;
            // A second round, after the buckets are rebuilt and the gradients freed.
            let mut last = Vec::new();
            for _ in 0..2 {
                weights.iter().for_each(|weight| {
                    let mut gradient = weight.grad();
                    if gradient.defined() {
                        let _ = no_grad(|| gradient.zero_());
                    }
                });
                for part in 0..parts {
                    let start = ((group.rank() * parts) as i64 + part as i64) * rows;
                    if part + 1 == parts {
                        reducer.prepare_for_backward().unwrap();
                    }
                    (loss(&weights, &x.narrow(0, start, rows)) * size as f64).backward();
                }
                last = weights.iter().map(|weight| weight.grad().copy()).collect::<Vec<_>>();
            }
            last
        });
        for per_rank in &gradients {
            for ((gradient, weight), first) in per_rank.iter().zip(&whole).zip(&gradients[0]) {
                let apart = (gradient - weight.grad()).abs().max().double_value(&[]);
                assert!(apart < 1e-12, "{size} processes, {parts} parts: {apart:e}");
                assert!(gradient == first, "ranks have the same bits");
            }
        }
    }
}

/// The weight of the last layer has its gradient long before that of the first: thirty products lie between.
#[test]
fn the_first_bucket_is_reduced_while_the_backward_pass_still_runs() {
    const SIDE: i64 = 512;
    let matrix = |from: f64| {
        (Tensor::arange(SIDE * SIDE, (Kind::Float, Device::Cpu)) * 0.37 + from)
            .sin()
            .reshape([SIDE, SIDE])
            * 0.05
    };
    let overlaps = together(2, |group| {
        let weights = [matrix(0.0), matrix(1.0)].map(|weight| weight.set_requires_grad(true));
        let refs: Vec<&Tensor> = weights.iter().collect();
        let reducer = GradientReducer::new(&group, &refs, [16, 16]).unwrap();
        let between = matrix(2.0);
        let mut overlapped = 0;
        for _ in 0..5 {
            let first = matrix(3.0).matmul(&weights[0]);
            let deep = (0..30).fold(first, |h, _| h.matmul(&between).tanh());
            let loss = deep.matmul(&weights[1]).square().sum(Kind::Float);
            group.take_all_reduces().unwrap();
            reducer.prepare_for_backward().unwrap();
            loss.backward();
            let all = group.take_all_reduces().unwrap();
            let bytes: u64 = all.iter().map(|one| one.bytes).sum();
            assert_eq!(bytes, 2 * 4 * (SIDE * SIDE) as u64);
            let [early, late] = all[..] else { panic!("{} all-reduces", all.len()) };
            assert!(early.start < late.start && late.end >= late.start);
            overlapped += usize::from(early.end < late.start);
        }
        overlapped
    });
    // The threads of a busy machine may be late, but not always.
    assert!(overlaps.iter().all(|&overlapped| overlapped > 0), "{overlaps:?}");
}

/// The loss of process r is r + 1 times the square of the sum of all x: its gradient by any x is the sum of
/// the processes' gradients by the sum, 2·(1 + 2 + 3)·Σx.
#[test]
fn the_gradient_of_a_sum_is_the_sum_of_the_gradients() {
    let gradients = together(3, |group| {
        let rank = group.rank() as f64;
        let x = Tensor::from_slice(&[rank, 1.0]).set_requires_grad(true);
        let sum = group.share().unwrap().sum(&x).unwrap();
        (sum.square() * (rank + 1.0)).sum(Kind::Double).backward();
        [sum, x.grad()].map(|t| Vec::<f64>::try_from(t.detach()).unwrap())
    });
    assert_eq!(gradients, vec![[vec![3.0, 3.0], vec![36.0, 36.0]]; 3]);
}

#[test]
fn a_store_counts_and_waits_and_says_what_is_missing() {
    let store = Store::serve(HERE, 0, LIMIT).unwrap();
    assert_eq!((store.add("n", 2).unwrap(), store.add("n", 3).unwrap()), (2, 5));
    assert!(!store.has("key").unwrap());
    let error = store.get("key", Duration::from_millis(50)).unwrap_err().to_string();
    assert!(error.contains("timeout"), "{error}");
    store.set("key", "a value").unwrap();
    assert!(store.has("key").unwrap());
    assert_eq!(store.get("key", LIMIT).unwrap(), "a value");
    let taken = Store::serve(HERE, store.port(), LIMIT).unwrap_err().to_string();
    assert!(taken.contains("in use"), "{taken}");
}

#[test]
fn an_absent_process_is_an_error_at_the_limit() {
    let store = Store::serve(HERE, 0, LIMIT).unwrap();
    let limit = Duration::from_millis(500);
    let error = ProcessGroup::join(&store, 0, 2, HERE, limit).unwrap_err();
    assert!(error.to_string().to_lowercase().contains("time"), "{error}");
}

#[test]
fn other_parameters_in_another_process_are_an_error() {
    let errors = together(2, |group| {
        let weight = Tensor::zeros([3 + group.rank() as i64], (Kind::Float, Device::Cpu));
        let weight = weight.set_requires_grad(true);
        GradientReducer::new(&group, &[&weight], [1 << 20, 1 << 20]).err().map(|e| e.to_string())
    });
    assert!(errors.iter().any(Option::is_some), "{errors:?}");
}
