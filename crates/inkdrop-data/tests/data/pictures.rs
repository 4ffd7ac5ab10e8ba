//! Laws of pictures: what is encoded decodes to the same pixels.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;

use inkdrop_data::picture::{
    Grid, Picture, encode_png, to_u8, write_gif, write_image_dir, write_png,
};
use inkdrop_data::{Images, sprites};
use ndarray::Array4;
use tempfile::TempDir;

fn decode_png(bytes: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (info.width as usize, info.height as usize, pixels)
}

fn decode_gif(path: &Path) -> Vec<(u16, Vec<u8>)> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(File::open(path).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let rgb = frame.buffer.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        frames.push((frame.delay, rgb));
    }
    assert_eq!(decoder.repeat(), gif::Repeat::Infinite);
    frames
}

/// A picture of `colours` colours, a column for each.
fn striped(colours: usize) -> Picture {
    let row =
        (0..colours).flat_map(|i| [(i % 256) as u8, (i / 256 * 40) as u8, (i * 7 % 256) as u8]);
    let row: Vec<u8> = row.collect();
    Picture::new(colours, 3, row.repeat(3)).unwrap()
}

#[test]
fn png_decodes_to_the_pixels() {
    let picture = striped(300);
    let expected = (300, 3, picture.pixels().to_vec());
    assert_eq!(decode_png(&encode_png(&picture).unwrap()), expected);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.png");
    write_png(&path, &picture).unwrap();
    assert_eq!(decode_png(&fs::read(path).unwrap()), expected);
}

#[test]
fn gif_keeps_up_to_256_colours_exactly() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.gif");
    let images = sprites::dataset(0, 10).images;
    let frames: Vec<_> = (0..10).map(|i| Picture::of_image(&images, i).unwrap()).collect();
    write_gif(&path, &frames, 5, 150).unwrap();
    let decoded = decode_gif(&path);
    assert_eq!(decoded.len(), 10);
    for (i, (delay, pixels)) in decoded.iter().enumerate() {
        assert_eq!(pixels, frames[i].pixels(), "frame {i}");
        assert_eq!(*delay, if i == 9 { 150 } else { 5 });
    }
    write_gif(&path, &[striped(256)], 5, 5).unwrap();
    assert_eq!(decode_gif(&path)[0].1, striped(256).pixels());
}

#[test]
fn gif_quantises_more_colours_closely_and_keeps_the_paper() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.gif");
    let pixel = |x: usize, y: usize| match y {
        0..20 => [255; 3],
        _ => [(x * 4) as u8, (y * 4) as u8, 80],
    };
    let pixels = (0..60 * 60).flat_map(|i| pixel(i % 60, i / 60)).collect();
    let picture = Picture::new(60, 60, pixels).unwrap();
    write_gif(&path, std::slice::from_ref(&picture), 5, 5).unwrap();
    let pixels = &decode_gif(&path)[0].1;
    let colours: HashSet<&[u8]> = pixels.chunks_exact(3).collect();
    assert!((100..=256).contains(&colours.len()), "{} colours", colours.len());
    assert!(pixels[..60 * 20 * 3].iter().all(|&byte| byte == 255), "white stays white");
    let steps = pixels.iter().zip(picture.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b)));
    let mean = steps.sum::<u64>() as f64 / pixels.len() as f64;
    assert!(mean < 6.0, "mean difference {mean}");
}

#[test]
fn frames_of_no_or_several_sizes_are_errors() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.gif");
    let none = write_gif(&path, &[], 5, 5).unwrap_err().to_string();
    assert!(none.contains("at least one"), "{none}");
    let several = write_gif(&path, &[striped(4), striped(5)], 5, 5).unwrap_err().to_string();
    assert!(
        several.contains("frame 1") && several.contains("5 x 3") && several.contains("4 x 3"),
        "{several}"
    );
    assert!(!path.exists());
}

