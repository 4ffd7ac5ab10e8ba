//! Laws of samples that are written while they are made.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use inkdrop_data::stream::{SampleStream, count};
use inkdrop_data::{DataError, Images, npz, sprites};
use ndarray::{Array1, Array2, ArrayView1, array};
use npyz::npz::NpzArchive;
use tempfile::TempDir;

const SHAPE: [usize; 3] = [16, 16, 3];

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn partial(&self) -> PathBuf {
        self.0.path().join("x.npz.partial.npy")
    }

    fn npz(&self) -> PathBuf {
        self.0.path().join("x.npz")
    }
}

fn part(from: usize, to: usize) -> Images {
    sprites::dataset(3, 10).images.select(&(from..to).collect::<Vec<_>>()).unwrap()
}

/// Shape and pixels of the file as any reader of numpy files sees it.
fn read(path: &PathBuf) -> (Vec<u64>, Vec<u8>) {
    let npy = npyz::NpyFile::new(std::io::BufReader::new(fs::File::open(path).unwrap())).unwrap();
    (npy.shape().to_vec(), npy.into_vec().unwrap())
}

#[test]
fn the_file_is_an_npy_after_every_batch() {
    let place = Place::new();
    let mut samples = SampleStream::create(place.partial(), SHAPE).unwrap();
    assert_eq!(read(&place.partial()), (vec![0, 16, 16, 3], vec![]));
    for (from, to) in [(0, 4), (4, 8), (8, 10)] {
        samples.push(&part(from, to)).unwrap();
        let all = (vec![to as u64, 16, 16, 3], part(0, to).bytes().to_vec());
        assert_eq!(read(&place.partial()), all);
        assert_eq!((samples.len(), count(place.partial(), SHAPE).unwrap()), (to, to));
    }
}

#[test]
fn a_stream_makes_the_archive_of_all_at_once() {
    let place = Place::new();
    let context = array![0.25f32, 0.0];
    let (labels, rows) = (vec![3; 10], Array2::from_shape_fn((10, 2), |(_, k)| context[k]));
    npz::write_samples(place.npz(), &part(0, 10), Some(&labels), Some(&rows)).unwrap();
    let at_once = fs::read(place.npz()).unwrap();

    let mut samples = SampleStream::create(place.partial(), SHAPE).unwrap();
    samples.push(&part(0, 7)).unwrap();
    samples.push(&part(7, 10)).unwrap();
    let label = Array1::from_elem(1, 3);
    let (labels, rows) = (label.broadcast(10).unwrap(), context.broadcast((10, 2)).unwrap());
    samples.finish(place.npz(), Some(labels), Some(rows)).unwrap();
    assert!(fs::read(place.npz()).unwrap() == at_once);
    assert!(!place.partial().exists());
    let mut archive = NpzArchive::open(place.npz()).unwrap();
    let pixels = archive.by_name("arr_0").unwrap().unwrap();
    assert_eq!(pixels.into_vec::<u8>().unwrap(), part(0, 10).bytes());
}

#[test]
fn what_is_not_counted_is_cut_off() {
    let place = Place::new();
    let mut samples = SampleStream::create(place.partial(), SHAPE).unwrap();
    samples.push(&part(0, 4)).unwrap();
    drop(samples);
    // Killed in the middle of a batch: images without a header that counts them.
    let mut file = OpenOptions::new().append(true).open(place.partial()).unwrap();
    file.write_all(&part(4, 6).bytes()[..1000]).unwrap();
    assert_eq!(count(place.partial(), SHAPE).unwrap(), 4);
    let mut samples = SampleStream::open(place.partial(), SHAPE).unwrap();
    assert_eq!(samples.len(), 4);
    samples.push(&part(4, 8)).unwrap();
    assert_eq!(read(&place.partial()).1, part(0, 8).bytes());
    samples.truncate(5).unwrap();
    samples.truncate(7).unwrap();
    assert_eq!(samples.len(), 5);
    assert_eq!(read(&place.partial()), (vec![5, 16, 16, 3], part(0, 5).bytes().to_vec()));
}

#[test]
fn another_shape_is_refused_with_both() {
    let place = Place::new();
    let mut samples = SampleStream::create(place.partial(), [16, 16, 1]).unwrap();
    let error = samples.push(&part(0, 1)).unwrap_err().to_string();
    assert!(error.contains("[16, 16, 3]") && error.contains("[16, 16, 1]"), "{error}");
    drop(samples);
    let error = SampleStream::open(place.partial(), SHAPE).unwrap_err().to_string();
    assert!(error.contains("[16, 16, 3]") && error.contains("x.npz.partial.npy"), "{error}");
}

#[test]
fn damaged_files_are_named_and_stay() {
    let place = Place::new();
    let mut samples = SampleStream::create(place.partial(), SHAPE).unwrap();
    samples.push(&part(0, 2)).unwrap();
    drop(samples);
    let whole = fs::read(place.partial()).unwrap();
    for length in [0, 1, 100, 192, whole.len() - 1] {
        fs::write(place.partial(), &whole[..length]).unwrap();
        let error = SampleStream::open(place.partial(), SHAPE).unwrap_err();
        assert!(matches!(error, DataError::File { .. }), "{length}: {error}");
        assert_eq!(fs::read(place.partial()).unwrap().len(), length);
    }
    fs::remove_file(place.partial()).unwrap();
    assert!(matches!(count(place.partial(), SHAPE), Err(DataError::Read { .. })));
}

#[test]
fn two_writers_of_one_file_are_one_too_many() {
    let place = Place::new();
    let first = SampleStream::create(place.partial(), SHAPE).unwrap();
    let error = SampleStream::open(place.partial(), SHAPE).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
    drop(first);
    SampleStream::open(place.partial(), SHAPE).unwrap();
}

#[test]
fn a_failure_at_the_end_loses_no_image() {
    let place = Place::new();
    let mut samples = SampleStream::create(place.partial(), SHAPE).unwrap();
    samples.push(&part(0, 3)).unwrap();
    let error = samples.finish(place.npz(), Some(ArrayView1::from(&[1, 2])), None).unwrap_err();
    assert!(error.to_string().contains("2 labels for 3 images"), "{error}");
    let samples = SampleStream::open(place.partial(), SHAPE).unwrap();
    assert!(samples.finish(place.npz().join("missing/x.npz"), None, None).is_err());
    assert_eq!(count(place.partial(), SHAPE).unwrap(), 3);
    assert!(!place.npz().exists());
}
