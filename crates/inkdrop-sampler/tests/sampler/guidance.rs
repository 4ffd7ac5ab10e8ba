//! Laws of guidance.

use inkdrop_process::{FnDenoiser, NetworkOutput, Prediction, ProcessError};
use inkdrop_sampler::{
    ClassifierFreeGuidance, ClassifierGuidance, ClipDenoised, Denoiser, DynamicThresholding,
    GuidanceInterval, Sampler,
};
use inkdrop_schedule::{LevelSpacing, ScheduleConfig, SolverStep};
use inkdrop_torch::tch::{Kind, Tensor};

use crate::support::{F64, Mixture, largest, normal, schedule, tape};

fn steps() -> Vec<SolverStep> {
    let path = "karras9".parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule()).unwrap();
    path.steps().to_vec()
}

fn x() -> Tensor {
    normal(2, &[3, 1, 4, 4])
}

fn near(a: &Prediction, b: &Prediction) -> bool {
    largest(&(&a.x0 - &b.x0)) < 1e-9 && largest(&(&a.eps - &b.eps)) < 1e-9
}

const OUTPUTS: [NetworkOutput; 5] = [
    NetworkOutput::Epsilon,
    NetworkOutput::Sample,
    NetworkOutput::V,
    NetworkOutput::FlowVelocity,
    NetworkOutput::TrigFlowVelocity { sigma_data: 0.5 },
];

fn one() -> Mixture {
    Mixture::gaussian(0.5, 0.15)
}

#[test]
fn scale_0_is_the_one_and_scale_1_the_other() {
    for step in steps() {
        let at = |scale| {
            ClassifierFreeGuidance::new(one(), Mixture::two(), scale).denoise(&x(), &step).unwrap()
        };
        assert!(near(&at(0.0), &Mixture::two().denoise(&x(), &step).unwrap()));
        assert!(near(&at(1.0), &one().denoise(&x(), &step).unwrap()));
        let (two, three) = (at(2.0), at(3.0));
        let change = three.x0 - &two.x0;
        assert!(largest(&(two.x0 - at(1.0).x0 - change)) < 1e-9, "linear in the scale");
        let again = &two.eps * step.from.noise() + (at(2.0).x0) * step.from.signal();
        assert!(largest(&(again - x())) < 1e-9, "x is still made of both");
    }
}

#[test]
fn outside_its_interval_guidance_leaves_the_model_alone() {
    struct Never;
    impl Denoiser for Never {
        fn denoise(&self, _: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
            assert!(step.from.sigma() > 0.3 && step.from.sigma() <= 5.0, "called at {step:?}");
            Mixture::two().denoise(&Tensor::zeros([3, 1, 4, 4], F64), step)
        }
    }
    let interval = GuidanceInterval { low: 0.3, high: 5.0 };
    let guided = ClassifierFreeGuidance::new(one(), Never, 4.0).interval(interval);
    for step in steps() {
        let prediction = guided.denoise(&x(), &step).unwrap();
        let outside = step.from.sigma() <= 0.3 || step.from.sigma() > 5.0;
        assert_eq!(near(&prediction, &one().denoise(&x(), &step).unwrap()), outside);
    }
}

#[test]
fn wholly_rescaled_guidance_has_the_spread_of_the_condition() {
    for step in steps() {
        for output in OUTPUTS {
            let guided =
                ClassifierFreeGuidance::new(one(), Mixture::two(), 6.0).rescale(1.0, output);
            let (prediction, cond) =
                (guided.denoise(&x(), &step).unwrap(), one().denoise(&x(), &step).unwrap());
            let of = |prediction: &Prediction| prediction.output(output, &step).unwrap();
            for row in 0..3 {
                let spread = |x: Tensor| f64::try_from(x.get(row).std(true)).unwrap();
                assert!((spread(of(&prediction)) - spread(of(&cond))).abs() < 1e-6, "{output:?}");
            }
        }
        let prediction =
            ClassifierFreeGuidance::new(one(), Mixture::two(), 6.0).rescale(0.7, NetworkOutput::V);
        let prediction = prediction.denoise(&x(), &step).unwrap();
        let again = &prediction.eps * step.from.noise() + &prediction.x0 * step.from.signal();
        assert!(largest(&(again - x())) < 1e-9);
    }
}

