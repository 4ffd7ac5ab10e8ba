//! Data augmentation: random mirroring and random crops.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The random augmentation of one image in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Augmentation {
    /// True to mirror the image, left to right.
    pub mirrored: bool,
    /// First row and column of the crop.
    pub corner: [usize; 2],
}

impl Augmentation {
    /// Draws the data augmentation of an image in an epoch: a pure function of the arguments.
    ///
    /// - room: rows and columns of the image minus those of the crop
    pub(crate) fn draw(seed: u64, epoch: usize, index: usize, room: [usize; 2]) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(epoch as u64).to_le_bytes());
        key[16..21].copy_from_slice(b"visit");
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index as u64);
        let mut below =
            |count: usize| ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize;
        // All three are always drawn, so that mirroring does not depend on cropping.
        let mirrored = below(2) == 1;
        Self { mirrored, corner: room.map(|room| below(room + 1)) }
    }
}

/// Data augmentation by cropping: copies a crop out of an image in HWC order.
///
/// - width: columns of the image
/// - columns: columns of the crop
/// - window: the bytes of the crop
pub(crate) fn crop(
    image: &[u8],
    [width, channels]: [usize; 2],
    [top, left]: [usize; 2],
    columns: usize,
    window: &mut [u8],
) {
    let rows = image.chunks_exact(width * channels).skip(top);
    let start = left * channels;
    for (to, from) in window.chunks_exact_mut(columns * channels).zip(rows) {
        to.copy_from_slice(&from[start..start + columns * channels]);
    }
}

/// Data augmentation by mirroring (horizontal flip): mirrors an image in HWC order, left to right.
pub(crate) fn mirror(image: &mut [u8], [width, channels]: [usize; 2]) {
    for row in image.chunks_exact_mut(width * channels) {
        row.reverse();
        row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_augmentation_never_changes() {
        let drawn: Vec<_> = (0..4).map(|index| Augmentation::draw(42, 3, index, [9, 5])).collect();
        let shown = drawn.iter().map(|v| (v.mirrored, v.corner)).collect::<Vec<_>>();
        let expected = [(false, [7, 3]), (true, [4, 1]), (true, [8, 0]), (true, [3, 2])];
        assert_eq!(shown, expected);
    }

    #[test]
    fn mirroring_swaps_pixels_and_keeps_channels() {
        let mut image = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        mirror(&mut image, [2, 3]);
        assert_eq!(image, [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }

    #[test]
    fn a_window_is_cut_where_its_corner_is() {
        let image: Vec<u8> = (0..24).collect(); // [4, 3, 2]
        let mut window = [0; 8];
        crop(&image, [3, 2], [1, 1], 2, &mut window);
        assert_eq!(window, [8, 9, 10, 11, 14, 15, 16, 17]);
    }

    #[test]
    fn every_corner_is_drawn_and_half_is_mirrored() {
        let (mut mirrored, mut corners) = (0, [[0; 3]; 2]);
        for index in 0..6_000 {
            let augmentation = Augmentation::draw(0, 0, index, [1, 2]);
            mirrored += u32::from(augmentation.mirrored);
            corners[augmentation.corner[0]][augmentation.corner[1]] += 1;
        }
        // Standard deviations 39 and 29.
        assert!((2_800..=3_200).contains(&mirrored), "{mirrored}");
        assert!(corners.as_flattened().iter().all(|n| (850..=1_150).contains(n)), "{corners:?}");
    }
}
