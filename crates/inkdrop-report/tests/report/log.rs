//! What is made of a log, whatever is in it.

use inkdrop_report::Log;

#[test]
fn every_key_is_a_curve() {
    let log = Log::parse(
        "{\"step\":1,\"loss\":0.5,\"loss_q3\":2,\"note\":\"words\"}\n{\"step\":2,\"loss\":0.25}\n",
    );
    assert_eq!(log.keys().collect::<Vec<_>>(), ["loss", "loss_q3"]);
    assert_eq!(log.curve("loss"), [(1.0, 0.5), (2.0, 0.25)]);
    assert_eq!((log.last_step, log.broken, log.not_finite), (Some(2), 0, 0));
    assert!(log.curve("lr").is_empty());
}

#[test]
fn what_cannot_be_read_is_counted() {
    let lines = [
        "{\"step\":1,\"loss\":0.5}",
        "",
        "{\"step\":2,\"loss\":NaN}",
        "[1, 2]",
        "{\"loss\":1}",
        "\u{0}\u{0}\u{0}",
        "{\"step\":-3,\"loss\":1}",
        "{\"step\":4,\"loss\":null}",
        "{\"step\":5,\"lo",
    ];
    let log = Log::parse(&lines.join("\n"));
    assert_eq!((log.broken, log.not_finite, log.last_step), (6, 1, Some(4)));
    assert!(log.curve("loss")[1].1.is_nan(), "null is how JSON spells NaN");
    assert_eq!(Log::parse(""), Log::default());
}

#[test]
fn a_run_that_went_on_from_earlier_has_one_story() {
    let line = |step: u64, loss: f64| format!("{{\"step\":{step},\"loss\":{loss}}}\n");
    let first: String = (1..=6).map(|step| line(step * 10, 1.0)).collect();
    let then: String = (4..=5).map(|step| line(step * 10, 2.0)).collect();
    let log = Log::parse(&(first + &then));
    let expected = [(10.0, 1.0), (20.0, 1.0), (30.0, 1.0), (40.0, 2.0), (50.0, 2.0)];
    assert_eq!(log.curve("loss"), expected);
    assert_eq!(log.last_step, Some(50));
}
