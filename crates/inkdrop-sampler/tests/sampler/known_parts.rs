//! Laws of editing by a known part.

use inkdrop_sampler::edit::add_noise;
use inkdrop_sampler::{KnownPart, Sampler, WithKnownPart};
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::PerImageNoise;
use inkdrop_torch::tch::Tensor;

use crate::support::{F64, Mixture, largest, schedule};

/// Images of three channels with all kinds of values.
fn images() -> Tensor {
    let values = Tensor::arange(2 * 3 * 64, F64).multiply_scalar(0.7).sin();
    values.view([2, 3, 8, 8]) * 0.9
}

fn luma(x: &Tensor) -> Tensor {
    let weights = Tensor::from_slice(&[0.299, 0.587, 0.114]).view([1, 3, 1, 1]);
    (x * weights).sum_dim_intlist(&[1_i64][..], true, None)
}

fn means(x: &Tensor) -> Tensor {
    x.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None)
}

fn mask() -> Tensor {
    let mask = Tensor::zeros([1, 1, 8, 8], F64);
    let _ = mask.narrow(2, 2, 5).narrow(3, 1, 4).fill_(1.0);
    mask
}

fn sampled(sampler: &str, known: KnownPart, seed: u64) -> Tensor {
    let sampler: Sampler = sampler.parse().unwrap();
    let levels = "trailing20".parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule());
    let (levels, mut noise) = (levels.unwrap(), PerImageNoise::new(seed, 0..2));
    let x = add_noise(known.images(), levels.start(), &mut noise).unwrap();
    let denoiser = WithKnownPart::new(Mixture::two(), known);
    sampler.sample(&denoiser, &schedule(), &levels, x, &mut noise).unwrap()
}

/// Whatever the sampler, the known part is that of the images; the rest is not, and depends on the seed.
#[test]
fn samples_have_the_known_part() {
    let given = images();
    let small = means(&given);
    let gray = luma(&given);
    for sampler in ["consistency", "ddim", "ddpm", "dpm++2m"] {
        let pixels = || KnownPart::pixels(&given, &mask()).unwrap();
        let (a, b) = (sampled(sampler, pixels(), 1), sampled(sampler, pixels(), 2));
        assert!(largest(&((&a - &given) * (1.0 - mask()))) < 1e-6, "{sampler}");
        assert!(largest(&((&a - &b) * mask())) > 0.01, "{sampler}");
        let up = sampled(sampler, KnownPart::means(&small, 4).unwrap(), 1);
        assert!(largest(&(means(&up) - &small)) < 1e-6, "{sampler}");
        assert!(
            largest(
                &(&up
                    - small
                        .repeat_interleave_self_int(4, 2, None)
                        .repeat_interleave_self_int(4, 3, None))
            ) > 0.01
        );
        let coloured = sampled(sampler, KnownPart::luma(&gray).unwrap(), 1);
        assert!(largest(&(luma(&coloured) - &gray)) < 1e-6, "{sampler}");
        let again = sampled(sampler, KnownPart::luma(&given).unwrap(), 1);
        assert!(largest(&(again - coloured)) < 1e-9, "colours that are given do not count");
    }
}

/// A projection: twice is once, and images with the known part do not change.
#[test]
fn projecting_twice_is_projecting_once() {
    let (given, other) = (images(), images().flip([2]) * 0.5);
    let parts = [
        KnownPart::pixels(&given, &mask()).unwrap(),
        KnownPart::means(&means(&given), 4).unwrap(),
        KnownPart::luma(&luma(&given)).unwrap(),
    ];
    for part in parts {
        let once = part.project(&other).unwrap();
        assert!(largest(&(part.project(&once).unwrap() - &once)) < 1e-12);
        assert!(largest(&(part.project(&given).unwrap() - &given)) < 1e-12);
        // The least change: the correction is orthogonal to what stays free.
        let (correction, free) = (&once - &other, &given - &once);
        assert!(f64::try_from((correction * free).sum(None)).unwrap().abs() < 1e-9);
    }
}

/// A mask that keeps nothing samples as without a known part.
#[test]
fn nothing_known_is_ordinary_sampling() {
    let everything = Tensor::ones([1, 1, 8, 8], F64);
    let known = KnownPart::pixels(&images(), &everything).unwrap();
    let levels =
        "trailing20".parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule()).unwrap();
    let mut noise = PerImageNoise::new(3, 0..2);
    let x = add_noise(known.images(), levels.start(), &mut noise).unwrap();
    let free = Sampler::DDIM.sample(&Mixture::two(), &schedule(), &levels, x, &mut noise).unwrap();
    assert!(largest(&(free - sampled("ddim", known, 3))) < 1e-12);
}

#[test]
fn wrong_parts_are_named() {
    let check = |known: Result<KnownPart, inkdrop_sampler::SamplerError>, part: &str| {
        let message = known.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    check(KnownPart::pixels(&images(), &Tensor::ones([1, 1, 4, 4], F64)), "mask");
    check(KnownPart::means(&images(), 1), "factor");
    check(KnownPart::luma(&images().narrow(1, 0, 2)), "[B, 1 or 3, H, W]");
}
