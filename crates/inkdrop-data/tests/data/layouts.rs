//! Datasets that are found by their files, archives of pictures, and notes on what is left out.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use inkdrop_data::folder::{self, Broken, Folder, FolderConfig, FolderLabels, OpenFolder};
use inkdrop_data::layout::Layout;
use inkdrop_data::picture::{Picture, encode_png, write_png};
use inkdrop_data::read::find;
use inkdrop_data::{Images, InMemoryDataset, Labels, cifar, npy, npz};
use ndarray::Array4;
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use npyz::zip::write::FileOptions;
use npyz::zip::{CompressionMethod, ZipWriter};
use tempfile::TempDir;

fn empty() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a writable folder");
    fs::write(path, bytes).expect("a writable folder");
}

/// A picture of one gray, 4 x 4 pixels.
fn png(gray: u8) -> Vec<u8> {
    encode_png(&Picture::filled(4, 4, [gray; 3])).expect("PNG")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("memory");
    packed.finish().expect("memory")
}

fn load(config: &FolderConfig) -> Folder {
    folder::load(config, 3).expect("a dataset")
}

fn error(config: &FolderConfig) -> String {
    folder::load(config, 3).expect_err("no dataset").to_string()
}

fn notes(folder: &Folder) -> Vec<String> {
    folder.notes.iter().map(ToString::to_string).collect()
}

/// The first byte of each image.
fn grays(folder: &Folder) -> Vec<u8> {
    let images = &folder.dataset.images;
    (0..images.len()).map(|index| images.image(index)[0]).collect()
}

fn ids(labels: &Labels) -> (Vec<u32>, usize) {
    match labels {
        Labels::Classes { ids, count } => (ids.clone(), *count),
        other => panic!("{other:?} are no classes"),
    }
}

/// An IDX file of bytes.
fn idx(magic: u32, sides: &[u32], value: u8) -> Vec<u8> {
    let header = [magic].into_iter().chain(sides.iter().copied());
    let mut bytes: Vec<u8> = header.flat_map(u32::to_be_bytes).collect();
    bytes.extend(vec![value; sides.iter().product::<u32>() as usize]);
    bytes
}

#[test]
fn mnist_is_found_plain_and_packed_and_fitted() {
    for (inner, ending, packed) in [("", "", false), ("MNIST/raw/", ".gz", true)] {
        let place = empty();
        let put = |name: &str, bytes: Vec<u8>| {
            let bytes = if packed { gzip(&bytes) } else { bytes };
            put(place.path(), &format!("{inner}{name}{ending}"), &bytes);
        };
        put("train-images-idx3-ubyte", idx(2051, &[5, 8, 8], 9));
        put("train-labels-idx1-ubyte", idx(2049, &[5], 2));
        put("t10k-images-idx3-ubyte", idx(2051, &[2, 8, 8], 7));
        put("t10k-labels-idx1-ubyte", idx(2049, &[2], 1));
        let config =
            FolderConfig { labels: FolderLabels::Folder, ..FolderConfig::new(place.path()) };
        let found = load(&FolderConfig { size: Some(4), ..config.clone() });
        assert_eq!(found.dataset.images.view().shape(), [5, 4, 4, 3]);
        assert_eq!((grays(&found), ids(&found.dataset.labels)), (vec![9; 5], (vec![2; 5], 3)));
        assert!(notes(&found)[0].contains("MNIST") && notes(&found)[0].contains("5 images"));
        let gray = folder::load(&FolderConfig { labels: FolderLabels::None, ..config }, 1);
        let gray = gray.expect("a dataset").dataset;
        assert_eq!((gray.images.view().shape(), gray.labels), (&[5, 8, 8, 1][..], Labels::None));
    }
}

/// A packed file of a few bytes whose header claims gigabytes.
#[test]
fn a_packed_idx_file_that_grows_too_much_is_refused() {
    let place = empty();
    let header = [2051, 2_000_000u32, 28, 28].into_iter();
    let bytes: Vec<u8> = header.flat_map(u32::to_be_bytes).collect();
    put(place.path(), "images-idx3-ubyte.gz", &gzip(&bytes));
    let found = error(&FolderConfig::new(place.path()));
    assert!(found.contains("expected at most 1073741824") && found.contains("unpack"), "{found}");
}

