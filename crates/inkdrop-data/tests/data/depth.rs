//! Images of 16 bits and of many channels: what goes in comes out.

use std::path::Path;
use std::sync::Arc;

use inkdrop_data::loader::{BatchSampler, DataLoader, DataLoaderConfig};
use inkdrop_data::picture::{Picture, write_image, write_image_dir, write_png, write_tiff};
use inkdrop_data::read::{self, PictureOptions};
use inkdrop_data::stream::SampleStream;
use inkdrop_data::{Dataset, Depth, Images, InMemoryDataset, Labels, Paired, arrays, npy};
use inkdrop_data::{ImageForm, npz};
use ndarray::Array4;
use tempfile::tempdir;

/// Values of all sizes, different in every place.
fn wide(count: usize, channels: usize) -> Images {
    let value = |(n, y, x, c): (usize, usize, usize, usize)| {
        (((n * 31 + y) * 37 + x) * 41 + c * 7919).wrapping_mul(977) as u16
    };
    Images::of_wide(Array4::from_shape_fn((count, 6, 4, channels), value)).expect("images")
}

fn narrow(count: usize, channels: usize) -> Images {
    let value =
        |(n, y, x, c): (usize, usize, usize, usize)| (((n * 31 + y) * 37 + x) * 41 + c * 79) as u8;
    Images::new(Array4::from_shape_fn((count, 6, 4, channels), value)).expect("images")
}

/// All images of a dataset, through the loader.
fn loaded(dataset: Arc<dyn Dataset>, workers: usize, crop: Option<[usize; 2]>) -> Vec<Images> {
    let count = dataset.len();
    let batches = BatchSampler::new(count, count, 7).expect("batches");
    let config = DataLoaderConfig { flip: false, crop, workers };
    let mut loader = DataLoader::new(dataset, batches, config).expect("a loader");
    let batch = loader.batch(0).expect("a batch");
    let mut images: Vec<(usize, Images)> = (0..count)
        .map(|i| (batch.indices[i], batch.images.select(&[i]).expect("an image")))
        .collect();
    images.sort_by_key(|(index, _)| *index);
    images.into_iter().map(|(_, image)| image).collect()
}

fn put(path: &Path, images: &Images) {
    let one = InMemoryDataset::new(images.clone(), Labels::None).expect("a dataset");
    npy::write(path, Path::new("unused"), &one).expect("a file");
}

#[test]
fn values_pass_files_and_the_loader_unchanged() {
    let place = tempdir().expect("a folder");
    for images in [wide(5, 1), wide(5, 3), wide(5, 5), narrow(5, 2), narrow(5, 5), narrow(5, 16)] {
        let path = place.path().join("x.npy");
        put(&path, &images);
        for memory in [0, 100] {
            let data = npy::open(&path, None, memory).expect("a dataset");
            assert_eq!(data.images.depth(), images.depth());
            for workers in [0, 2] {
                let all = loaded(data.images.clone(), workers, None);
                let all = Images::concat(&all.iter().collect::<Vec<_>>()).expect("images");
                assert_eq!(all, images);
            }
        }
        let archive = place.path().join("x.npz");
        npz::write_samples(&archive, &images, None, None).expect("a file");
        assert_eq!(npz::load(&archive).expect("images").images, images);
        let partial = place.path().join("partial.npy");
        let mut stream = SampleStream::create(&partial, ImageForm::of(&images)).expect("a stream");
        stream.push(&images.select(&[0, 1]).expect("images")).expect("space");
        drop(stream);
        let mut stream = SampleStream::open(&partial, ImageForm::of(&images)).expect("a stream");
        stream.push(&images.select(&[2, 3, 4]).expect("images")).expect("space");
        stream.finish(&archive, None, None).expect("a file");
        assert_eq!(npz::load(&archive).expect("images").images, images);
    }
}

#[test]
fn crops_and_mirrors_move_whole_values() {
    let images = wide(3, 5);
    let all = loaded(Arc::new(images.clone()), 1, Some([4, 3]));
    let whole = images.wide().expect("16 bits");
    for (index, image) in all.iter().enumerate() {
        let part = image.wide().expect("16 bits");
        let found = (0..3).flat_map(|y| (0..2).map(move |x| [y, x])).any(|[top, left]| {
            part.indexed_iter()
                .all(|((_, y, x, c), value)| *value == whole[[index, top + y, left + x, c]])
        });
        assert!(found, "image {index} is no part of the whole");
    }
    let batches = BatchSampler::new(3, 3, 1).expect("batches");
    let config = DataLoaderConfig { flip: true, crop: None, workers: 1 };
    let mut loader = DataLoader::new(Arc::new(images.clone()), batches, config).expect("a loader");
    let batch = loader.batch(0).expect("a batch");
    let values = batch.images.wide().expect("16 bits");
    for (row, &index) in batch.indices.iter().enumerate() {
        let mirrored = |mirror: bool| {
            let place = |x: usize| if mirror { 3 - x } else { x };
            (0..4).all(|x| values[[row, 2, x, 4]] == whole[[index, 2, place(x), 4]])
        };
        assert!(mirrored(false) || mirrored(true));
    }
}