/// Adaptive projected guidance: without its parallel part, the update is orthogonal to the prediction.
#[test]
fn guidance_without_its_parallel_part_is_orthogonal() {
    let output = NetworkOutput::Sample;
    for step in steps() {
        let cond = one().denoise(&x(), &step).unwrap().x0;
        let guided = |kept| {
            let guided = ClassifierFreeGuidance::new(one(), Mixture::two(), 3.0);
            guided.parallel(kept, output).denoise(&x(), &step).unwrap()
        };
        let update = guided(0.0).x0 - &cond;
        let product = (&update * &cond).flatten(1, -1).sum_dim_intlist(1, false, Kind::Double);
        assert!(largest(&product) < 1e-9, "{product}");
        let half = (guided(0.0).x0 + guided(1.0).x0) / 2.0;
        assert!(largest(&(guided(0.5).x0 - half)) < 1e-9, "linear in the part that is kept");
        let plain = ClassifierFreeGuidance::new(one(), Mixture::two(), 3.0);
        assert!(near(&guided(1.0), &plain.denoise(&x(), &step).unwrap()));
    }
}

/// An untrained network predicts 0 everywhere: 0/0 counts as 1.
#[test]
fn flat_predictions_are_not_rescaled() {
    let flat = |value: f64| FnDenoiser::new(move |x, _| Ok(x.zeros_like() + value));
    let varied = || FnDenoiser::new(|x, _| Ok(x * 0.5));
    let step = steps()[0];
    let of = |guided: &dyn Denoiser| guided.denoise(&x(), &step).unwrap();
    for rescale in [0.7, 1.0] {
        let output = NetworkOutput::Sample;
        let both = || ClassifierFreeGuidance::new(flat(0.0), flat(0.25), 2.0);
        let cond = || ClassifierFreeGuidance::new(flat(0.25), varied(), 2.0);
        assert!(near(&of(&both().rescale(rescale, output)), &of(&both())));
        assert!(near(&of(&cond().rescale(rescale, output)), &of(&cond())));
    }
}

/// Bayes' rule: the mixture guided by the exact classifier of its second part is that part.
#[test]
fn a_perfect_classifier_makes_the_conditional_model() {
    let mixture = Mixture::two();
    for step in steps() {
        let log_probability = |x: &Tensor, time: f64| {
            assert_eq!(time, step.from.timestep);
            let joint = Tensor::stack(&mixture.log_joint(x, step.from), 0);
            Ok(joint.log_softmax(0, Kind::Double).get(1).flatten(1, -1).sum_dim_intlist(
                [1i64].as_slice(),
                false,
                Kind::Double,
            ))
        };
        let guided = ClassifierGuidance::new(Mixture::two(), log_probability, 1.0);
        let _guard = inkdrop_torch::tch::no_grad_guard();
        let prediction = guided.denoise(&x(), &step).unwrap();
        let exact = one().denoise(&x(), &step).unwrap();
        assert!(largest(&(prediction.eps - exact.eps)) < 1e-6, "at {step:?}");
    }
}

#[test]
fn clipped_images_stay_in_range() {
    for step in steps() {
        let wide = ClassifierFreeGuidance::new(one(), Mixture::two(), 40.0);
        let prediction = ClipDenoised::new(&wide).denoise(&x(), &step).unwrap();
        let kept = ClipDenoised::new(&wide).keep_noise().denoise(&x(), &step).unwrap();
        assert!(kept.x0.equal(&prediction.x0));
        assert!(kept.eps.equal(&wide.denoise(&x(), &step).unwrap().eps));
        assert!(largest(&prediction.x0) <= 1.0);
        let free = wide.denoise(&x(), &step).unwrap();
        assert!(largest(&(free.x0.clamp(-1.0, 1.0) - prediction.x0)) < 1e-9);
    }
}