/// Only gray and RGB images are resized or converted.
#[test]
fn arrays_of_other_channels_are_refused() {
    let place = empty();
    for channels in [2, 4] {
        let images = Images::new(Array4::zeros((2, 8, 8, channels))).expect("images");
        let set = InMemoryDataset::new(images, Labels::None).expect("a dataset");
        let path = place.path().join("x.npy");
        npy::write(&path, Path::new("unused"), &set).expect("a file");
        let found = error(&FolderConfig::new(&path));
        let words = [&format!("{channels} channels")[..], "only gray and RGB"];
        assert!(words.iter().all(|word| found.contains(word)), "{found}");
    }
}

/// Folders are no pickles, whatever their names.
#[test]
fn folders_with_the_names_of_cifar_are_pictures() {
    let place = empty();
    for name in ["train/1.png", "meta/2.png", "data_batch_1/3.png"] {
        put(place.path(), name, &png(1));
    }
    assert_eq!(Layout::detect(place.path()).expect("a folder"), Some(Layout::Folder));
    assert_eq!(grays(&load(&FolderConfig::new(place.path()))), [1; 3]);
}

/// A record of CIFAR with labels and one value for each plane.
fn record(labels: &[u8], planes: [u8; 3]) -> Vec<u8> {
    labels.iter().copied().chain(planes.into_iter().flat_map(|value| [value; 1024])).collect()
}

#[test]
fn cifar_100_is_told_from_cifar_10() {
    let place = empty();
    let records = [record(&[3, 99], [1, 2, 3]), record(&[0, 4], [5, 6, 7])].concat();
    put(place.path(), "cifar-100-binary/train.bin", &records);
    put(place.path(), "cifar-100-binary/test.bin", &record(&[0, 0], [0; 3]));
    for path in [place.path().to_path_buf(), place.path().join("cifar-100-binary/train.bin")] {
        let layout = Layout::detect(&path).expect("a path").expect("a kind");
        let (dataset, names) = layout.load().expect("two records");
        assert_eq!(ids(&dataset.labels), (vec![99, 4], 100));
        assert_eq!((&*names[99], &*names[4], names.len()), ("worm", "beaver", 100));
        assert_eq!(dataset.images.image(0)[..6], [1, 2, 3, 1, 2, 3]);
    }
    put(place.path(), "cifar-10-batches-bin/data_batch_1.bin", &record(&[9], [1, 2, 3]));
    let config = FolderConfig { labels: FolderLabels::Folder, ..FolderConfig::new(place.path()) };
    let found = load(&config);
    assert_eq!((ids(&found.dataset.labels), &*found.classes[9]), ((vec![9], 10), "truck"));
}

#[test]
fn planes_and_labels_make_a_cifar_dataset() {
    let planes: Vec<u8> = [record(&[], [1, 2, 3]), record(&[], [4, 5, 6])].concat();
    let dataset = cifar::from_planes(&planes, vec![7, 0], 10).expect("two images");
    assert_eq!(dataset.images.image(1)[..6], [4, 5, 6, 4, 5, 6]);
    assert_eq!(ids(&dataset.labels), (vec![7, 0], 10));
    let refused = |planes: &[u8], ids, classes| {
        cifar::from_planes(planes, ids, classes).expect_err("no dataset").to_string()
    };
    assert!(refused(&planes[1..], vec![0, 0], 10).contains("6143 bytes"));
    assert!(refused(&planes, vec![0], 10).contains("1 labels for 2 images"));
    assert!(refused(&planes, vec![0, 10], 10).contains("class 10 of image 1"));
}

