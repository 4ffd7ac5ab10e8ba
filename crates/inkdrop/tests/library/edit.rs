//! Editing by a pipeline.

use inkdrop::data::arrays;
use inkdrop::sampler::Sampler;
use inkdrop::sampler::edit::Repaint;
use inkdrop::torch::tch::Device;
use inkdrop::{Images, Pipeline, mask};
use ndarray::Array2;

fn heroes() -> (Pipeline, Images) {
    let pipeline = Pipeline::open("sprites").unwrap().class("hero").steps(10);
    let images = pipeline.sample(2).unwrap().to_images();
    (pipeline, images)
}

#[test]
fn inpainting_keeps_what_is_not_masked() {
    let (pipeline, images) = heroes();
    let mask = Array2::from_shape_fn((16, 16), |(row, _)| row >= 8);
    let painted = pipeline.inpaint(&images, &mask, Repaint { times: 1, jump: 1 }).unwrap();
    let (mut kept, mut changed) = (0, 0);
    for ((image, row, column, channel), value) in painted.images().indexed_iter() {
        match (mask[[row, column]], *value == images.view()[[image, row, column, channel]]) {
            (false, same) => kept += usize::from(same),
            (true, same) => changed += usize::from(!same),
        }
    }
    assert_eq!(kept, 2 * 8 * 16 * 3);
    assert!(changed > 0);
    let small = Array2::from_elem((8, 8), true);
    let error = pipeline.inpaint(&images, &small, Repaint::default()).unwrap_err();
    assert!(error.to_string().contains("the mask is 8 x 8"), "{error}");
}

/// Gray images are coloured as their RGB form is.
#[test]
fn gray_images_are_coloured() {
    let (pipeline, images) = heroes();
    let gray = images.with_channels(1).unwrap();
    let coloured = pipeline.colorize(&gray).unwrap();
    let same = pipeline.colorize(&gray.with_channels(3).unwrap()).unwrap();
    assert_eq!(coloured.images(), same.images());
}

#[test]
fn masks_of_another_size_are_refused() {
    let (_, images) = heroes();
    let (small, whole) = (vec![true; 10], vec![true; 256]);
    for wrong in [&[][..], &[&whole], &[&whole, &small]] {
        assert!(mask::compose(None, &images, wrong).is_err());
    }
    assert!(mask::compose(Some(&images.select(&[0]).unwrap()), &images, &[&whole; 2]).is_err());
    assert!(mask::compose(None, &images, &[&whole; 2]).is_ok());
    for wrong in [&[][..], &[&small], &[&whole, &small]] {
        assert!(mask::to_tensor(wrong, 16, Device::Cpu).is_err());
    }
    assert_eq!(mask::to_tensor(&[&whole], 16, Device::Cpu).unwrap().size(), [1, 1, 16, 16]);
}

#[test]
fn inpainting_keeps_values_of_16_bits() {
    let (pipeline, images) = heroes();
    let mut values = images.view().mapv(|value| 257 * u16::from(value));
    values.indexed_iter_mut().for_each(|((_, y, x, c), value)| *value ^= (y * 16 + x + c) as u16);
    let images = Images::of_wide(values).unwrap();
    let mask = Array2::from_shape_fn((16, 16), |(row, _)| row >= 8);
    let painted = pipeline.inpaint(&images, &mask, Repaint { times: 1, jump: 1 }).unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("x.tiff");
    painted.save(&file).unwrap();
    let (found, given) = (arrays::load(&file).unwrap(), images.wide().unwrap());
    assert_eq!(found, painted.to_images());
    let upper = ndarray::s![.., ..8, .., ..];
    assert_eq!(found.wide().unwrap().slice(upper), given.slice(upper));
    assert_ne!(found.wide().unwrap(), given);
}

