//! Folders that are opened: streamed or kept, the same pictures, and what goes wrong meanwhile.

use std::fs;
use std::path::Path;

use inkdrop_data::folder::{
    Broken, FolderConfig, FolderLabels, MEMORY_MIB, OpenFolder, load, open,
};
use inkdrop_data::loader::BatchSampler;
use inkdrop_data::loader::{DataLoader, DataLoaderConfig};
use inkdrop_data::picture::{Picture, encode_png, write_png};
use inkdrop_data::read::MOST_PIXELS;
use inkdrop_data::{ConditionSide, DataError, Labels, PairsConfig, sprites};
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use tempfile::TempDir;

use crate::pillow::fixture;

/// A folder of pictures of one gray each, 4 x 4 pixels.
fn place(names: &[&str]) -> TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    for (gray, name) in names.iter().enumerate() {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a writable folder");
        write_png(path, &Picture::filled(4, 4, [gray as u8; 3])).expect("a picture");
    }
    place
}

fn streaming(path: &Path) -> FolderConfig {
    FolderConfig { memory_mib: 0, ..FolderConfig::new(path) }
}

fn opened(config: &FolderConfig) -> OpenFolder {
    open(config, 3).expect("a folder of pictures")
}

fn refused(config: &FolderConfig, words: &[&str]) {
    let error = open(config, 3).expect_err("nothing to train on").to_string();
    for word in words {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
}

/// The first byte of an image, or what is wrong with it.
fn first(folder: &OpenFolder, index: usize) -> Result<u8, String> {
    let images = &folder.data.images;
    let mut pixels = vec![0; images.shape().iter().product()];
    images.read(index, &mut pixels).map_err(|error| error.to_string())?;
    Ok(pixels[0])
}

#[test]
fn a_streamed_folder_is_the_one_in_memory() {
    for (size, channels) in [(Some(16), 3), (Some(20), 1)] {
        let labels = FolderLabels::None;
        let kept = FolderConfig { size, labels, ..FolderConfig::new(fixture("")) };
        let memory = load(&kept, channels).expect("the fixtures").dataset.images;
        for config in [kept.clone(), FolderConfig { memory_mib: 0, ..kept }] {
            let folder = open(&config, channels).expect("the fixtures");
            let images = folder.data.images;
            assert_eq!((images.len(), images.is_empty()), (memory.len(), false));
            assert_eq!(images.shape(), [size.unwrap_or(0), size.unwrap_or(0), channels]);
            for index in 0..images.len() {
                let mut pixels = vec![0; images.shape().iter().product()];
                images.read(index, &mut pixels).expect("a picture");
                assert_eq!(pixels, memory.image(index), "picture {index}");
            }
        }
    }
}

#[test]
fn a_streamed_folder_has_its_classes() {
    let place = place(&["dog/0.png", "cat/deep/1.png", "dog/2.png", "cat/.x/3.png"]);
    let config = FolderConfig { labels: FolderLabels::Folder, ..streaming(place.path()) };
    let folder = opened(&config);
    assert_eq!(folder.classes, ["cat", "dog"]);
    assert_eq!(folder.data.labels, Labels::Classes { ids: vec![0, 1, 1], count: 2 });
    assert_eq!([0, 1, 2].map(|index| first(&folder, index)), [Ok(1), Ok(0), Ok(2)]);
}

#[test]
fn what_a_config_leaves_out_has_defaults() {
    let fields = MapDeserializer::<_, serde::de::value::Error>::new([("path", "x")].into_iter());
    let config = FolderConfig::deserialize(fields).expect("a config");
    assert_eq!(config, FolderConfig::new("x"));
    assert_eq!((config.memory_mib, MEMORY_MIB), (4096, 4096));
}

#[test]
fn one_picture_is_enough() {
    let place = place(&["only.png"]);
    for memory_mib in [0, 1] {
        let config = FolderConfig { memory_mib, ..FolderConfig::new(place.path()) };
        let images = opened(&config).data.images;
        let batches = BatchSampler::new(images.len(), 1, 0).expect("a plan");
        let mut loader =
            DataLoader::new(images, batches, DataLoaderConfig::default()).expect("a loader");
        assert_eq!(loader.batch(5).expect("a batch").indices, [0]);
    }
}

#[test]
fn headers_are_looked_at_when_a_folder_is_opened() {
    let place = place(&["a.png", "c.png"]);
    fs::write(place.path().join("b.png"), b"\x89PNG\r\n\x1a\n and no more").expect("a file");
    let config = streaming(place.path());
    refused(&config, &["b.png", "broken PNG"]);
    let folder = opened(&FolderConfig { broken: Broken::Skip, ..config.clone() });
    assert_eq!((folder.data.images.len(), folder.notes.len()), (2, 1));
    assert!(folder.notes[0].to_string().contains("b.png"));
    write_png(place.path().join("b.png"), &Picture::filled(9, 6, [2; 3])).expect("a picture");
    refused(&config, &["b.png", "9 x 6", "4 x 4", "a.png", "size"]);
    let thread = Picture::filled(1, 5_000, [0; 3]);
    write_png(place.path().join("b.png"), &thread).expect("a picture");
    refused(&FolderConfig { size: Some(512), ..config }, &["b.png", "too narrow"]);
}

#[test]
fn a_folder_of_broken_headers_is_refused() {
    let place = tempfile::tempdir().expect("a temporary folder");
    fs::write(place.path().join("a.jpg"), b"\xff\xd8\xff\xe0").expect("a file");
    let skipping = FolderConfig { broken: Broken::Skip, ..streaming(place.path()) };
    refused(&skipping, &["none of its 1", "a.jpg", "JPEG"]);
}

/// Cuts the end off the picture of a file whose header stays.
fn tear(path: &Path) {
    let bytes = encode_png(&Picture::of_image(&sprites::dataset(0, 1).images, 0).expect("one"));
    let bytes = bytes.expect("PNG");
    fs::write(path, &bytes[..bytes.len() - 20]).expect("a writable folder");
}

#[test]
fn a_file_that_turns_out_broken_ends_the_run_or_is_replaced() {
    let place = tempfile::tempdir().expect("a temporary folder");
    for gray in 0..5u8 {
        let path = place.path().join(format!("c{}_{gray}.png", gray % 2));
        write_png(path, &Picture::filled(16, 16, [gray; 3])).expect("a picture");
    }
    tear(&place.path().join("c1_3.png")); // the last one of 0, 2, 4, 1, 3
    let config = FolderConfig { labels: FolderLabels::Prefix, ..streaming(place.path()) };
    let failing = opened(&config);
    let error = first(&failing, 4).expect_err("a torn picture");
    assert!(error.contains("c1_3.png") && error.contains("broken PNG"), "{error}");
    let skipping = opened(&FolderConfig { broken: Broken::Skip, ..config });
    assert!(skipping.notes.is_empty());
    let batches = BatchSampler::new(5, 5, 0).expect("a plan");
    for workers in [0, 2] {
        let config = DataLoaderConfig { workers, ..DataLoaderConfig::default() };
        let images = skipping.data.images.clone();
        let mut loader = DataLoader::new(images, batches.clone(), config).expect("a loader");
        for step in 0..3 {
            let expected: Vec<usize> = batches.indices(step).iter().map(|i| i % 4).collect();
            assert_eq!(loader.batch(step).expect("a batch").indices, expected);
        }
        let reports = loader.take_skipped();
        assert!(reports.len() == 1 && reports[0].to_string().contains("c1_3.png"), "{reports:?}");
    }
}

#[test]
fn a_file_that_changes_its_size_is_named() {
    let place = place(&["a.png", "b.png"]);
    let folder = opened(&streaming(place.path()));
    write_png(place.path().join("b.png"), &Picture::filled(5, 4, [1; 3])).expect("a picture");
    let error = first(&folder, 1).expect_err("another size");
    assert!(error.contains("b.png") && error.contains("5 x 4"), "{error}");
    let error = first(&folder, 2).expect_err("no such picture");
    assert!(error.contains("image 2, expected 0 to 1"), "{error}");
}

#[test]
fn memory_is_what_the_fitted_pictures_take() {
    // 8 MiB of pixels each.
    let place = tempfile::tempdir().expect("a temporary folder");
    for name in ["a.png", "b.png"] {
        let picture = Picture::filled(2048, 1366, [3; 3]);
        write_png(place.path().join(name), &picture).expect("a picture");
    }
    let torn = place.path().join("b.png");
    let bytes = fs::read(&torn).expect("a picture");
    fs::write(&torn, &bytes[..bytes.len() - 20]).expect("a writable folder");
    // Streamed, the torn one is not noticed.
    let config =
        |memory_mib, size| FolderConfig { memory_mib, size, ..FolderConfig::new(place.path()) };
    assert_eq!(opened(&config(15, None)).data.images.len(), 2);
    refused(&config(17, None), &["b.png", "broken"]);
    assert_eq!(opened(&config(5, Some(1024))).data.images.len(), 2);
    refused(&config(6, Some(1024)), &["b.png", "broken"]);
}

#[test]
#[cfg(unix)]
fn links_that_lead_in_circles_are_read_once() {
    use std::os::unix::fs::symlink;
    let place = place(&["a.png", "sub/b.png", "cats/deep/c.png"]);
    symlink(place.path(), place.path().join("sub/up")).expect("a link");
    symlink(place.path().join("sub"), place.path().join("z")).expect("a link");
    symlink(place.path().join("a.png"), place.path().join("sub/again.png")).expect("a link");
    let found: Vec<u8> = (0..4).flat_map(|i| first(&opened(&streaming(place.path())), i)).collect();
    assert_eq!(found, [0, 2, 0, 1]);
    // A link that leads nowhere is left out, unless that is to be an error.
    symlink(place.path().join("gone.png"), place.path().join("sub/lost.png")).expect("a link");
    symlink("itself.png", place.path().join("itself.png")).expect("a link");
    for broken in [Broken::FailDamaged, Broken::Skip] {
        let folder = opened(&FolderConfig { broken, ..FolderConfig::new(place.path()) });
        assert_eq!(folder.data.images.len(), 4);
        let notes: Vec<String> = folder.notes.iter().map(ToString::to_string).collect();
        let counted = "left out: 2 link to a folder that is listed already";
        assert!(notes.iter().any(|note| note == counted), "{notes:?}");
        for name in ["lost.png", "itself.png"] {
            assert!(notes.iter().any(|note| note.contains(name)), "no {name} in {notes:?}");
        }
    }
    let failing = FolderConfig { broken: Broken::Fail, ..FolderConfig::new(place.path()) };
    refused(&failing, &["itself.png", "cannot be read", "data.broken"]);
}

/// A picture of a pair belongs to its partner: none is left out, and no error says that it could be.
#[test]
fn a_broken_picture_of_a_pair_is_an_error_that_advises_what_pairs_have() {
    let place = place(&["image/a.png", "image/b.png", "other/a.png", "other/b.png"]);
    let file = place.path().join("image/b.png");
    let whole = fs::read(&file).expect("a picture");
    for (memory_mib, conditions) in [(MEMORY_MIB, true), (MEMORY_MIB, false), (0, true), (0, false)]
    {
        let error = |max_pixels| {
            let config = PairsConfig {
                path: place.path().join("image"),
                conditions: conditions.then(|| place.path().join("other")),
                condition_side: ConditionSide::Left,
                size: None,
                labels: FolderLabels::None,
                memory_mib,
                max_pixels,
            };
            let images = config.open(3, 3)?.data.images;
            let mut pixels = vec![0; images.shape().iter().product()];
            images.read(1, &mut pixels)?;
            Ok::<(), DataError>(())
        };
        error(16).expect("pictures of 16 pixels");
        let large = error(15).expect_err("pictures of 16 pixels").to_string();
        assert!(large.contains("data.max_pixels") && !large.contains("data.broken"), "{large}");
        fs::write(&file, &whole[..whole.len() - 30]).expect("a writable folder");
        let cut = error(MOST_PIXELS).expect_err("a truncated picture").to_string();
        assert!(cut.contains("b.png") && !cut.contains("data.broken"), "{cut}");
        fs::write(&file, &whole).expect("a writable folder");
    }
}