#[test]
fn pickled_cifar_is_found_and_read_by_others() {
    let cases: [(&[&str], &[&str]); 2] = [
        (
            &["data_batch_1", "data_batch_2", "test_batch", "batches.meta"],
            &["data_batch_1", "data_batch_2"],
        ),
        (&["train", "test", "meta"], &["train"]),
    ];
    for (files, training) in cases {
        let place = empty();
        for file in files {
            put(place.path(), file, b"\x80\x02}q\0.");
        }
        let training: Vec<_> = training.iter().map(|name| place.path().join(name)).collect();
        let layout = Layout::detect(place.path()).expect("a folder");
        assert_eq!(layout, Some(Layout::CifarPickles(training.clone())));
        let one = Layout::detect(&training[0]).expect("a file");
        assert_eq!(one, Some(Layout::CifarPickles(training[..1].to_vec())));
        let error = error(&FolderConfig::new(place.path()));
        let words = ["pickled", "cifar-10-binary.tar.gz"];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

/// An archive as ImageNet's: rows of planes, and labels from 1.
fn published(path: &Path, labels: &[i64], side: u64) {
    let mut archive = NpzWriter::new(File::create(path).expect("a writable folder"));
    let rows = [labels.len() as u64, 3 * side * side];
    let array = archive.array("data", FileOptions::default()).expect("an array");
    let mut writer = array.default_dtype().shape(&rows).begin_nd().expect("an array");
    for label in labels {
        let planes = (0..3).flat_map(|c| vec![(label * 3 + c) as u8; (side * side) as usize]);
        writer.extend(planes).expect("values");
    }
    writer.finish().expect("an array");
    let array = archive.array("labels", FileOptions::default()).expect("an array");
    let shape = [labels.len() as u64];
    let mut writer = array.default_dtype().shape(&shape).begin_nd().expect("an array");
    writer.extend(labels.iter().copied()).expect("values");
    writer.finish().expect("an array");
    archive.zip_writer().finish().expect("an archive");
}

#[test]
fn imagenet_of_32_and_64_pixels_is_read() {
    let place = empty();
    let path = |name: &str| place.path().join(name);
    published(&path("train_data_batch_10.npz"), &[4, 1], 8);
    let one = npz::load(path("train_data_batch_10.npz")).expect("an archive");
    assert_eq!(one.images.view().shape(), [2, 8, 8, 3]);
    assert_eq!(
        (one.images.image(0)[..3].to_vec(), ids(&one.labels)),
        (vec![12, 13, 14], (vec![3, 0], 4))
    );
    published(&path("train_data_batch_2.npz"), &[2], 8);
    published(&path("val_data.npz"), &[9], 8);
    let config = FolderConfig { labels: FolderLabels::Folder, ..FolderConfig::new(place.path()) };
    let all = load(&config);
    // Number 2 comes before number 10.
    assert_eq!((grays(&all), ids(&all.dataset.labels)), (vec![6, 12, 3], (vec![1, 3, 0], 4)));
    published(&path("train_data_batch_3.npz"), &[1], 4);
    let error = error(&config);
    assert!(
        error.contains("train_data_batch_3.npz") && error.contains("8 x 8 as before"),
        "{error}"
    );
}

const MEMBERS: [(&str, u8); 3] =
    [("set/dog/2.png", 2), ("set/cat/1.png", 1), ("set/cat/deep/3.png", 3)];
const REST: [&str; 4] =
    ["set/notes.txt", "set/.DS_Store", "__MACOSX/set/cat/._1.png", "../../up.txt"];

fn zip_of(path: &Path) {
    let mut zip = ZipWriter::new(File::create(path).expect("a writable folder"));
    for (index, (name, gray)) in MEMBERS.into_iter().enumerate() {
        let method = [CompressionMethod::Stored, CompressionMethod::Deflated][index % 2];
        zip.start_file(name, FileOptions::default().compression_method(method)).expect("a member");
        zip.write_all(&png(gray)).expect("a member");
    }
    for name in REST {
        zip.start_file(name, FileOptions::default()).expect("a member");
    }
    zip.finish().expect("an archive");
}

fn tar_of() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        let field = &mut header.as_gnu_mut().expect("GNU's header").name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes).expect("memory");
    };
    MEMBERS.into_iter().for_each(|(name, gray)| add(name, &png(gray)));
    REST.into_iter().for_each(|name| add(name, b""));
    tar.into_inner().expect("memory")
}

/// The name of `set/cat/1.png` once more, as a link of a kind.
fn tar_with_link(kind: tar::EntryType) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(png(1).len() as u64);
    tar.append_data(&mut header, "set/cat/1.png", &png(1)[..]).expect("memory");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    tar.append_link(&mut header, "set/cat/2.png", "set/cat/1.png").expect("memory");
    tar.into_inner().expect("memory")
}

#[test]
fn links_of_a_tar_archive_are_counted() {
    let place = empty();
    for kind in [tar::EntryType::Link, tar::EntryType::Symlink] {
        let bytes = tar_with_link(kind);
        for (name, bytes) in [("a.tar", bytes.clone()), ("a.tar.gz", gzip(&bytes))] {
            put(place.path(), name, &bytes);
            let found = load(&FolderConfig::new(place.path().join(name)));
            assert_eq!(grays(&found), [1]);
            assert_eq!(notes(&found)[1..], ["left out: 1 link"], "{name}");
        }
    }
}