#[test]
fn inversion_leads_back() {
    let (pipeline, images) = heroes();
    let pipeline = pipeline.steps(50);
    let noise = pipeline.invert(&images, 3).unwrap();
    assert_eq!(noise.size(), [2, 3, 16, 16]);
    let again = pipeline.sample_from(&noise).unwrap();
    let off: f64 =
        images.bytes().iter().zip(again.images()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    assert!(off / (images.bytes().len() as f64) < 2.0, "{off}");
}

/// A setting that would be ignored is an error.
#[test]
fn methods_with_their_own_sampler_take_no_other() {
    let (pipeline, images) = heroes();
    let mask = Array2::from_elem((16, 16), true);
    let said = |pipeline: &Pipeline, what: &str| {
        let painted = pipeline.inpaint(&images, &mask, Repaint::default()).unwrap_err();
        let inverted = pipeline.invert(&images, 3).unwrap_err();
        for error in [painted.to_string(), inverted.to_string()] {
            assert!(error.contains(what) && error.contains("its own sampler"), "{error}");
        }
    };
    let pipeline = pipeline.sampler(Sampler::Ddpm);
    said(&pipeline, "a sampler");
    let pipeline = pipeline.reset().spacing("karras");
    said(&pipeline, "a spacing");
    let pipeline = pipeline.reset().eta(0.5);
    said(&pipeline, "eta");
    said(&pipeline.reset().use_clipped_model_output(false), "use_clipped_model_output");
}

#[test]
fn the_ends_of_an_interpolation_are_the_images() {
    let (pipeline, images) = heroes();
    let row = pipeline.steps(50).interpolate(&images, 4).unwrap();
    assert_eq!(row.len(), 4);
    let mean = |image: usize, end: usize| {
        let (a, b) = (row.to_images(), images.clone());
        let pairs = a.image(image).iter().zip(b.image(end));
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.image(image).len() as f64
    };
    assert!(mean(0, 0) < 2.0 && mean(3, 1) < 2.0, "{} {}", mean(0, 0), mean(3, 1));
    assert!(mean(1, 0) > mean(0, 0));
}

#[test]
fn strength_is_how_far_an_image_goes() {
    let (pipeline, images) = heroes();
    let pipeline = pipeline.seed(1); // the noise that made the images would make them again
    let mean = |strength: f64| {
        let varied = pipeline.img2img(&images, strength).unwrap();
        let pairs = images.bytes().iter().zip(varied.images());
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>()
    };
    assert!(mean(0.1) < mean(0.9));
    for wrong in [0.0, 1.5, f64::NAN] {
        let error = pipeline.img2img(&images, wrong).unwrap_err();
        assert!(error.to_string().contains("above 0"), "{error}");
    }
}

#[test]
fn what_a_model_cannot_do_is_said() {
    let (pipeline, images) = heroes();
    let error = pipeline.upscale(&images).unwrap_err().to_string();
    assert!(error.contains("smaller by an integer factor of at least 2"), "{error}");
    let large = Images::new(ndarray::Array4::zeros((1, 32, 32, 3))).unwrap();
    let error = pipeline.img2img(&large, 0.5).unwrap_err().to_string();
    assert!(error.contains("32 x 32 x 3") && error.contains("16 x 16 x 3"), "{error}");
    let error = pipeline.interpolate(&images, 1).unwrap_err().to_string();
    assert!(error.contains("at least 2"), "{error}");
}

/// The means that are given, the luma that is given, and the pixels that are kept.
#[test]
fn images_are_enlarged_and_coloured_by_what_is_known() {
    let means = |images: ndarray::ArrayView4<u8>| {
        let mean = |(n, row, column, channel): (usize, usize, usize, usize)| {
            let part = images.slice(ndarray::s![
                n,
                4 * row..4 * row + 4,
                4 * column..4 * column + 4,
                channel
            ]);
            part.iter().map(|&value| f64::from(value)).sum::<f64>() / 16.0
        };
        ndarray::Array4::from_shape_fn((images.shape()[0], 4, 4, 3), mean)
    };
    let luma = |images: ndarray::ArrayView4<u8>| {
        images.map_axis(ndarray::Axis(3), |rgb| {
            0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2])
        })
    };
    for name in ["sprites", "sprites-fast"] {
        let pipeline = Pipeline::open(name).unwrap().class("hero").seed(7);
        let heroes = pipeline.sample(3).unwrap().to_images();
        let small = Images::new(means(heroes.view()).mapv(|mean| mean.round() as u8)).unwrap();
        let large = pipeline.upscale(&small).unwrap();
        // Off by 0.5 to 1 of 255: pixels end at 0 and 255, so that a few means cannot be met.
        let off = (means(large.images()) - small.view().mapv(f64::from)).mapv(f64::abs);
        assert!(off.mean().unwrap() < 1.5, "{name}: {}", off.mean().unwrap());
        let coloured = pipeline.colorize(&heroes).unwrap();
        let off = (luma(coloured.images()) - luma(heroes.view())).mapv(f64::abs);
        assert!(off.mean().unwrap() < 1.5, "{name}: {}", off.mean().unwrap());
        assert!(heroes.view() != coloured.images(), "{name}");
    }
    let gray = Pipeline::open("fashion").unwrap().class("each");
    let images = Images::new(ndarray::Array4::zeros((1, 28, 28, 1))).unwrap();
    let error = gray.colorize(&images).unwrap_err().to_string();
    assert!(error.contains("1 channels: expected 3"), "{error}");
}
