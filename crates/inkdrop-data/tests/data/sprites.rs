//! Laws of the sprite generator.

use std::collections::HashSet;

use inkdrop_data::Labels;
use inkdrop_data::sprites::{CLASSES, Class, SIZE, dataset, sprite};

/// FNV-1a, so that the pinned value depends on nothing but the bytes.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn first_thousand_sprites_never_change() {
    let bytes = (0..1000).flat_map(|index| sprite(0, index).pixels);
    assert_eq!(hash(bytes), PINNED, "sprites changed: trained models no longer fit their data");
}

const PINNED: u64 = 273_858_640_988_824_163;

#[test]
fn fifty_thousand_of_sixty_thousand_differ() {
    let mut all = HashSet::new();
    let mut of_class: [HashSet<[u8; 768]>; 5] = Default::default();
    for index in 0..60_000 {
        let sprite = sprite(0, index);
        all.insert(sprite.pixels);
        of_class[sprite.class.index()].insert(sprite.pixels);
    }
    assert!(all.len() >= 50_000, "{} distinct", all.len());
    for (class, distinct) in Class::ALL.iter().zip(of_class) {
        assert!(distinct.len() >= 8_000, "{}: {} distinct", class.name(), distinct.len());
    }
}

#[test]
fn classes_share_no_picture() {
    let mut seen = std::collections::HashMap::new();
    for index in 0..20_000 {
        let sprite = sprite(3, index);
        let first = *seen.entry(sprite.pixels).or_insert(sprite.class);
        assert_eq!(first, sprite.class, "sprite {index}");
    }
}

#[test]
fn classes_follow_their_names() {
    for (index, name) in CLASSES.into_iter().enumerate() {
        let class = Class::from_name(name).unwrap();
        assert_eq!((class.index(), class.name()), (index, name));
        assert_eq!(sprite(9, 5 + index as u64).class, class);
    }
    let error = Class::from_name("wizard").unwrap_err().to_string();
    assert!(error.contains("`wizard`") && error.contains("side-facing"), "{error}");
}

#[test]
fn paper_is_white_and_figures_are_in_the_middle() {
    let white = |pixels: &[u8; 768], x: usize, y: usize| {
        let at = (y * SIZE + x) * 3;
        pixels[at..at + 3] == [255; 3]
    };
    let mut corners = 0;
    for index in 0..2_000 {
        let pixels = sprite(1, index).pixels;
        let last = SIZE - 1;
        let at = [(0, 0), (last, 0), (0, last), (last, last)];
        corners += at.iter().filter(|&&(x, y)| white(&pixels, x, y)).count();
        let inked = (0..SIZE * SIZE).filter(|i| !white(&pixels, i % SIZE, i / SIZE)).count();
        assert!((40..=240).contains(&inked), "sprite {index}: {inked} pixels drawn");
    }
    assert!(corners > 8_000 * 9 / 10, "{corners} of 8000 corners are white");
}

#[test]
fn few_tones_per_sprite() {
    for index in 0..2_000 {
        let pixels = sprite(2, index).pixels;
        let colours: HashSet<&[u8]> = pixels.chunks_exact(3).collect();
        assert!((3..=26).contains(&colours.len()), "sprite {index}: {} colours", colours.len());
    }
}

#[test]
fn seeds_differ() {
    let same = (0..100).filter(|&index| sprite(0, index) == sprite(1, index)).count();
    assert!(same < 5, "{same} of 100 are alike");
}

#[test]
fn dataset_is_its_sprites_with_one_hot_contexts() {
    let data = dataset(7, 23);
    assert_eq!((data.len(), data.context_width()), (23, Some(5)));
    let Labels::Context(context) = &data.labels else {
        panic!("expected contexts");
    };
    for index in 0..23 {
        let sprite = sprite(7, index as u64);
        assert_eq!(data.images.image(index), sprite.pixels);
        let row: Vec<f32> =
            (0..5).map(|k| f32::from(u8::from(k == sprite.class.index()))).collect();
        assert_eq!(context.row(index).to_vec(), row);
    }
    assert!(dataset(7, 0).is_empty());
}
