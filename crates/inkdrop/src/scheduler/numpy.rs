//! numpy's `linspace`, `arange` and `interp`, with the same rounding.

/// `linspace(start, end, count)`.
pub(super) fn linspace(start: f64, end: f64, count: usize) -> Vec<f64> {
    let stride = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
    let point = |i: usize| if i > 0 && i == count - 1 { end } else { i as f64 * stride + start };
    (0..count).map(point).collect()
}

/// `arange(start, 0, -stride)`. Its length is the rounded-up quotient in floating point.
pub(super) fn falling(start: f64, stride: f64) -> Vec<f64> {
    let count = (start / stride).ceil() as usize;
    // numpy uses the difference of the first two values, not the stride itself.
    let delta = (start - stride) - start;
    (0..count).map(|i| start + i as f64 * delta).collect()
}

/// `interp(x, arange(len(values)), values)`.
pub(super) fn interp(x: f64, values: &[f64]) -> f64 {
    let last = values.len() - 1;
    let x = x.clamp(0.0, last as f64);
    let low = (x.floor() as usize).min(last);
    if low == last {
        return values[last];
    }
    (values[low + 1] - values[low]) * (x - low as f64) + values[low]
}

/// The nearest f32, as f64.
pub(super) fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numpys() {
        assert_eq!(linspace(0.0, 999.0, 5), [0.0, 249.75, 499.5, 749.25, 999.0]);
        assert_eq!(linspace(3.0, 9.0, 1), [3.0]);
        assert_eq!(falling(10.0, 2.5), [10.0, 7.5, 5.0, 2.5]);
        assert_eq!(falling(1000.0, 1000.0 / 3.0).len(), 3);
        assert_eq!(interp(1.5, &[1.0, 2.0, 4.0]), 3.0);
        assert_eq!(interp(7.0, &[1.0, 2.0, 4.0]), 4.0);
    }
}
