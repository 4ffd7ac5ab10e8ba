//! Laws of the tasks that start from images.

use inkdrop_sampler::Sampler;
use inkdrop_sampler::edit::{
    Inpaint, Repaint, add_noise, img2img, img2img_schedule, inpaint, latent_grid, slerp,
};
use inkdrop_sampler::{SamplingRun, StepState};
use inkdrop_schedule::{LevelSpacing, SamplingSchedule};
use inkdrop_torch::PerImageNoise;
use inkdrop_torch::tch::{Kind, Tensor};

use crate::support::{F64, Mixture, largest, normal, schedule};

fn path(text: &str) -> SamplingSchedule {
    text.parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule()).unwrap()
}

fn noise() -> PerImageNoise {
    PerImageNoise::new(4, 0..2)
}

fn images() -> Tensor {
    Tensor::linspace(-0.9, 0.9, 2 * 64, F64).view([2, 1, 8, 8])
}

fn varied(strength: f64) -> Tensor {
    let (model, path) = (Mixture::two(), path("trailing50"));
    let (schedule, sampler) = (schedule(), Sampler::DDIM);
    img2img(&model, &sampler, (&schedule, &path), &images(), strength, &mut noise()).unwrap()
}

/// The stronger, the further from the image.
#[test]
fn strength_says_how_far_from_the_image_a_variation_lies() {
    let model = Mixture::two();
    let distances = [0.02, 0.1, 0.3, 1.0].map(|strength| {
        let out = varied(strength);
        assert!(largest(&out) < 2.0);
        f64::try_from((out - images()).abs().mean(Kind::Double)).unwrap()
    });
    assert!(distances.is_sorted(), "{distances:?}");
    assert!(distances[0] < 0.1, "{distances:?}");
    // With all of the path the image says almost nothing: ᾱ_T is 4e-5.
    let path = path("trailing50");
    let free = add_noise(&images().zeros_like(), path.start(), &mut noise()).unwrap();
    let mut none = PerImageNoise::new(0, 0..2);
    let free = Sampler::DDIM.sample(&model, &schedule(), &path, free, &mut none).unwrap();
    assert!(largest(&(free - varied(1.0))) < 0.2);
    for strength in [0.0, -0.5, 1.01, f64::NAN] {
        let (model, schedule) = (Mixture::two(), schedule());
        let sampler = Sampler::DDIM;
        let error =
            img2img(&model, &sampler, (&schedule, &path), &images(), strength, &mut noise());
        assert!(error.unwrap_err().to_string().contains("strength"));
    }
}

/// 0.28 · 50 is a little more than 14 in f64.
#[test]
fn whole_numbers_of_steps_are_not_rounded_up() {
    let path = path("trailing50");
    for (strength, steps) in [(0.28, 14), (0.56, 28), (0.281, 15), (0.02, 1), (1e-12, 1), (1.0, 50)]
    {
        assert_eq!(img2img_schedule(&path, strength).unwrap().len(), steps, "{strength}");
    }
}

fn left_half() -> Tensor {
    let mask = Tensor::ones([1, 1, 8, 8], F64);
    let _ = mask.narrow(3, 4, 4).fill_(0.0);
    mask
}

