//! Every kind of picture file beside Pillow's pixels; `tests/files/make.py` made both.

use std::fs;
use std::path::{Path, PathBuf};

use inkdrop_data::folder::{self, FolderConfig};
use inkdrop_data::picture::Picture;
use inkdrop_data::read::{
    Animation, Decoded, Orientation, PictureOptions, Transparent, decode_picture, read_picture,
};
use proptest::prelude::*;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

fn picture(path: &Path) -> Picture {
    read_picture(path).expect("a picture")
}

fn answer(name: &str) -> Picture {
    picture(&file(&format!("{name}.answer.png")))
}

/// The largest difference of a byte.
fn difference(found: &Picture, expected: &Picture) -> u8 {
    assert_eq!((found.width(), found.height()), (expected.width(), expected.height()));
    let pairs = found.pixels().iter().zip(expected.pixels());
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or_default()
}

fn decode(name: &str, options: PictureOptions) -> Result<Decoded, String> {
    decode_picture(file(name), &options).map_err(|error| error.to_string())
}

#[test]
fn jpegs_of_every_sampling_and_scan_order_equal_pillow() {
    for sampling in ["444", "422", "420", "440", "411", "410", "mixed"] {
        for kind in ["base", "scans", "progressive", "scans_restart"] {
            let name = format!("{kind}_{sampling}.jpg");
            assert_eq!(difference(&picture(&file(&name)), &answer(sampling)), 0, "{name}");
        }
    }
    for inks in ["cmyk", "ycck"] {
        assert_eq!(difference(&picture(&file(&format!("{inks}.jpg"))), &answer(inks)), 0, "{inks}");
    }
}

#[test]
fn a_cut_jpeg_is_refused_whatever_its_scans() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cut.jpg");
    for name in ["base_420.jpg", "scans_420.jpg", "progressive_420.jpg", "scans_restart_440.jpg"] {
        let whole = fs::read(file(name)).expect("a file");
        for length in (4..whole.len() - 1).step_by(3) {
            fs::write(&path, &whole[..length]).expect("a writable folder");
            let error = read_picture(&path).expect_err("a cut picture").to_string();
            assert!(error.contains("cut.jpg") && error.contains("broken JPEG"), "{name}: {error}");
            // The end marker alone does not make it whole, unless it ends between progressive scans
            // or within the last bits.
            if !name.starts_with("progressive") && length + 8 < whole.len() {
                let ended = [&whole[..length], &[0xff, 0xd9]].concat();
                fs::write(&path, ended).expect("a writable folder");
                read_picture(&path).expect_err("a cut picture with an end");
            }
        }
    }
}

#[test]
fn jpegs_that_are_not_read_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.jpg");
    let whole = fs::read(file("base_444.jpg")).expect("a file");
    let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    let check = |change: &dyn Fn(&mut [u8]), word: &str| {
        let mut bytes = whole.clone();
        change(&mut bytes[frame..]);
        fs::write(&path, bytes).expect("a writable folder");
        let error = read_picture(&path).expect_err("of another kind").to_string();
        assert!(error.contains(word), "no `{word}` in: {error}");
    };
    check(&|frame| frame[1] = 0xc9, "arithmetic");
    check(&|frame| frame[1] = 0xc3, "lossless");
    check(&|frame| frame[4] = 12, "12 bits");
    // Sampling factors 3 beside 2.
    check(&|frame| (frame[11], frame[14]) = (0x31, 0x21), "sampling factors 2 x 1 beside 3 x 1");
}

#[test]
fn webp_bmp_tiff_and_qoi_equal_pillow() {
    let cases = [
        ("lossless.webp", "rgb"),
        ("lossy.webp", "lossy.webp"),
        ("rgb.bmp", "rgb"),
        ("palette.bmp", "palette.bmp"),
        ("bits.bmp", "bits.bmp"),
        ("raw.tif", "rgb"),
        ("tiff_lzw.tif", "rgb"),
        ("tiff_adobe_deflate.tif", "rgb"),
        ("packbits.tif", "rgb"),
        ("palette.tif", "palette.tif"),
        ("colours.qoi", "rgb"),
        ("deep.tif", "deep.tif"),
    ];
    for (name, expected) in cases {
        assert_eq!(difference(&picture(&file(name)), &answer(expected)), 0, "{name}");
    }
}

#[test]
fn transparent_pixels_lie_on_the_colour_of_the_options() {
    for name in ["alpha.png", "alpha.webp"] {
        let with = |transparent| {
            let options = PictureOptions { transparent, ..PictureOptions::default() };
            decode(name, options).expect("a picture").picture
        };
        assert_eq!(difference(&with(Transparent::default()), &answer("on_white")), 0, "{name}");
        assert_eq!(difference(&with(Transparent::Drop), &answer("rgb")), 0, "{name}");
        // The middle is transparent.
        let middle = (8 * 23 + 11) * 3;
        let colour = |colour| with(Transparent::On(colour)).pixels()[middle..middle + 3].to_vec();
        assert_eq!((colour([0; 3]), colour([1, 2, 3])), (vec![0; 3], vec![1, 2, 3]), "{name}");
    }
}