#[test]
fn folders_of_arrays_and_of_png_files_keep_16_bits() {
    let place = tempdir().expect("a folder");
    for images in [wide(4, 1), wide(4, 3), narrow(4, 3)] {
        let folder = place.path().join(format!("{:?}{}", images.depth(), images.channels()));
        write_image_dir(&folder, &images, None).expect("files");
        let read = arrays::open(&folder).expect("a folder");
        let all = loaded(Arc::new(read), 1, None);
        assert_eq!(Images::concat(&all.iter().collect::<Vec<_>>()).expect("images"), images);
    }
    let five = wide(4, 5);
    let folder = place.path().join("five");
    assert!(
        write_image_dir(&folder, &five, None).is_err_and(|e| e.to_string().contains("5 channels"))
    );
    for index in 0..4 {
        let one = five.select(&[index]).expect("an image");
        put(&folder.join(format!("{index}.npy")), &one);
    }
    let read = arrays::open(&folder).expect("a folder");
    assert_eq!(read.depth(), Depth::Sixteen);
    let all = loaded(Arc::new(read), 1, None);
    assert_eq!(Images::concat(&all.iter().collect::<Vec<_>>()).expect("images"), five);
    put(&folder.join("z.npy"), &narrow(1, 5));
    let error =
        arrays::open(&folder).expect("a folder").read(4, &mut [0; 240]).expect_err("another depth");
    assert!(error.to_string().contains("8 bits, expected [6, 4, 5] in 16 bits"), "{error}");
}

#[test]
fn tiff_files_hold_what_was_written() {
    let place = tempdir().expect("a folder");
    let path = place.path().join("x.tiff");
    for channels in [1, 2, 3, 4, 5, 16] {
        for images in [wide(3, channels), narrow(3, channels), wide(1, channels)] {
            write_tiff(&path, &images).expect("a file");
            assert_eq!(arrays::load(&path).expect("images"), images);
            let decoded = read::decode_images(&path, channels, &PictureOptions::default());
            assert_eq!(decoded.expect("images").images, images);
        }
    }
    let error = write_tiff(&path, &Images::new(Array4::zeros((0, 4, 4, 3))).expect("no images"));
    assert!(error.is_err_and(|error| error.to_string().contains("0 images")));
}

#[test]
fn pictures_of_16_bits_are_not_rounded() {
    let place = tempdir().expect("a folder");
    let path = place.path().join("x.png");
    let decoded = |channels| {
        let decoded = read::decode_images(&path, channels, &PictureOptions::default());
        decoded.expect("an image").images
    };
    for images in [wide(1, 1), wide(1, 3)] {
        write_image(&path, &images, 0).expect("a file");
        assert_eq!(decoded(3), images);
        let both = [1, 3].map(|channels| images.clone().with_channels(channels).expect("channels"));
        let values = both.each_ref().map(|images| images.wide().expect("16 bits"));
        let [gray, colours] = values;
        for (at, value) in gray.indexed_iter() {
            let [r, g, b] = [0, 1, 2].map(|c| f64::from(colours[[at.0, at.1, at.2, c]]));
            let luma = 0.299 * r + 0.587 * g + 0.114 * b;
            assert!((f64::from(*value) - luma).abs() < 1.5, "{value} and {luma}");
        }
    }
    assert!(wide(1, 5).with_channels(3).is_err_and(|e| e.to_string().contains("5 channels")));
    // Pictures of 8 bits keep these; 16 bits hold them exactly.
    write_png(&path, &Picture::of_image(&narrow(1, 3), 0).expect("a picture")).expect("a file");
    assert_eq!(decoded(3), narrow(1, 3));
    assert_eq!(decoded(3).with_depth(Depth::Sixteen).with_depth(Depth::Eight), narrow(1, 3));
}

