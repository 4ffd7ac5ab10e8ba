//! Laws of the grids of noise levels.

use inkdrop_schedule::{ScheduleError, sigmas};
use ndarray::Array1;
use proptest::prelude::*;

fn falls(sigmas: &Array1<f64>) -> bool {
    sigmas.windows(2).into_iter().all(|pair| pair[1] < pair[0])
}

proptest! {
    #[test]
    fn grids_fall_from_their_largest_to_their_smallest(
        n in 2usize..300, min in 1e-4..1.0, above in 1.1..1e5, rho in 0.3..12.0,
    ) {
        let max = min * above;
        for grid in [
            sigmas::karras(n, min, max, rho).unwrap(),
            sigmas::exponential(n, min, max).unwrap(),
            sigmas::polyexponential(n, min, max, rho).unwrap(),
        ] {
            prop_assert_eq!((grid.len(), grid[0], grid[n - 1]), (n, max, min));
            prop_assert!(grid.windows(2).into_iter().all(|pair| pair[1] <= pair[0]));
        }
        prop_assert!(falls(&sigmas::exponential(n, min, max).unwrap()));
        prop_assert!(falls(&sigmas::karras(n, min, max, 7.0).unwrap()));
    }

    #[test]
    fn vp_falls_from_time_one(n in 2usize..300, d in 0.1..40.0, min in 0.0..2.0, eps in 1e-5..0.5) {
        let grid = sigmas::vp(n, d, min, eps).unwrap();
        prop_assert_eq!(grid.len(), n);
        prop_assert!(falls(&grid) && grid[n - 1] > 0.0);
        // alpha bar of the continuous process at t = 1.
        let bar = (-d / 2.0 - min).exp();
        prop_assert!((1.0 / (1.0 + grid[0] * grid[0]) / bar - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_hundred_thousandth_of_rho_does_not_overflow(rho in 1e-5..1e-2) {
        let grid = sigmas::karras(9, 0.002, 80.0, rho).unwrap();
        prop_assert!(grid.iter().all(|sigma| (0.002..=80.0).contains(sigma)));
    }
}

fn check(ours: Result<Array1<f64>, ScheduleError>, reference: &[f64]) {
    let ours = ours.unwrap();
    assert_eq!(ours.len(), reference.len());
    for (i, (a, b)) in ours.iter().zip(reference).enumerate() {
        assert!((a - b).abs() < 1e-13 * b, "{a} is not {b} at {i}");
    }
}

/// The formulas in numpy, in f64, over `np.linspace` of ten points.
#[test]
fn ten_levels_are_numpys() {
    let karras = [
        80.0,
        42.41518931851267,
        21.10867673619376,
        9.723201355260132,
        4.066123602953759,
        1.501741979068008,
        0.46997905799774714,
        0.11663856352517864,
        0.020435334553438746,
        0.002,
    ];
    check(sigmas::karras(10, 0.002, 80.0, 7.0), &karras);
    let exponential = [
        80.0,
        24.646201110333365,
        7.592940364637477,
        2.3392141905702926,
        0.7206592922617642,
        0.22201892311392446,
        0.06839903786706789,
        0.02107220553781327,
        0.006491872694040338,
        0.002,
    ];
    check(sigmas::exponential(10, 0.002, 80.0), &exponential);
    let poly = [
        80.0,
        14.381288245595876,
        2.8691049339312196,
        0.6398440873558016,
        0.1609465449514475,
        0.04619588871065146,
        0.015370813528401061,
        0.006069123431270004,
        0.002961260829745528,
        0.002,
    ];
    check(sigmas::polyexponential(10, 0.002, 80.0, 1.5), &poly);
    let vp = [
        152.1669702839464,
        53.309847477391756,
        21.0956240704022,
        9.4031965545555,
        4.680639867003466,
        2.5494299327452903,
        1.4619718278116114,
        0.8228990153877649,
        0.38170218550193613,
        0.010485992786702987,
    ];
    check(sigmas::vp(10, 19.9, 0.1, 1e-3), &vp);
}

#[test]
fn one_level_is_the_largest() {
    assert_eq!(sigmas::karras(1, 0.1, 10.0, 7.0).unwrap().to_vec(), [10.0]);
    assert_eq!(sigmas::exponential(1, 0.1, 10.0).unwrap().to_vec(), [10.0]);
    assert_eq!(sigmas::polyexponential(1, 0.1, 10.0, 2.0).unwrap().to_vec(), [10.0]);
    let first = sigmas::vp(2, 19.9, 0.1, 1e-3).unwrap()[0];
    assert_eq!(sigmas::vp(1, 19.9, 0.1, 1e-3).unwrap().to_vec(), [first]);
    assert_eq!(sigmas::karras(3, 2.0, 2.0, 7.0).unwrap().to_vec(), [2.0; 3]);
}

#[test]
fn parameters_outside_their_range_are_named() {
    let fails = |grid: Result<Array1<f64>, ScheduleError>, message: &str| {
        let error = grid.unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    };
    fails(sigmas::karras(0, 0.1, 1.0, 7.0), "n = 0: expected 1 to");
    fails(sigmas::exponential(usize::MAX, 0.1, 1.0), "n = 18446744073709551615");
    fails(sigmas::karras(5, 0.0, 1.0, 7.0), "sigma_min = 0: expected");
    fails(sigmas::karras(5, f64::NAN, 1.0, 7.0), "sigma_min = NaN: expected");
    fails(sigmas::exponential(5, 0.1, f64::INFINITY), "sigma_max = inf: expected");
    fails(sigmas::polyexponential(5, 2.0, 1.0, 1.0), "sigma_min = 2 and sigma_max = 1: expected");
    fails(sigmas::karras(5, 0.1, 1.0, 0.0), "rho = 0: expected");
    fails(sigmas::polyexponential(5, 0.1, 1.0, f64::NAN), "rho = NaN: expected");
    fails(sigmas::vp(0, 19.9, 0.1, 1e-3), "n = 0");
    fails(sigmas::vp(5, -1.0, 0.1, 1e-3), "beta_d = -1: expected");
    fails(sigmas::vp(5, 1.0, f64::NAN, 1e-3), "beta_min = NaN: expected");
    fails(sigmas::vp(5, 0.0, 0.0, 1e-3), "beta_min = 0: expected");
    fails(sigmas::vp(5, 2000.0, 0.1, 1e-3), "beta_d = 2000: expected");
    fails(sigmas::vp(5, 19.9, 0.1, 0.0), "eps_s = 0: expected 0 < eps_s <= 1");
    fails(sigmas::vp(5, 19.9, 0.1, 1.5), "eps_s = 1.5: expected");
    fails(sigmas::vp(5, 19.9, 0.0, 1e-200), "eps_s = 0.000");
}