/// Puts the same pictures into an archive of each kind.
fn archives(place: &Path) -> [std::path::PathBuf; 3] {
    let paths = ["a.zip", "a.tar", "a.tar.gz"].map(|name| place.join(name));
    zip_of(&paths[0]);
    fs::write(&paths[1], tar_of()).expect("a writable folder");
    fs::write(&paths[2], gzip(&tar_of())).expect("a writable folder");
    paths
}

#[test]
fn archives_are_read_in_place() {
    let place = empty();
    for path in archives(place.path()) {
        let config = FolderConfig { labels: FolderLabels::Folder, ..FolderConfig::new(&path) };
        let found = load(&config);
        assert_eq!(found.classes, ["cat", "dog"]);
        assert_eq!(grays(&found), [1, 3, 2], "{}", path.display());
        assert_eq!(ids(&found.dataset.labels), (vec![0, 0, 1], 2));
        let notes = notes(&found);
        assert!(notes[0].contains("archive of pictures (3)"), "{notes:?}");
        assert_eq!(notes[1], "left out: 2 .txt, 1 __MACOSX, 1 hidden file");
        // Streamed, where the kind of archive has random access.
        if !path.ends_with("a.tar.gz") {
            let OpenFolder { data, .. } =
                folder::open(&FolderConfig { memory_mib: 0, ..config }, 3).expect("a dataset");
            let mut pixels = vec![0; 48];
            data.images.read(2, &mut pixels).expect("a picture");
            assert_eq!(pixels, [2; 48]);
        }
    }
    // Nothing was unpacked.
    assert_eq!(fs::read_dir(place.path()).expect("the folder").count(), 3);
    let above = place.path().parent().and_then(Path::parent).expect("a folder above");
    assert!(!above.join("up.txt").exists());
}

#[test]
fn cut_archives_are_named() {
    let place = empty();
    for path in archives(place.path()) {
        let whole = fs::read(&path).expect("an archive");
        for length in (1..whole.len() * 3 / 5).step_by(97) {
            fs::write(&path, &whole[..length]).expect("a writable folder");
            let error = error(&FolderConfig::new(&path));
            assert!(error.contains("a.") && error.len() < 400, "{error}");
        }
    }
}

#[test]
fn archives_that_grow_too_much_are_refused() {
    let place = empty();
    let path = place.path().join("bomb.zip");
    let mut zip = ZipWriter::new(File::create(&path).expect("a writable folder"));
    zip.start_file("x.png", FileOptions::default()).expect("a member");
    for _ in 0..65 {
        zip.write_all(&vec![0; 1 << 20]).expect("a member");
    }
    zip.finish().expect("an archive");
    let found = error(&FolderConfig::new(&path));
    assert!(found.contains("zip bomb") && found.contains("x.png"), "{found}");
    // A compressed tar archive is kept in memory, within the limit for pictures.
    let path = place.path().join("a.tar.gz");
    fs::write(&path, gzip(&tar_of())).expect("a writable folder");
    let found = error(&FolderConfig { memory_mib: 0, ..FolderConfig::new(&path) });
    assert!(found.contains("memory_mib = 0") && found.contains(".tar"), "{found}");
}

#[test]
fn other_containers_are_named() {
    let place = empty();
    let check = |name: &str, bytes: &[u8], word: &str| {
        put(place.path(), name, bytes);
        let error = error(&FolderConfig::new(place.path().join(name)));
        assert!(error.contains(word) && error.contains(name), "no `{word}` in: {error}");
    };
    check("x.parquet", b"PAR1....PAR1", "parquet");
    check("x.tar.xz", b"\xfd7zXZ\0", "xz");
    check("x.7z", b"7z\xbc\xaf\x27\x1c", "7z");
    check("x.zip", b"version https://git-lfs.github.com/spec/v1\n", "LFS");
    check("y.zip", b"<!DOCTYPE html><html>", "HTML");
}

