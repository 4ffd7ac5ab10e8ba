//! Laws of guidance.

use inkdrop_process::{MeanType, Prediction, ProcessError};
use inkdrop_sampler::{
    ClassifierGuided, Clipped, DynamicThreshold, Guided, Interval, Predictor, Sampler,
};
use inkdrop_schedule::{Leg, Levels, ScheduleConfig};
use inkdrop_torch::tch::{Kind, Tensor};

use crate::support::{F64, Mixture, largest, schedule, tape};

fn legs() -> Vec<Leg> {
    let path = "karras9".parse::<Levels>().unwrap().path(&schedule()).unwrap();
    path.legs().to_vec()
}

fn x() -> Tensor {
    inkdrop_torch::tch::manual_seed(2);
    Tensor::randn([3, 1, 4, 4], F64)
}

fn near(a: &Prediction, b: &Prediction) -> bool {
    largest(&(&a.x0 - &b.x0)) < 1e-9 && largest(&(&a.eps - &b.eps)) < 1e-9
}

fn one() -> Mixture {
    Mixture::gaussian(0.5, 0.15)
}

#[test]
fn scale_0_is_the_one_and_scale_1_the_other() {
    for leg in legs() {
        let at = |scale| Guided::new(one(), Mixture::two(), scale).predict(&x(), &leg).unwrap();
        assert!(near(&at(0.0), &Mixture::two().predict(&x(), &leg).unwrap()));
        assert!(near(&at(1.0), &one().predict(&x(), &leg).unwrap()));
        let (two, three) = (at(2.0), at(3.0));
        let step = three.x0 - &two.x0;
        assert!(largest(&(two.x0 - at(1.0).x0 - step)) < 1e-9, "a straight line");
        let again = &two.eps * leg.from.noise() + (at(2.0).x0) * leg.from.signal();
        assert!(largest(&(again - x())) < 1e-9, "x is still made of both");
    }
}

#[test]
fn outside_its_interval_guidance_leaves_the_model_alone() {
    struct Never;
    impl Predictor for Never {
        fn predict(&self, _: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
            assert!(leg.from.sigma() > 0.3 && leg.from.sigma() <= 5.0, "asked at {leg:?}");
            Mixture::two().predict(&Tensor::zeros([3, 1, 4, 4], F64), leg)
        }
    }
    let interval = Interval { low: 0.3, high: 5.0 };
    let guided = Guided::new(one(), Never, 4.0).within(interval);
    for leg in legs() {
        let said = guided.predict(&x(), &leg).unwrap();
        let outside = leg.from.sigma() <= 0.3 || leg.from.sigma() > 5.0;
        assert_eq!(near(&said, &one().predict(&x(), &leg).unwrap()), outside);
    }
}

#[test]
fn wholly_rescaled_guidance_has_the_spread_of_the_condition() {
    for leg in legs() {
        for mean in [MeanType::Epsilon, MeanType::StartX, MeanType::V] {
            let guided = Guided::new(one(), Mixture::two(), 6.0).rescaled(1.0, mean);
            let (said, asked) =
                (guided.predict(&x(), &leg).unwrap(), one().predict(&x(), &leg).unwrap());
            let of = |said: &Prediction| match mean {
                MeanType::Epsilon => said.eps.shallow_clone(),
                MeanType::V => said.v(&leg).unwrap(),
                _ => said.x0.shallow_clone(),
            };
            for row in 0..3 {
                let spread = |x: Tensor| f64::try_from(x.get(row).std(true)).unwrap();
                assert!((spread(of(&said)) - spread(of(&asked))).abs() < 1e-6, "{mean}");
            }
        }
        let said = Guided::new(one(), Mixture::two(), 6.0).rescaled(0.7, MeanType::V);
        let said = said.predict(&x(), &leg).unwrap();
        let again = &said.eps * leg.from.noise() + &said.x0 * leg.from.signal();
        assert!(largest(&(again - x())) < 1e-9);
    }
}

/// Bayes' rule: the mixture guided by the exact classifier of its second part is that part.
#[test]
fn a_perfect_classifier_makes_the_conditional_model() {
    let mixture = Mixture::two();
    for leg in legs() {
        let log_probability = |x: &Tensor, time: f64| {
            assert_eq!(time, leg.from.time);
            let joint = Tensor::stack(&mixture.log_joint(x, leg.from), 0);
            Ok(joint.log_softmax(0, Kind::Double).get(1).flatten(1, -1).sum_dim_intlist(
                [1i64].as_slice(),
                false,
                Kind::Double,
            ))
        };
        let guided = ClassifierGuided::new(Mixture::two(), log_probability, 1.0);
        let _guard = inkdrop_torch::tch::no_grad_guard();
        let said = guided.predict(&x(), &leg).unwrap();
        let exact = one().predict(&x(), &leg).unwrap();
        assert!(largest(&(said.eps - exact.eps)) < 1e-6, "at {leg:?}");
    }
}

