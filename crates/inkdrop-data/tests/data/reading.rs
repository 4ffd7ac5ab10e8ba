//! Pictures of users: every kind of PNG, broken ones, and other sizes.

use std::fs;
use std::path::PathBuf;

use inkdrop_data::picture::{Picture, encode_png, write_apng};
use inkdrop_data::read::{
    Animation, MOST_PIXELS, PictureOptions, decode_picture, files, fit, images, place, read_picture,
};
use inkdrop_data::{Images, sprites};
use ndarray::Array4;
use png::{BitDepth, ColorType};
use proptest::prelude::*;
use tempfile::TempDir;

fn put(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a writable folder");
    (folder, path)
}

fn png(size: (u32, u32), kind: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(kind);
    encoder.set_depth(depth);
    if kind == ColorType::Indexed {
        encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
        encoder.set_trns(vec![255, 0]);
    }
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(data).expect("as many bytes");
    writer.finish().expect("an end");
    bytes
}

fn read(bytes: &[u8]) -> Result<Picture, String> {
    let (_folder, path) = put("x.png", bytes);
    read_picture(&path).map_err(|error| error.to_string())
}

fn sprite() -> Picture {
    Picture::of_image(&sprites::dataset(0, 1).images, 0).expect("a sprite")
}

#[test]
fn every_kind_of_png_becomes_colour() {
    let check = |kind, depth, data: &[u8], expected: [u8; 6]| {
        let picture = read(&png((2, 1), kind, depth, data)).expect("a picture");
        assert_eq!((picture.width(), picture.height()), (2, 1));
        assert_eq!(picture.pixels(), expected, "{kind:?} {depth:?}");
    };
    let eight = BitDepth::Eight;
    check(ColorType::Grayscale, eight, &[7, 200], [7, 7, 7, 200, 200, 200]);
    check(ColorType::Grayscale, BitDepth::One, &[0b0100_0000], [0, 0, 0, 255, 255, 255]);
    check(ColorType::Grayscale, BitDepth::Sixteen, &[7, 9, 200, 255], [7, 7, 7, 200, 200, 200]);
    check(ColorType::Rgb, eight, &[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]);
    check(
        ColorType::Rgb,
        BitDepth::Sixteen,
        &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0],
        [1, 2, 3, 4, 5, 6],
    );
    check(ColorType::Rgba, eight, &[1, 2, 3, 255, 4, 5, 6, 0], [1, 2, 3, 255, 255, 255]);
    check(ColorType::Rgba, eight, &[0, 100, 255, 51, 0, 0, 0, 128], [204, 224, 255, 127, 127, 127]);
    check(ColorType::GrayscaleAlpha, eight, &[9, 255, 9, 0], [9, 9, 9, 255, 255, 255]);
    check(ColorType::Indexed, eight, &[0, 1], [10, 20, 30, 255, 255, 255]);
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(read(&encode_png(&sprite()).expect("PNG")), Ok(sprite()));
}

#[test]
fn a_picture_that_ends_early_is_named() {
    let bytes = encode_png(&sprite()).expect("PNG");
    // The last 16 bytes are a checksum and the end; the pixel data before have a checksum of their own.
    let data = bytes.len() - 16;
    for length in 0..data {
        let error = read(&bytes[..length]).expect_err("no whole picture");
        assert!(error.contains("x.png") && error.contains("PNG"), "{length}: {error}");
    }
    for length in data..bytes.len() {
        assert_eq!(read(&bytes[..length]), Ok(sprite()), "{length}");
    }
}

#[test]
fn other_files_are_named() {
    let check = |bytes: &[u8], word: &str| {
        let (_folder, path) = put("x.png", bytes);
        let error = read_picture(&path).expect_err("none").to_string();
        assert!(error.contains(word) && error.contains("PNG"), "{error}");
    };
    check(b"", "not a picture");
    check(b"RIFF....WEBP", "WebP");
    check(b"BM......", "BMP");
    check(&[0; 64], "not a picture");
    // The first bytes say the kind, whatever the name says.
    for (bytes, word) in [(&b"\xff\xd8\xff\xe0 and so on"[..], "JPEG"), (b"GIF89a", "GIF")] {
        let error = read(bytes).expect_err("no whole picture");
        assert!(error.contains(word) && error.contains("x.png"), "{error}");
    }
}

#[test]
fn a_giant_is_refused_before_memory_is_taken() {
    let header = |width: u32, height: u32| {
        let mut bytes = png((1, 1), ColorType::Rgb, BitDepth::Eight, &[0; 3]);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        bytes
    };
    for (width, height) in [(100_000, 100_000), (0x7fff_ffff, 0x7fff_ffff), (8193, 8192)] {
        let error = read(&header(width, height)).expect_err("too large");
        let words = format!("{width} x {height} pixels, expected at most {MOST_PIXELS}");
        assert!(error.contains(&words), "{error}");
    }
    read(&header(4096, 1)).expect_err("too few bytes for its sides");
}

/// CRC-32 as PNG has it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}

