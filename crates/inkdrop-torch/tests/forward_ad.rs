//! Jacobian-vector products.
#![allow(missing_docs, clippy::unwrap_used)]

use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{DualInput, TorchError, dropout, jvp, own_kernels};

fn line(count: i64) -> Tensor {
    (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.37).sin()
}

type Function = fn(&Tensor) -> Result<Tensor, TorchError>;

/// Operations of the networks, in directions of no symmetry.
#[test]
fn derivatives_are_those_of_finite_differences() {
    let functions: [(&str, Function); 6] = [
        ("conv", |x| {
            Ok(x.f_conv2d(
                &line(4 * 4 * 9).view([4, 4, 3, 3]),
                None::<Tensor>,
                [1, 1],
                [1, 1],
                [1, 1],
                1,
            )?)
        }),
        ("group_norm", |x| Ok(x.f_group_norm(2, None::<Tensor>, None::<Tensor>, 1e-5, false)?)),
        ("attention", |x| {
            let tokens = x.f_flatten(2, -1)?;
            let weights =
                tokens.f_matmul(&tokens.f_transpose(1, 2)?)?.f_softmax(-1, Kind::Double)?;
            Ok(weights.f_matmul(&tokens)?)
        }),
        ("gelu", |x| Ok(x.f_gelu("none")?)),
        ("pool", |x| Ok(x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?)),
        ("dropout", |x| dropout(x, 0.4, 11, 3)),
    ];
    let x = line(2 * 4 * 16).view([2, 4, 4, 4]);
    let direction = (line(128) * 2.0 + 0.3).cos().view([2, 4, 4, 4]);
    for (name, function) in functions {
        let input = DualInput { primal: &x, tangent: &direction };
        let (value, derivative) = jvp(&[input], |x| function(&x[0])).unwrap();
        let at = |step: f64| function(&(&x + &direction * step)).unwrap();
        let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
        let error = f64::try_from((derivative - expected).abs().max()).unwrap();
        assert!(error < 1e-7, "{name}: {error}");
        assert!(value.allclose(&at(0.0), 1e-12, 1e-12, false), "{name}");
    }
}

#[test]
fn kernels_of_our_own_are_off_inside_and_on_again_outside() {
    let before = own_kernels().unwrap();
    let x = line(4);
    let input = DualInput { primal: &x, tangent: &x };
    let (value, _) = jvp(&[input], |x| {
        assert!(!own_kernels().unwrap());
        Ok::<_, TorchError>(x[0].shallow_clone())
    })
    .unwrap();
    assert_eq!(value, x);
    assert_eq!(own_kernels().unwrap(), before);
    let failed = jvp(&[input], |_| Err::<Tensor, _>(TorchError::message("no".to_string())));
    assert_eq!(failed.unwrap_err().to_string(), "no");
    assert_eq!(own_kernels().unwrap(), before);
}

#[test]
fn a_constant_has_no_derivative_and_a_second_level_is_refused() {
    let x = line(4);
    let input = DualInput { primal: &x, tangent: &x };
    let (_, derivative) = jvp(&[input], |_| Ok::<_, TorchError>(line(5))).unwrap();
    assert_eq!(derivative, line(5).zeros_like());
    let error = jvp(&[input], |x| {
        let inner = DualInput { primal: &x[0], tangent: &x[0] };
        jvp(&[inner], |x| Ok::<_, TorchError>(x[0].shallow_clone())).map(|(value, _)| value)
    });
    assert!(error.unwrap_err().to_string().starts_with("jvp inside of jvp"));
    let short = line(3);
    let wrong = DualInput { primal: &x, tangent: &short };
    assert!(jvp(&[wrong], |x| Ok::<_, TorchError>(x[0].shallow_clone())).is_err());
}

/// libtorch has one level; threads take turns.
#[test]
fn threads_differentiate_in_turns() {
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let (x, v) = (line(64), line(64) * f64::from(thread));
                    let input = DualInput { primal: &x, tangent: &v };
                    let (_, derivative) =
                        jvp(&[input], |x| Ok::<_, TorchError>(x[0].f_sin()?)).unwrap();
                    assert!(derivative.allclose(&(x.cos() * v), 1e-12, 1e-12, false));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