#[test]
fn clipped_images_stay_in_range() {
    for leg in legs() {
        let wide = Guided::new(one(), Mixture::two(), 40.0);
        let said = Clipped(&wide).predict(&x(), &leg).unwrap();
        assert!(largest(&said.x0) <= 1.0);
        let free = wide.predict(&x(), &leg).unwrap();
        assert!(largest(&(free.x0.clamp(-1.0, 1.0) - said.x0)) < 1e-9);
    }
}

/// Most pixels keep their order and the share asked for stays unclamped.
#[test]
fn a_dynamic_threshold_scales_into_range_and_leaves_small_images_alone() {
    for leg in legs() {
        let wide = Guided::new(one(), Mixture::two(), 40.0);
        let free = wide.predict(&x(), &leg).unwrap().x0;
        let said = DynamicThreshold::new(&wide, 1.0).predict(&x(), &leg).unwrap().x0;
        for row in 0..3 {
            let most = largest(&free.get(row)).max(1.0);
            assert!(largest(&(free.get(row) / most - said.get(row))) < 1e-9);
        }
        let small = DynamicThreshold::new(one(), 0.995).predict(&x(), &leg).unwrap();
        let same = one().predict(&x(), &leg).unwrap();
        if largest(&same.x0) < 1.0 {
            assert!(near(&small, &same));
        }
        let held = DynamicThreshold::new(&wide, 1.0).at_most(1.0).predict(&x(), &leg).unwrap().x0;
        assert!(largest(&(free.clamp(-1.0, 1.0) - held)) < 1e-9);
    }
}

/// From pure noise, where ε says nothing: v and x0 do, and a classifier is left out.
#[test]
fn guidance_works_where_there_is_no_signal() {
    let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(1000)) };
    let path = "trailing10".parse::<Levels>().unwrap().path(&zero.build().unwrap()).unwrap();
    let leg = path.legs()[0];
    for mean in [MeanType::StartX, MeanType::V] {
        let guided = Guided::new(one(), Mixture::two(), 3.0).rescaled(0.7, mean);
        assert!(largest(&guided.predict(&x(), &leg).unwrap().x0) < 3.0);
    }
    let never = |_: &Tensor, _: f64| -> Result<Tensor, ProcessError> { panic!("asked") };
    let guided = ClassifierGuided::new(one(), never, 2.0);
    assert!(near(&guided.predict(&x(), &leg).unwrap(), &one().predict(&x(), &leg).unwrap()));
}

/// Half precision keeps its kind, and large sums are no infinities.
#[test]
fn half_precision_is_finite() {
    let path = "trailing3".parse::<Levels>().unwrap().path(&schedule()).unwrap();
    for kind in [Kind::Half, Kind::BFloat16] {
        let model = DynamicThreshold::new(Mixture::gaussian(0.9, 0.1), 0.995);
        let x = Tensor::ones([1, 3, 256, 256], (kind, inkdrop_torch::tch::Device::Cpu));
        let mut noise = tape(0, &[1]);
        let out = Sampler::Euler.walk(&model, &schedule(), &path, x, &mut noise, &mut |_| {});
        assert_eq!(out.unwrap().kind(), kind);
    }
}

/// Guided samples lie where the condition is likelier.
#[test]
fn guidance_pulls_samples_towards_the_condition() {
    let path = "karras20".parse::<Levels>().unwrap().path(&schedule()).unwrap();
    let mean = |scale: f64| {
        let model = Guided::new(one(), Mixture::two(), scale);
        let mut noise = tape(0, &[1]);
        let x = x();
        let sampler = Sampler::Heun;
        let out = sampler.walk(&model, &schedule(), &path, x, &mut noise, &mut |_| {}).unwrap();
        f64::try_from(out.mean(Kind::Double)).unwrap()
    };
    let means = [0.0, 1.0, 2.0].map(mean);
    assert!(means[0] < means[1] && means[1] <= means[2] + 1e-3, "{means:?}");
}
