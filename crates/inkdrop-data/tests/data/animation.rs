//! Laws of animations in all colours.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use inkdrop_data::picture::{Picture, is_whole_png, write_apng, write_png};
use inkdrop_data::sprites;
use tempfile::TempDir;

/// Delay in hundredths and pixels of every frame, and how often it plays (0: for ever).
fn decode(path: &Path) -> (u32, Vec<(u16, Vec<u8>)>) {
    let file = BufReader::new(File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let control = *reader.info().animation_control().unwrap();
    let mut frames = Vec::new();
    for _ in 0..control.num_frames {
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let frame = reader.info().frame_control().unwrap();
        assert_eq!(frame.delay_den, 100);
        frames.push((frame.delay_num, pixels));
    }
    assert!(reader.next_frame(&mut [0; 1 << 20]).is_err(), "more frames than it says");
    (control.num_plays, frames)
}

/// A picture of more colours than a GIF frame has.
fn colourful(shift: u8) -> Picture {
    let pixel = |i: usize| [(i % 40 * 6) as u8, (i / 40 * 6) as u8, shift];
    Picture::new(40, 40, (0..1600).flat_map(pixel).collect()).unwrap()
}

#[test]
fn apng_keeps_every_frame_delay_and_colour() {
    let dir = TempDir::new().unwrap();
    for (name, count) in [("a.apng", 7), ("a.png", 1)] {
        let path = dir.path().join(name);
        let frames: Vec<_> = (0..count).map(|i| colourful(i * 20)).collect();
        write_apng(&path, &frames, 8, 300).unwrap();
        let (plays, decoded) = decode(&path);
        assert_eq!((plays, decoded.len()), (0, frames.len()));
        for (i, (delay, pixels)) in decoded.iter().enumerate() {
            assert_eq!(pixels, frames[i].pixels(), "frame {i}");
            assert_eq!(*delay, if i + 1 == frames.len() { 300 } else { 8 });
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn what_knows_no_animations_sees_the_first_frame() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.png");
    write_apng(&path, &[colourful(0), colourful(9)], 8, 8).unwrap();
    let bytes = fs::read(&path).unwrap();
    let place = |chunk: &[u8]| bytes.windows(4).position(|four| four == chunk).unwrap();
    // PNG, 3rd edition, 11.3.6: the still image is a frame where its control comes before it.
    assert!(place(b"acTL") < place(b"fcTL") && place(b"fcTL") < place(b"IDAT"));
}

#[test]
fn frames_of_no_or_several_sizes_are_no_apng() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.png");
    let none = write_apng(&path, &[], 5, 5).unwrap_err().to_string();
    assert!(none.contains("at least one"), "{none}");
    let small = Picture::of_image(&sprites::dataset(0, 1).images, 0).unwrap();
    let several = write_apng(&path, &[colourful(0), small], 5, 5).unwrap_err().to_string();
    assert!(several.contains("frame 1 of 16 x 16") && several.contains("40 x 40"), "{several}");
    assert!(!path.exists());
}

#[test]
fn a_cut_picture_is_not_whole() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.png");
    assert!(!is_whole_png(&path, 40, 40), "no file");
    write_png(&path, &colourful(0)).unwrap();
    assert!(is_whole_png(&path, 40, 40));
    assert!(!is_whole_png(&path, 40, 41) && !is_whole_png(&path, 16, 40), "another size");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, 24, 36, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(!is_whole_png(&path, 40, 40), "{length} of {} bytes", bytes.len());
    }
}