#[test]
fn images_of_16_bits_are_fitted_as_pictures_are() {
    let value = |(_, y, x, c): (usize, usize, usize, usize)| ((y * 37 + x * 11) * (c + 3)) as u8;
    let images = Images::new(Array4::from_shape_fn((1, 29, 41, 3), value)).expect("an image");
    let picture = Picture::of_image(&images, 0).expect("a picture");
    let narrow = read::fit_images(&images, 12, 9).expect("a size");
    assert_eq!(narrow.bytes(), read::fit(&picture, 12, 9).expect("a size").pixels());
    let wide = read::fit_images(&images.with_depth(Depth::Sixteen), 12, 9).expect("a size");
    for (wide, &byte) in wide.wide().expect("16 bits").iter().zip(narrow.bytes()) {
        // Up to three roundings to 8 bits lie between the two.
        assert!((f64::from(*wide) / 257.0 - f64::from(byte)).abs() < 2.0, "{wide} and {byte}");
    }
}

/// 17 pages of 4096 × 4096 pixels that share 256 KiB, which PackBits makes of 16 MiB of zeros.
#[test]
fn a_tiff_file_of_pages_that_share_their_bytes_is_refused() {
    let (side, pages, runs) = (4096_u32, 17_u32, 1 << 17);
    let strip = [0x81, 0].repeat(runs);
    let tags = [(256, side), (257, side), (258, 8), (259, 32773), (262, 1), (273, 8), (277, 1)];
    let tags = [&tags[..], &[(278, side), (279, strip.len() as u32)]].concat();
    let first = 8 + strip.len() as u32;
    let length = 2 + 12 * tags.len() as u32 + 4;
    let mut file = b"II*\0".to_vec();
    file.extend(first.to_le_bytes());
    file.extend(&strip);
    for page in 1..=pages {
        file.extend((tags.len() as u16).to_le_bytes());
        for (tag, value) in &tags {
            file.extend((*tag as u16).to_le_bytes());
            file.extend(4_u16.to_le_bytes());
            file.extend([1, *value].map(u32::to_le_bytes).concat());
        }
        let next = if page == pages { 0 } else { first + page * length };
        file.extend(next.to_le_bytes());
    }
    let place = tempdir().expect("a folder");
    let path = place.path().join("x.tiff");
    std::fs::write(&path, &file).expect("a file");
    let error = arrays::load(&path).expect_err("too many pages").to_string();
    assert!(error.contains("pages grow to more than 268435456"), "{error}");
}

#[test]
fn tiff_files_of_five_channels_are_read() {
    let place = tempdir().expect("a folder");
    let images = wide(1, 5);
    std::fs::write(place.path().join("a.tif"), five_bands(&images)).expect("a file");
    let all = loaded(Arc::new(arrays::open(place.path()).expect("a folder")), 0, None);
    assert_eq!(all, [images]);
    std::fs::write(place.path().join("a.tif"), b"II*\0....").expect("a file");
    let error = arrays::open(place.path()).expect_err("no file of it").to_string();
    assert!(error.contains("a.tif") && error.contains("TIFF"), "{error}");
}

/// A little-endian TIFF file of one strip, written by hand.
fn five_bands(images: &Images) -> Vec<u8> {
    let data = images.raw_bytes();
    let directory = 8 + data.len() as u32;
    let mut file = b"II*\0".to_vec();
    file.extend(directory.to_le_bytes());
    file.extend(&*data);
    // BitsPerSample of five samples and ExtraSamples of four do not fit into an entry.
    let beside = directory + 2 + 12 * 10 + 4;
    let entries: [(u16, u16, u32, u32); 10] = [
        (256, 4, 1, 4),                 // width
        (257, 4, 1, 6),                 // height
        (258, 3, 5, beside),            // bits per sample
        (259, 3, 1, 1),                 // not compressed
        (262, 3, 1, 1),                 // black is zero
        (273, 4, 1, 8),                 // where the strip begins
        (277, 3, 1, 5),                 // samples per pixel
        (278, 4, 1, 6),                 // rows per strip
        (279, 4, 1, data.len() as u32), // bytes of the strip
        (338, 3, 4, beside + 10),       // extra samples
    ];
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    file.extend([16u16; 5].iter().flat_map(|bits| bits.to_le_bytes()));
    file.extend([0u16; 4].iter().flat_map(|kind| kind.to_le_bytes()));
    file
}

#[test]
fn pairs_stack_values_of_16_bits() {
    let (images, conditions) = (wide(3, 3), wide(3, 1));
    let paired = Paired::new(Arc::new(images.clone()), Arc::new(conditions.clone()));
    let all = loaded(Arc::new(paired.expect("pairs")), 1, None);
    let both = Images::concat(&all.iter().collect::<Vec<_>>()).expect("images");
    let both = both.wide().expect("16 bits");
    assert_eq!(both.slice(ndarray::s![.., .., .., ..3]), images.wide().expect("16 bits"));
    assert_eq!(both.slice(ndarray::s![.., .., .., 3..]), conditions.wide().expect("16 bits"));
    assert!(Paired::new(Arc::new(images), Arc::new(narrow(3, 1))).is_err());
}
