//! A short run of `one_page` draws points that lie near the data.

use super::*;

/// Mean distance of points to the nearest of 3000 points of the data.
fn distance(points: &Tensor) -> f64 {
    let nearest = Tensor::cdist(points, &spiral(3000), 2.0, None).min_dim(1, false).0;
    nearest.mean(Kind::Float).double_value(&[])
}

#[test]
fn samples_of_a_short_run_lie_near_the_spiral() {
    let network = train(400).expect("a trained network");
    let _guard = no_grad_guard();
    let noise = Tensor::randn([500, 2], F32);
    // A normal distribution of the data's variance is no spiral.
    assert!(distance(&(&noise * DATA)) > 0.12);
    let noise = noise * 10.0;
    for points in [
        euler(&network, noise.copy(), &levels(40)),
        heun(&network, noise.copy(), &levels(20)),
        ancestral(&network, noise.copy(), &levels(40)),
    ] {
        assert!(distance(&points) < 0.08, "{}", distance(&points));
    }
    let png = picture(&[&noise]).expect("a picture");
    assert_eq!(&png[1..4], b"PNG");
}
