//! Loaders: the same batches however they are read, flips, windows, ranks, and readers that fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inkdrop_data::Dataset;
use inkdrop_data::loader::BatchSampler;
use inkdrop_data::loader::{Batch, DataLoader, DataLoaderConfig};
use inkdrop_data::{DataError, Images, sprites};
use ndarray::Array4;
use proptest::prelude::*;

/// Images whose pixels tell their number, row and column.
fn images(len: usize, height: usize, width: usize) -> Arc<Images> {
    let pixel = |(n, y, x, c): (usize, usize, usize, usize)| [n, y, x][c] as u8;
    Arc::new(Images::new(Array4::from_shape_fn((len, height, width, 3), pixel)).expect("images"))
}

fn loader(
    source: Arc<dyn Dataset>,
    batches: &BatchSampler,
    config: &DataLoaderConfig,
) -> DataLoader {
    DataLoader::new(source, batches.clone(), config.clone()).expect("a loader")
}

fn run(
    source: Arc<dyn Dataset>,
    batches: &BatchSampler,
    config: &DataLoaderConfig,
    steps: &[usize],
) -> Vec<Batch> {
    let mut loader = loader(source, batches, config);
    steps.iter().map(|&step| loader.batch(step).expect("a batch")).collect()
}

#[test]
fn a_batch_is_the_images_of_its_indices() {
    let (data, batches) =
        (sprites::dataset(1, 20).images, BatchSampler::new(20, 6, 3).expect("plan"));
    for workers in [0, 2] {
        let config = DataLoaderConfig { workers, ..DataLoaderConfig::default() };
        let read = run(Arc::new(data.clone()), &batches, &config, &[0, 1, 2, 3, 4]);
        for (step, batch) in read.iter().enumerate() {
            assert_eq!(batch.indices, batches.indices(step));
            assert_eq!(batch.images, data.select(&batch.indices).expect("images"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn workers_and_jumps_change_nothing(
        len in 1..40usize,
        share in 0..40usize,
        seed: u64,
        flip: bool,
        crop in prop::option::of((1..=5usize, 1..=4usize)),
        jumps in prop::collection::vec(0..30usize, 1..12),
    ) {
        let batches = BatchSampler::new(len, share % len + 1, seed).expect("a plan");
        let crop = crop.map(|(h, w)| [h, w]);
        let config = |workers| DataLoaderConfig { flip, crop, workers };
        let steps: Vec<usize> = (0..30).collect();
        let expected = run(images(len, 5, 4), &batches, &config(0), &steps);
        for workers in [1, 3] {
            prop_assert_eq!(&run(images(len, 5, 4), &batches, &config(workers), &steps), &expected);
        }
        for workers in [0, 2] {
            let jumped = run(images(len, 5, 4), &batches, &config(workers), &jumps);
            for (batch, &step) in jumped.iter().zip(&jumps) {
                prop_assert_eq!(batch, &expected[step]);
            }
        }
    }

    #[test]
    fn shards_partition_each_batch(len in 1..60usize, share in 0..60usize, parts in 0..60usize, seed: u64) {
        let batch = share % len + 1;
        let ranks = parts % batch + 1;
        let whole = BatchSampler::new(len, batch, seed).expect("a plan");
        for step in 0..2 * whole.steps_per_epoch() {
            let expected = whole.indices(step);
            prop_assert_eq!(whole.global_len_at(step), expected.len());
            let mut found = Vec::new();
            for rank in 0..ranks {
                let shard = whole.clone().shard(rank, ranks).expect("a share");
                prop_assert_eq!(shard.len_at(step), shard.indices(step).len());
                prop_assert_eq!(shard.positions(step).start, found.len());
                prop_assert_eq!(shard.global_indices(step), expected.clone());
                found.extend(shard.indices(step));
            }
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn shards_that_cannot_be_are_named() {
    let whole = BatchSampler::new(10, 4, 0).expect("a plan");
    for (rank, ranks) in [(0, 0), (2, 2), (0, 5)] {
        let error = whole.clone().shard(rank, ranks).expect_err("no share").to_string();
        assert!(error.contains(&format!("rank {rank} of {ranks} with batches of 4")), "{error}");
    }
}

#[test]
fn a_rank_without_images_has_an_empty_batch() {
    let batches = BatchSampler::new(10, 4, 0).expect("a plan").shard(0, 4).expect("a share");
    let config = DataLoaderConfig { workers: 1, ..DataLoaderConfig::default() };
    let read = run(images(10, 2, 2), &batches, &config, &[1, 2, 3]);
    assert_eq!(read.iter().map(|batch| batch.images.len()).collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn half_of_the_visits_are_mirrored_and_epochs_differ() {
    let batches = BatchSampler::new(200, 200, 5).expect("a plan");
    let config = DataLoaderConfig { flip: true, ..DataLoaderConfig::default() };
    let read = run(images(200, 1, 2), &batches, &config, &[0, 1, 2, 3]);
    let sides = |batch: &Batch| -> Vec<(usize, u8)> {
        let first = batch.images.view();
        let mut sides: Vec<_> =
            batch.indices.iter().enumerate().map(|(i, &n)| (n, first[[i, 0, 0, 2]])).collect();
        sides.sort();
        sides
    };
    let all: Vec<_> = read.iter().map(sides).collect();
    let mirrored = all.iter().flatten().filter(|(_, column)| *column == 1).count();
    assert!((330..=470).contains(&mirrored), "{mirrored} of 800"); // standard deviation 14
    assert_ne!(all[0], all[1]);
}

#[test]
fn a_window_lies_inside_and_moves() {
    let batches = BatchSampler::new(50, 50, 1).expect("a plan");
    let config = DataLoaderConfig { crop: Some([2, 3]), workers: 2, ..DataLoaderConfig::default() };
    let mut loader = loader(images(50, 4, 6), &batches, &config);
    assert_eq!((loader.shape(), loader.batches().len_at(0)), ([2, 3, 3], 50));
    let batch = loader.batch(0).expect("a batch");
    let mut corners = BTreeSet::new();
    for (image, &index) in batch.images.view().outer_iter().zip(&batch.indices) {
        let (top, left) = (image[[0, 0, 1]], image[[0, 0, 2]]);
        for ((y, x, c), &value) in image.indexed_iter() {
            assert_eq!(value, [index as u8, top + y as u8, left + x as u8][c]);
        }
        corners.insert((top, left));
    }
    assert!(corners.len() > 8 && corners.last() <= Some(&(2, 3)), "{corners:?}");
}

#[test]
fn loaders_that_cannot_be_are_named() {
    let refused = |items, crop, workers, word: &str| {
        let batches = BatchSampler::new(items, 2, 0).expect("a plan");
        let config = DataLoaderConfig { flip: false, crop, workers };
        let error = DataLoader::new(images(4, 3, 2), batches, config).expect_err("no loader");
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(4, Some([3, 3]), 0, "3 x 3 (rows x columns), expected 1 x 1 to 3 x 2");
    refused(4, Some([0, 1]), 0, "0 x 1");
    refused(5, None, 0, "5 images out of 4");
    refused(4, None, 257, "257 reading threads: expected at most 256");
}

/// Images of which some fail when read.
#[derive(Debug)]
struct Faulty {
    images: Arc<Images>,
    broken: Vec<usize>,
    skips: bool,
    slow: Duration,
}

fn faulty(broken: &[usize], skips: bool) -> Arc<Faulty> {
    Arc::new(Faulty {
        images: images(8, 2, 2),
        broken: broken.to_vec(),
        skips,
        slow: Duration::ZERO,
    })
}

impl Dataset for Faulty {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn shape(&self) -> [usize; 3] {
        Dataset::shape(&*self.images)
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        std::thread::sleep(self.slow);
        if self.broken.contains(&index) {
            assert!(self.skips || index != 7, "image 7 is cursed");
            return Err(DataError::Picture(format!("number {index} is torn")));
        }
        self.images.read(index, pixels)
    }

    fn skips(&self) -> bool {
        self.skips
    }
}

#[test]
fn an_error_belongs_to_its_step() {
    let batches = BatchSampler::new(8, 2, 0).expect("a plan");
    for broken in 0..8 {
        let step_of = (0..4).find(|&step| batches.indices(step).contains(&broken));
        let word = if broken == 7 { "image 7 is cursed" } else { "is torn" };
        for workers in [0, 1, 3] {
            let config = DataLoaderConfig { workers, ..DataLoaderConfig::default() };
            let mut loader = loader(faulty(&[broken], false), &batches, &config);
            for step in [0, 1, 2, 3, 3, 2, 1, 0] {
                match loader.batch(step) {
                    Ok(batch) => assert_eq!(batch.indices, batches.indices(step)),
                    Err(error) => {
                        assert_eq!(Some(step), step_of);
                        assert!(error.to_string().contains(word), "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_skipped_image_is_replaced_by_the_next_and_reported_once() {
    let batches = BatchSampler::new(8, 3, 0).expect("a plan");
    for workers in [0, 1, 3] {
        let config = DataLoaderConfig { workers, ..DataLoaderConfig::default() };
        let mut loader = loader(faulty(&[2, 3, 7], true), &batches, &config);
        let mut reports = Vec::new();
        for step in 0..9 {
            let batch = loader.batch(step).expect("a batch");
            let next = |index: usize| [0, 1, 4, 4, 4, 5, 6, 0][index];
            let expected: Vec<usize> = batches.indices(step).into_iter().map(next).collect();
            assert_eq!(batch.indices, expected);
            let shown = (0..batch.images.len()).map(|i| usize::from(batch.images.image(i)[0]));
            assert_eq!(shown.collect::<Vec<_>>(), expected);
            reports.extend(loader.take_skipped().iter().map(ToString::to_string));
        }
        reports.sort();
        assert_eq!(reports, [2, 3, 7].map(|n| format!("picture: number {n} is torn")));
    }
}

#[test]
fn nothing_left_to_read_is_an_error() {
    let batches = BatchSampler::new(8, 3, 0).expect("a plan");
    let every: Vec<usize> = (0..8).collect();
    let mut loader = loader(faulty(&every, true), &batches, &DataLoaderConfig::default());
    let error = loader.batch(0).expect_err("nothing").to_string();
    assert!(error.contains("none of the 8") && error.contains("torn"), "{error}");
}

#[test]
fn a_loader_ends_at_once_and_tells_how_long_it_waited() {
    let slow = Duration::from_millis(20);
    let source = Faulty { images: images(8, 2, 2), broken: vec![], skips: false, slow };
    let source: Arc<dyn Dataset> = Arc::new(source);
    let batches = BatchSampler::new(8, 8, 0).expect("a plan");
    for workers in [0, 2] {
        let config = DataLoaderConfig { workers, ..DataLoaderConfig::default() };
        let mut loader = loader(Arc::clone(&source), &batches, &config);
        loader.batch(0).expect("a batch");
        assert!(loader.waited() >= slow * 8 / 2, "{:?}", loader.waited());
        let begun = Instant::now();
        drop(loader);
        // All that was planned would take 8 · 3 / 2 readings.
        assert!(begun.elapsed() < slow * 8, "{:?}", begun.elapsed());
    }
}

#[test]
fn what_was_read_ahead_is_not_waited_for() {
    let slow = Duration::from_millis(10);
    let source = Faulty { images: images(8, 2, 2), broken: vec![], skips: false, slow };
    let batches = BatchSampler::new(8, 4, 0).expect("a plan");
    let config = DataLoaderConfig { workers: 2, ..DataLoaderConfig::default() };
    let mut loader = loader(Arc::new(source), &batches, &config);
    loader.batch(0).expect("a batch");
    let before = loader.waited();
    std::thread::sleep(slow * 40);
    loader.batch(1).expect("a batch");
    assert!(loader.waited() - before < slow * 2, "{:?}", loader.waited() - before);
}
