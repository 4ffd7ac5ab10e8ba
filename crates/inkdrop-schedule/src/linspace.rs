//! numpy's `linspace`.

/// Point i of `count` evenly spaced points from start to end, both included (numpy's `linspace`).
pub(crate) fn linspace(start: f64, end: f64, count: usize) -> impl Fn(usize) -> f64 {
    let stride = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
    move |i| if count > 1 && i == count - 1 { end } else { start + stride * i as f64 }
}