/// Most pixels keep their order and the requested fraction stays unclamped.
#[test]
fn a_dynamic_threshold_scales_into_range_and_leaves_small_images_alone() {
    for step in steps() {
        let wide = ClassifierFreeGuidance::new(one(), Mixture::two(), 40.0);
        let free = wide.denoise(&x(), &step).unwrap().x0;
        let prediction = DynamicThresholding::new(&wide, 1.0).denoise(&x(), &step).unwrap().x0;
        for row in 0..3 {
            let most = largest(&free.get(row)).max(1.0);
            assert!(largest(&(free.get(row) / most - prediction.get(row))) < 1e-9);
        }
        let small = DynamicThresholding::new(one(), 0.995).denoise(&x(), &step).unwrap();
        let same = one().denoise(&x(), &step).unwrap();
        if largest(&same.x0) < 1.0 {
            assert!(near(&small, &same));
        }
        let held =
            DynamicThresholding::new(&wide, 1.0).max_value(1.0).denoise(&x(), &step).unwrap().x0;
        assert!(largest(&(free.clamp(-1.0, 1.0) - held)) < 1e-9);
    }
}

/// From pure noise, where ε says nothing: v and x0 do, and a classifier is left out.
#[test]
fn guidance_works_where_there_is_no_signal() {
    let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(1000)) };
    let path = "trailing10"
        .parse::<LevelSpacing>()
        .unwrap()
        .sampling_schedule(&zero.build().unwrap())
        .unwrap();
    let step = path.steps()[0];
    for output in OUTPUTS.into_iter().filter(|output| *output != NetworkOutput::Epsilon) {
        let guided = ClassifierFreeGuidance::new(one(), Mixture::two(), 3.0).rescale(0.7, output);
        assert!(largest(&guided.denoise(&x(), &step).unwrap().x0) < 3.0);
    }
    let never = |_: &Tensor, _: f64| -> Result<Tensor, ProcessError> { panic!("called") };
    let guided = ClassifierGuidance::new(one(), never, 2.0);
    assert!(near(&guided.denoise(&x(), &step).unwrap(), &one().denoise(&x(), &step).unwrap()));
}

/// Half precision keeps its kind, and large sums are no infinities.
#[test]
fn half_precision_is_finite() {
    let path = "trailing3".parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule()).unwrap();
    for kind in [Kind::Half, Kind::BFloat16] {
        let model = DynamicThresholding::new(Mixture::gaussian(0.9, 0.1), 0.995);
        let x = Tensor::ones([1, 3, 256, 256], (kind, inkdrop_torch::tch::Device::Cpu));
        let mut noise = tape(0, &[1]);
        let out = Sampler::Euler.sample(&model, &schedule(), &path, x, &mut noise);
        assert_eq!(out.unwrap().kind(), kind);
    }
}

/// ClassifierFreeGuidance samples lie where the condition is likelier.
#[test]
fn guidance_pulls_samples_towards_the_condition() {
    let path = "karras20".parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule()).unwrap();
    let mean = |scale: f64| {
        let model = ClassifierFreeGuidance::new(one(), Mixture::two(), scale);
        let mut noise = tape(0, &[1]);
        let x = x();
        let sampler = Sampler::Heun;
        let out = sampler.sample(&model, &schedule(), &path, x, &mut noise).unwrap();
        f64::try_from(out.mean(Kind::Double)).unwrap()
    };
    let means = [0.0, 1.0, 2.0].map(mean);
    assert!(means[0] < means[1] && means[1] <= means[2] + 1e-3, "{means:?}");
}