#[test]
fn what_is_no_picture_is_counted_by_ending() {
    let place = empty();
    put(place.path(), "cat/1.png", &png(1));
    put(place.path(), "dog/2.png", &png(2));
    for index in 0..3 {
        put(place.path(), &format!("cat/{index}.TXT"), b"words");
    }
    for name in ["a.heic", "b.json", "README", "Thumbs.db", ".DS_Store", "cat/.hidden.png"] {
        put(place.path(), name, b"x");
    }
    for name in ["__MACOSX/cat/._1.png", ".ipynb_checkpoints/1.png", "cat/@eaDir/1.png"] {
        put(place.path(), name, b"x");
    }
    let config = FolderConfig { labels: FolderLabels::Folder, ..FolderConfig::new(place.path()) };
    let found = load(&config);
    assert_eq!(
        (grays(&found), &found.classes),
        (vec![1, 2], &vec!["cat".into(), "dog".to_string()])
    );
    let expected = "left out: 3 .txt, 2 hidden file, 1 .db, 1 .heic, 1 .json, 1 @eaDir, 1 __MACOSX, \
                    1 hidden folder, 1 without an ending";
    assert_eq!(notes(&found), [expected]);
    let listed = find(&[place.path()]).expect("pictures");
    assert_eq!((listed.files.len(), listed.notes[0].to_string()), (2, expected.to_owned()));
}

#[test]
fn a_folder_of_pictures_that_are_not_read_says_what_it_holds() {
    let place = empty();
    put(place.path(), "a.heic", b"x");
    put(place.path(), "b.avif", b"x");
    let error = error(&FolderConfig::new(place.path()));
    for word in ["no picture", "1 .avif", "1 .heic", "convert"] {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
}

/// Whether the link or the folder comes first, the class is listed once.
#[test]
#[cfg(unix)]
fn a_link_to_a_class_is_no_class() {
    for link in ["a", "z"] {
        let place = empty();
        put(place.path(), "cat/1.png", &png(1));
        put(place.path(), "dog/2.png", &png(2));
        std::os::unix::fs::symlink("cat", place.path().join(link)).expect("a link");
        let config =
            FolderConfig { labels: FolderLabels::Folder, ..FolderConfig::new(place.path()) };
        let found = load(&config);
        assert_eq!(ids(&found.dataset.labels).1, 2, "{:?}", found.classes);
        assert_eq!(notes(&found), ["left out: 1 link to a folder that is listed already"]);
    }
}

#[test]
#[cfg(unix)]
fn pipes_and_devices_are_left_out() {
    let place = empty();
    put(place.path(), "1.png", &png(1));
    std::os::unix::fs::symlink("/dev/zero", place.path().join("2.png")).expect("a link");
    let found = load(&FolderConfig::new(place.path()));
    assert_eq!(
        (grays(&found), notes(&found)),
        (vec![1], vec!["left out: 1 pipe, socket or device".into()])
    );
}

#[test]
fn remarks_of_one_kind_are_one_note() {
    let place = empty();
    for name in ["a.png", "b.png", "c.png"] {
        let whole = png(3);
        put(place.path(), name, &whole[..whole.len() - 12]);
    }
    let found = load(&FolderConfig::new(place.path()));
    let [note] = &notes(&found)[..] else { panic!("{:?}", notes(&found)) };
    assert!(
        note.starts_with("3 pictures: ") && note.contains("IEND") && note.contains("a.png"),
        "{note}"
    );
}

#[test]
fn a_damaged_picture_names_the_key_that_skips_it() {
    let place = empty();
    write_png(place.path().join("a.png"), &Picture::filled(4, 4, [1; 3])).expect("a picture");
    put(place.path(), "b.png", &png(2)[..45]);
    for broken in [Broken::FailDamaged, Broken::Fail] {
        let config = FolderConfig { broken, ..FolderConfig::new(place.path()) };
        let found = error(&config);
        assert!(found.contains("b.png") && found.contains("data.broken = \"skip\""), "{found}");
        let streamed = folder::open(&FolderConfig { memory_mib: 0, ..config }, 3).expect("headers");
        let found = streamed.data.images.read(1, &mut [0; 48]).expect_err("a cut one").to_string();
        assert!(found.contains("b.png") && found.contains("data.broken = \"skip\""), "{found}");
    }
    let config = FolderConfig { broken: Broken::Skip, ..FolderConfig::new(place.path()) };
    assert_eq!(grays(&load(&config)), [1]);
}