#[test]
fn bytes_must_fill_a_picture() {
    let error = Picture::new(2, 2, vec![0; 11]).unwrap_err().to_string();
    assert!(error.contains("11 bytes") && error.contains("2 x 2"), "{error}");
    assert!(Picture::new(0, 2, vec![]).is_err());
    assert!(Picture::new(usize::MAX, 2, vec![]).is_err());
}

#[test]
fn to_u8_truncates() {
    let cases: [(f32, u8); 13] = [
        (-1.0, 0),
        (-2.0, 0),
        (1.0, 255),
        (2.0, 255),
        (0.0, 127),
        (0.5, 191),
        (-0.5, 63),
        (0.999, 254),
        (-0.999, 0),
        (0.01, 128),
        (f32::NAN, 0),
        (f32::INFINITY, 255),
        (f32::NEG_INFINITY, 0),
    ];
    for (x, expected) in cases {
        assert_eq!(to_u8(x), expected, "{x}");
    }
    for byte in 0..=255u8 {
        // The middle of the byte's interval.
        assert_eq!(to_u8((f32::from(byte) + 0.5) / 127.5 - 1.0), byte);
    }
}

#[test]
fn grid_enlarges_by_repeating_pixels() {
    let images = sprites::dataset(0, 3).images;
    let picture = Grid::new().row("", images.clone()).scale(3).padding(1).render();
    assert_eq!((picture.width(), picture.height()), (1 + 3 * 49, 1 + 49));
    for y in 0..48 {
        for x in 0..48 {
            let at = ((y + 1) * picture.width() + 1 + 49 + x) * 3;
            let from = (y / 3 * 16 + x / 3) * 3;
            assert_eq!(picture.pixels()[at..at + 3], images.image(1)[from..from + 3]);
        }
    }
}

#[test]
fn labels_make_room_for_themselves() {
    let images = || sprites::dataset(0, 2).images;
    let bare = Grid::new().row("", images()).scale(4).render();
    let short = Grid::new().row("hero", images()).scale(4).render();
    let long = Grid::new().row("hero", images()).row("hero+0.6 food", images()).scale(4).render();
    assert!(bare.width() < short.width() && short.width() < long.width());
    assert_eq!(long.width() - short.width(), 9 * 8 * 2);
    let dark = Grid::new().row("hero", images()).background([0; 3]).render();
    assert!(dark.pixels().chunks_exact(3).any(|colour| colour == [0xf4, 0xf4, 0xf8]), "light text");
    let titled =
        Grid::new().title("a long title above").columns(["a", "b"]).row("", images()).render();
    assert!(titled.width() >= 18 * 8 && titled.height() > 16 + 2 * 8);
}

#[test]
fn odd_grids_are_drawn_too() {
    assert_eq!(Grid::new().padding(0).render().pixels().len(), 3);
    let none = Images::new(Array4::zeros((0, 16, 16, 3))).unwrap();
    Grid::new().row("nichts, rien, ничего", none).scale(0).render();
    let gray = Images::new(Array4::from_elem((1, 2, 2, 1), 77)).unwrap();
    let picture = Grid::new().row("", gray).padding(0).render();
    assert_eq!(picture.pixels(), [77; 12]);
}

#[test]
fn folders_of_images_are_numbered_or_named() {
    let dir = TempDir::new().unwrap();
    let images = sprites::dataset(0, 2).images;
    let path = dir.path().join("new/folder");
    write_image_dir(&path, &images, None).unwrap();
    for i in 0..2 {
        let (_, _, pixels) = decode_png(&fs::read(path.join(format!("0000{i}.png"))).unwrap());
        assert_eq!(pixels, images.image(i));
    }
    let names = ["a".to_owned(), "b".to_owned()];
    write_image_dir(&path, &images, Some(&names)).unwrap();
    assert!(path.join("a.png").exists() && path.join("b.png").exists());
    for names in [vec!["a".to_owned()], vec!["a".to_owned(), "../b".to_owned()]] {
        assert!(write_image_dir(&path, &images, Some(&names)).is_err(), "{names:?}");
    }
}