#[test]
fn the_orientation_is_followed_or_ignored() {
    let ignoring = PictureOptions { orientation: Orientation::Ignore, ..PictureOptions::default() };
    for value in 1..=8 {
        let name = format!("turned_{value}.png");
        let expected = answer(&format!("turned_{value}"));
        assert_eq!(difference(&picture(&file(&name)), &expected), 0, "{name}");
        assert_eq!(decode(&name, ignoring).expect("a picture").picture, answer("rgb"), "{name}");
    }
    for (name, expected) in [
        ("turned_6.webp", "turned_6"),
        ("turned_6.tif", "turned_6"),
        ("turned_6.jpg", "turned_6.jpg"),
    ] {
        assert_eq!(difference(&picture(&file(name)), &answer(expected)), 0, "{name}");
    }
    // A folder that is streamed knows the sides of turned pictures, too.
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["turned_6.webp", "turned_6.png", "turned_6.tif", "turned_6.jpg"] {
        fs::copy(file(name), folder.path().join(name)).expect("a writable folder");
    }
    let config = FolderConfig { memory_mib: 0, ..FolderConfig::new(folder.path()) };
    assert_eq!(folder::open(&config, 3).expect("pictures").data.images.shape(), [23, 17, 3]);
    let config = FolderConfig { orientation: Orientation::Ignore, ..config };
    assert_eq!(folder::open(&config, 3).expect("pictures").data.images.shape(), [17, 23, 3]);
}

#[test]
fn the_first_frame_of_an_animation_is_read_with_a_remark() {
    let decoded = decode("animated.webp", PictureOptions::default()).expect("a picture");
    assert_eq!(difference(&decoded.picture, &answer("rgb")), 0);
    assert!(decoded.remarks[0].contains("first frame"), "{:?}", decoded.remarks);
    let refusing = PictureOptions { animation: Animation::Refuse, ..PictureOptions::default() };
    let error = decode("animated.webp", refusing).expect_err("an animation");
    assert!(error.contains("animation") && error.contains("data.animation"), "{error}");
    let gif = file("../fixtures/animated.gif");
    assert!(decode_picture(&gif, &refusing).is_err());
    let still = file("../fixtures/still.gif");
    assert_eq!(decode_picture(still, &refusing).expect("a picture").remarks, [""; 0]);
    // The first of several pages is taken.
    assert_eq!(difference(&picture(&file("pages.tiff")), &answer("rgb")), 0);
}

#[test]
fn the_limit_of_pixels_is_an_option() {
    for name in ["base_420.jpg", "rgb.bmp", "raw.tif", "lossy.webp", "colours.qoi", "alpha.png"] {
        let limited =
            |max_pixels| decode(name, PictureOptions { max_pixels, ..PictureOptions::default() });
        assert!(limited(17 * 23).is_ok(), "{name}");
        let error = limited(17 * 23 - 1).expect_err("too large");
        let words = "23 x 17 pixels, expected at most 390";
        assert!(error.contains(words) && error.contains("data.max_pixels"), "{error}");
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_png_with_a_wrong_checksum_of_complete_pixels_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.png");
    let mut bytes = fs::read(file("turned_1.png")).expect("a file");
    let data = bytes.windows(4).position(|name| name == b"IDAT").expect("pixel data");
    let length = u32::from_be_bytes(bytes[data - 4..data].try_into().expect("4 bytes")) as usize;
    bytes[data + 4 + length] ^= 1;
    fs::write(&path, &bytes).expect("a writable folder");
    let decoded = decode_picture(&path, &PictureOptions::default()).expect("complete pixels");
    assert_eq!(difference(&decoded.picture, &answer("rgb")), 0);
    assert!(decoded.remarks[0].contains("checksum"), "{:?}", decoded.remarks);
    // A damaged pixel is found by the checksum of the data themselves.
    bytes[data + 4 + length / 2] ^= 1;
    fs::write(&path, &bytes).expect("a writable folder");
    let error = read_picture(&path).expect_err("damaged pixels").to_string();
    assert!(error.contains("broken PNG"), "{error}");
}

#[test]
fn other_kinds_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.jpg");
    let check = |bytes: &[u8], word: &str| {
        fs::write(&path, bytes).expect("a writable folder");
        let error = read_picture(&path).expect_err("of another kind").to_string();
        assert!(error.contains(word) && error.contains("x.jpg"), "no `{word}` in: {error}");
    };
    check(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF");
    check(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF");
    check(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC");
    check(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "video");
    check(b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000");
    check(b"\xff\x0a\0\0", "JPEG XL");
    check(b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG");
    check(b"\n<!DOCTYPE html><html></html>", "HTML");
    check(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull");
    check(b"", "empty file");
    check(b"8BPS\0\x01", "PSD");
}

/// Files of each decoder, for damaged ones.
const KINDS: [&str; 13] = [
    "base_420.jpg",
    "scans_restart_mixed.jpg",
    "progressive_411.jpg",
    "ycck.jpg",
    "lossy.webp",
    "alpha.webp",
    "animated.webp",
    "palette.bmp",
    "tiff_lzw.tif",
    "deep.tif",
    "palette.tif",
    "colours.qoi",
    "turned_5.png",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn damaged_files_end_in_a_picture_or_an_error(
        kind in 0..KINDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = fs::read(file(KINDS[kind])).expect("a file");
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("x.jpg"), bytes).expect("a writable folder");
        if let Err(error) = read_picture(folder.path().join("x.jpg")) {
            let error = error.to_string();
            prop_assert!(error.contains("x.jpg"), "{error}");
        }
        let config = FolderConfig { size: Some(8), memory_mib: 0, ..FolderConfig::new(folder.path()) };
        let _ = folder::open(&config, 3);
    }
}