#[test]
fn kept_pixels_are_the_images_own_and_drawn_ones_are_data() {
    let (repaint, mask) = (Repaint { times: 3, jump: 5 }, left_half());
    let model = Mixture::gaussian(0.5, 0.1);
    let (mut noise, images_and_mask) = (noise(), (&images(), &mask));
    let schedule = path("trailing20");
    let mut run = Inpaint::new(&model, &schedule, images_and_mask, repaint, &mut noise).unwrap();
    let states: Vec<StepState> = run.by_ref().map(Result::unwrap).collect();
    let out = run.finish().unwrap();
    assert!(states.iter().enumerate().all(|(i, state)| state.index == i));
    let step_of = |timestep: f64| ((999.0 - timestep) / 50.0) as usize;
    let steps: Vec<usize> = states.iter().map(|state| step_of(state.timestep)).collect();
    let (drawn, kept) = (out.narrow(3, 0, 4), out.narrow(3, 4, 4));
    assert_eq!(kept, images().narrow(3, 4, 4));
    let mean = f64::try_from(drawn.mean(Kind::Double)).unwrap();
    assert!((mean - 0.5).abs() < 0.1 && largest(&(drawn - 0.5)) < 0.6, "{mean}");
    assert_eq!(steps.len(), repaint.calls(20));
    assert_eq!(steps[..12], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
    assert_eq!(steps[45..], [15, 16, 17, 18, 19], "the last part is walked once");
}

/// Two draws at the start; each step but the last draws for the drawn and for the kept pixels; and one
/// draw leads back before each pass but the first.
#[test]
fn noise_is_drawn_for_steps_and_for_ways_back() {
    let (model, path, mask) = (Mixture::gaussian(0.5, 0.1), path("trailing6"), left_half());
    let repaint = Repaint { times: 2, jump: 2 };
    let steps = repaint.calls(6);
    assert_eq!(steps, 10);
    let draws = 2 + 2 * (steps as i64 - 1) + 2;
    let run = |draws| {
        let mut tape = crate::support::tape(draws, &[2, 1, 8, 8]);
        inpaint(&model, &path, (&images(), &mask), repaint, &mut tape)
    };
    assert!(run(draws).is_ok() && run(draws - 1).is_err());
}

/// All pixels of an image are of one value: what is drawn must come to agree with what is kept.
#[test]
fn drawing_again_makes_the_drawn_part_fit() {
    /// Each image is one of two grays, −0.7 or 0.7, in all pixels.
    struct Gray;
    impl inkdrop_sampler::Denoiser for Gray {
        fn denoise(
            &self,
            x: &Tensor,
            step: &inkdrop_schedule::SolverStep,
        ) -> Result<inkdrop_process::Prediction, inkdrop_process::ProcessError> {
            let (signal, noise) = (step.from.signal(), step.from.noise());
            let evidence = x.sum_dim_intlist([1i64, 2, 3].as_slice(), true, Kind::Double);
            let x0 = ((evidence * (signal * 0.7 / noise.powi(2))).tanh() * 0.7).expand_as(x);
            let eps = (x - &x0 * signal) / noise;
            let log_variance = Tensor::from(step.posterior_variance().max(1e-20).ln());
            Ok(inkdrop_process::Prediction { x0, eps, log_variance, mean: None })
        }
    }
    let mask = Tensor::ones([1, 1, 8, 8], F64);
    let _ = mask.narrow(3, 7, 1).fill_(0.0); // 8 pixels of 64 are known
    let gray = Tensor::full([200, 1, 8, 8], 0.7, F64);
    let agreeing = |times| {
        let repaint = Repaint { times, jump: 20 };
        let mut noise = PerImageNoise::new(8, 0..200);
        let path = path("trailing100");
        let out = inpaint(&Gray, &path, (&gray, &mask), repaint, &mut noise).unwrap();
        f64::try_from(
            (out - 0.7).abs().amax([1i64, 2, 3].as_slice(), false).lt(0.3).sum(Kind::Double),
        )
        .unwrap()
    };
    let (once, often) = (agreeing(1), agreeing(10));
    assert!(often > once + 20.0, "{once} and {often} of 200 fit");
}

#[test]
fn masks_of_another_size_are_refused() {
    let mask = Tensor::ones([1, 1, 8, 7], F64);
    let (model, path) = (Mixture::two(), path("trailing5"));
    let error = inpaint(&model, &path, (&images(), &mask), Repaint::default(), &mut noise());
    let text = error.unwrap_err().to_string();
    assert!(text.contains("mask [1, 1, 8, 7]") && text.contains("[2, 1, 8, 8]"), "{text}");
    let none = Repaint { times: 0, jump: 1 };
    let error = inpaint(&model, &path, (&images(), &left_half()), none, &mut noise());
    assert!(error.unwrap_err().to_string().contains("repaint 0 times"));
    for times in [1_000_000, usize::MAX] {
        let endless = Repaint { times, jump: 1 };
        let error = inpaint(&model, &path, (&images(), &left_half()), endless, &mut noise());
        assert!(error.unwrap_err().to_string().contains("at most 1000000 network calls"));
    }
    let whole = Repaint { times: 3, jump: usize::MAX };
    assert!(inpaint(&model, &path, (&images(), &left_half()), whole, &mut noise()).is_ok());
    assert_eq!((whole.calls(5), Repaint { times: 1, jump: 0 }.calls(0)), (5, 0));
}

#[test]
fn slerp_keeps_the_norm_and_the_ends() {
    let [a, b] = [1, 2].map(|seed| normal(seed, &[3, 3, 8, 8]));
    assert!(largest(&(slerp(&a, &b, 0.0).unwrap() - &a)) < 1e-12);
    assert!(largest(&(slerp(&a, &b, 1.0).unwrap() - &b)) < 1e-12);
    for row in 0..3 {
        let norm = |x: &Tensor| f64::try_from(x.get(row).norm()).unwrap();
        let middle = norm(&slerp(&a, &b, 0.5).unwrap());
        let straight = norm(&((&a + &b) * 0.5));
        let (low, high) = (norm(&a).min(norm(&b)), norm(&a).max(norm(&b)));
        assert!(middle > 0.97 * low && middle < 1.03 * high, "{middle}");
        assert!(straight < 0.8 * low);
    }
    assert!(largest(&(slerp(&a, &a, 0.3).unwrap() - &a)) < 1e-6, "the same noise stays");
}

#[test]
fn a_latent_grid_has_its_corners() {
    let corners: Vec<Tensor> = (0..4).map(|seed| normal(seed, &[1, 1, 2, 2])).collect();
    let grid = latent_grid([&corners[0], &corners[1], &corners[2], &corners[3]], 3, 4).unwrap();
    assert_eq!(grid.size(), [12, 1, 2, 2]);
    for (place, corner) in [(0, 0), (8, 1), (3, 2), (11, 3)] {
        assert!(largest(&(grid.get(place) - corners[corner].get(0))) < 1e-12);
    }
    let refs = [&corners[0], &corners[1], &corners[2], &corners[3]];
    assert!(latent_grid(refs, 0, 4).unwrap_err().to_string().contains("0 by 4"));
}
