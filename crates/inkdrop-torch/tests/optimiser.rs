//! What is done to many tensors at once is what is done to each.
#![allow(clippy::unwrap_used)]

use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};
use inkdrop_torch::{
    AdamNumbers, AdamTensors, adamw, free_gradients, lerp_all, norm_of_all, scale_all,
};

const F32: (Kind, Device) = (Kind::Float, Device::Cpu);
const NUMBERS: AdamNumbers =
    AdamNumbers { lr: 0.01, betas: [0.9, 0.99], weight_decay: 0.1, eps: 1e-8 };

fn tensors() -> Vec<Tensor> {
    [&[3i64, 5][..], &[7], &[2, 3, 3, 3], &[1]].map(|shape| Tensor::randn(shape, F32)).into()
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.to_kind(Kind::Double).allclose(&b.to_kind(Kind::Double), 1e-6, 1e-7, false)
}

#[test]
fn adam_is_its_equations() {
    manual_seed(1);
    let parameters = tensors();
    let (means, squares): (Vec<Tensor>, Vec<Tensor>) =
        parameters.iter().map(|p| (p.zeros_like(), p.zeros_like())).unzip();
    let double = |x: &Tensor| x.to_kind(Kind::Double);
    let mut expected: Vec<[Tensor; 3]> =
        parameters.iter().map(|p| [double(p), double(p) * 0.0, double(p) * 0.0]).collect();
    for step in 1..=4 {
        let gradients = tensors();
        let list: Vec<AdamTensors> = (0..parameters.len())
            .map(|i| AdamTensors {
                parameter: &parameters[i],
                gradient: &gradients[i],
                mean: &means[i],
                square: &squares[i],
            })
            .collect();
        adamw(&list, &Tensor::from(step as f32), NUMBERS, None).unwrap();
        for ([p, m, v], g) in expected.iter_mut().zip(&gradients) {
            let (g, AdamNumbers { lr, betas: [b1, b2], weight_decay, eps }) = (double(g), NUMBERS);
            *p = &*p * (1.0 - lr * weight_decay);
            *m = &*m * b1 + &g * (1.0 - b1);
            *v = &*v * b2 + g.square() * (1.0 - b2);
            let (m, v) = (&*m / (1.0 - b1.powi(step)), &*v / (1.0 - b2.powi(step)));
            *p = &*p - m / (v.sqrt() + eps) * lr;
        }
        for (i, [p, m, v]) in expected.iter().enumerate() {
            assert!(close(&parameters[i], p) && close(&means[i], m) && close(&squares[i], v));
        }
    }
}

#[test]
fn a_step_that_is_to_be_skipped_changes_nothing() {
    manual_seed(2);
    let [parameter, gradient, mean, square] = [1, 2, 3, 4].map(|_| Tensor::rand([5], F32));
    let before = parameter.copy();
    let list =
        [AdamTensors { parameter: &parameter, gradient: &gradient, mean: &mean, square: &square }];
    for (skip, same) in [(1.0f32, true), (0.0, false)] {
        adamw(&list, &Tensor::from(1f32), NUMBERS, Some(&Tensor::from(skip))).unwrap();
        assert_eq!(parameter == before, same, "skip {skip}");
    }
}

#[test]
fn lists_move_scale_and_measure_together() {
    manual_seed(3);
    let (from, to) = (tensors(), tensors());
    let expected: Vec<Tensor> = from.iter().zip(&to).map(|(a, b)| a + (b - a) * 0.25).collect();
    let pairs: Vec<(&Tensor, &Tensor)> = from.iter().zip(&to).collect();
    lerp_all(&pairs, 0.25).unwrap();
    assert!(from.iter().zip(&expected).all(|(a, b)| close(a, b)));

    let all: Vec<&Tensor> = from.iter().collect();
    let squares: f64 = from.iter().map(|x| x.square().sum(Kind::Double).double_value(&[])).sum();
    assert!((norm_of_all(&all).unwrap().double_value(&[]) - squares.sqrt()).abs() < 1e-5);

    let doubled: Vec<Tensor> = from.iter().map(|x| x * 2.0).collect();
    scale_all(&all, &Tensor::from(2f32)).unwrap();
    assert!(from == doubled);
}

#[test]
fn empty_lists_are_fine_and_other_shapes_are_named() {
    adamw(&[], &Tensor::from(1f32), NUMBERS, None).unwrap();
    lerp_all(&[], 0.5).unwrap();
    scale_all(&[], &Tensor::from(2f32)).unwrap();
    assert!(norm_of_all(&[]).is_err());
    let (a, b) = (Tensor::zeros([2, 3], F32), Tensor::zeros([3, 2], F32));
    let error = lerp_all(&[(&a, &b)], 0.5).unwrap_err().to_string();
    assert!(error.contains("[2, 3]") && error.contains("[3, 2]"), "{error}");
    let wrong = [AdamTensors { parameter: &a, gradient: &b, mean: &a, square: &a }];
    assert!(adamw(&wrong, &Tensor::from(1f32), NUMBERS, None).is_err());
}

#[test]
fn gradients_are_freed_and_written_anew() {
    let x = Tensor::ones([3], F32).set_requires_grad(true);
    let backward = || (&x * 2.0).sum(Kind::Float).backward();
    backward();
    backward();
    assert_eq!(x.grad(), Tensor::full([3], 4.0, F32));
    free_gradients(&[&x]).unwrap();
    assert!(!x.grad().defined());
    free_gradients(&[&x, &Tensor::ones([1], F32)]).unwrap(); // none is fine, too
    backward();
    assert_eq!(x.grad(), Tensor::full([3], 2.0, F32));
}
