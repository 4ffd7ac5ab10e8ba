//! Laws of precision and recall.

use inkdrop_eval::{NEIGHBOURS, PrecisionRecall, precision_recall};
use inkdrop_torch::tch::Tensor;

use super::support::normal;

fn of(samples: &Tensor, data: &Tensor) -> PrecisionRecall {
    precision_recall(samples, data, NEIGHBOURS).unwrap()
}

#[test]
fn equal_sets_cover_each_other() {
    let x = normal(1, 50, 6) * 1e-3 + 1e3;
    assert_eq!(of(&x, &x), PrecisionRecall { precision: 1.0, recall: 1.0 });
}

#[test]
fn distant_sets_cover_nothing() {
    let x = normal(2, 50, 6);
    assert_eq!(of(&x, &(&x + 100.0)), PrecisionRecall { precision: 0.0, recall: 0.0 });
}

#[test]
fn samples_of_one_corner_are_precise_and_forget() {
    let data = normal(3, 400, 2);
    let corner = normal(4, 400, 2) * 0.05;
    let given = of(&corner, &data);
    assert!(given.precision > 0.95 && given.recall < 0.3, "{given:?}");
    // The other way round the shares change places.
    let turned = of(&data, &corner);
    assert_eq!((given.precision, given.recall), (turned.recall, turned.precision));
}

#[test]
fn it_is_its_definition_over_several_blocks() {
    let (a, b) = (normal(5, 1100, 3), normal(6, 1050, 3) + 0.5);
    let apart = |x: &Tensor, y: &Tensor| {
        (x.unsqueeze(1) - y.unsqueeze(0)).square().sum_dim_intlist(
            [2i64].as_slice(),
            false,
            inkdrop_torch::tch::Kind::Double,
        )
    };
    let reach = apart(&b, &b).sort(1, false).0.select(1, 3);
    let inside = apart(&a, &b).le_tensor(&reach).any_dim(1, false);
    let share = inside.to_kind(inkdrop_torch::tch::Kind::Double).mean(None).double_value(&[]);
    assert!((of(&a, &b).precision - share).abs() < 1e-12);
}

#[test]
fn equal_rows_are_at_distance_zero_however_long() {
    let x = (normal(7, 10, 3) + 1e8).repeat([5, 1]); // each five times: the radius is 0
    assert_eq!(of(&x, &x), PrecisionRecall { precision: 1.0, recall: 1.0 });
}