#[test]
fn an_animation_gives_its_first_frame_or_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.png");
    write_apng(&path, &[sprite(), Picture::filled(16, 16, [0; 3])], 8, 8).expect("an animation");
    let decoded = decode_picture(&path, &PictureOptions::default()).expect("a picture");
    assert_eq!(decoded.picture, sprite());
    assert!(decoded.remarks[0].contains("first frame"), "{:?}", decoded.remarks);
    let refusing = PictureOptions { animation: Animation::Refuse, ..PictureOptions::default() };
    let error = decode_picture(&path, &refusing).expect_err("no still picture").to_string();
    assert!(error.contains("animation") && error.contains("data.animation"), "{error}");
}

#[test]
fn a_folder_is_its_pictures_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    for name in ["b.png", "a.PNG", ".c.png", "notes.txt"] {
        fs::write(path(name), b"").expect("a writable folder");
    }
    let found = files(&[path("notes.txt"), folder.path().to_path_buf()]).expect("files");
    assert_eq!(found, [path("notes.txt"), path("a.PNG"), path("b.png")]);
    let empty = tempfile::tempdir().expect("a temporary folder");
    let error = files(&[empty.path()]).expect_err("nothing there").to_string();
    assert!(error.contains("no picture"), "{error}");
    let error = files(&[path("missing.png")]).expect_err("nothing there").to_string();
    assert!(error.contains("missing.png"), "{error}");
}

#[test]
fn fitting_to_its_own_size_changes_nothing() {
    assert_eq!(fit(&sprite(), 16, 16).expect("a size"), sprite());
}

#[test]
fn halving_takes_the_mean_of_four() {
    let data: Vec<u8> = (0..48).map(|i| i * 5).collect();
    let picture = Picture::new(4, 4, data.clone()).expect("16 pixels");
    let halved = fit(&picture, 2, 2).expect("a size");
    let mean = |x: usize, y: usize, c: usize| {
        let at = |x: usize, y: usize| u32::from(data[(y * 4 + x) * 3 + c]);
        (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1) + 2) / 4
    };
    for (i, &value) in halved.pixels().iter().enumerate() {
        let (x, y, c) = (i / 3 % 2, i / 6, i % 3);
        assert!(mean(2 * x, 2 * y, c).abs_diff(u32::from(value)) <= 1);
    }
}

#[test]
fn a_wide_picture_is_cropped_at_its_centre() {
    // Black, white in the middle third, black.
    let row: Vec<u8> =
        (0..48).flat_map(|x| [if (16..32).contains(&x) { 255 } else { 0 }; 3]).collect();
    let picture = Picture::new(48, 16, row.repeat(16)).expect("as many bytes");
    let fitted = fit(&picture, 16, 16).expect("a size");
    assert!(fitted.pixels().iter().all(|&value| value == 255));
}

#[test]
fn a_thread_is_not_enlarged() {
    let thread = Picture::filled(1, 5_000_000, [0; 3]);
    let error = fit(&thread, 16, 16).expect_err("too narrow").to_string();
    assert!(error.contains("1 x 5000000") && error.contains("16 x 16"), "{error}");
}

#[test]
fn a_picture_lies_where_it_is_placed() {
    let small = Images::of_wide(Array4::from_elem((1, 2, 2, 3), 1)).expect("an image");
    let covered = |at: (i64, i64)| -> Vec<usize> {
        let (canvas, covered) = place(&small, (4, 4), at).expect("a canvas");
        let values = canvas.wide().expect("16 bits");
        for (pixel, &covered) in values.iter().step_by(3).zip(&covered) {
            assert_eq!(*pixel, if covered { 1 } else { 65535 });
        }
        (0..16).filter(|&i| covered[i]).collect()
    };
    assert_eq!(covered((1, 1)), [5, 6, 9, 10]);
    assert_eq!(covered((-1, -1)), [0]);
    assert_eq!(covered((3, 2)), [11, 15]);
    assert_eq!(covered((i64::MIN, i64::MAX)), [0; 0]);
}

#[test]
fn gray_is_luma() {
    let picture = Picture::new(3, 1, vec![255, 0, 0, 0, 255, 0, 9, 9, 9]).expect("3 pixels");
    assert_eq!(images(&[picture], 1).expect("images").bytes(), [76, 150, 9]);
}

#[test]
fn pictures_of_several_sizes_are_no_images() {
    let error = images(&[sprite(), Picture::filled(4, 5, [0; 3])], 3).expect_err("two sizes");
    let error = error.to_string();
    assert!(error.contains("4 x 5") && error.contains("16 x 16"), "{error}");
    images(&[], 3).expect_err("none");
    images(&[sprite()], 2).expect_err("two channels");
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = encode_png(&sprite()).expect("PNG");
        bytes.truncate(33);
        bytes.extend(tail);
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..500, value in any::<u8>()) {
        let mut bytes = encode_png(&sprite()).expect("PNG");
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = read(&bytes);
    }

    #[test]
    fn every_size_can_be_fitted(w in 1usize..70, h in 1usize..70, to_w in 1usize..40, to_h in 1usize..40) {
        let fitted = fit(&Picture::filled(w, h, [3, 100, 255]), to_w, to_h).expect("a size");
        prop_assert_eq!((fitted.width(), fitted.height()), (to_w, to_h));
        prop_assert!(fitted.pixels().chunks(3).all(|p| p == [3, 100, 255]));
    }
}
