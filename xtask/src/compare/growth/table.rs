//! Scaling results as Markdown and as JSON.

use serde_json::{Value, json};

use super::series::{Point, Series, rate};
use crate::compare::table::{ratio, seconds};

/// The table in Markdown. "to linear" is the time per unit divided by that of the first line.
pub fn markdown(series: Series, points: &[Point]) -> String {
    let unit = series.grows.units(1).1;
    let mut text = format!(
        "{}\n\n| {} | time | per {unit} | to linear | GFLOP | per GFLOP | to linear | peak |\n\
         |---|---|---|---|---|---|---|---|\n",
        series.name,
        series.grows.head()
    );
    for point in points {
        let (time, by_units) = rate(series, point, &points[0]);
        let flops = match (point.work(series), points[0].work(series)) {
            (Some(work), Some(first)) => {
                let (rate, start) = (point.seconds / work, points[0].seconds / first);
                format!("{work:.2} | {} | {}", seconds(rate), ratio(rate / start))
            }
            _ => "– | – | –".to_owned(),
        };
        let peak = point.peak_mib.map_or("–".to_owned(), |peak| format!("{peak:.0} MiB"));
        text += &format!(
            "| {} | {} | {} | {} | {flops} | {peak} |\n",
            point.size,
            seconds(point.seconds),
            per(time),
            ratio(by_units)
        );
    }
    text
}

/// Formats a time that may be shorter than a microsecond.
fn per(value: f64) -> String {
    if value < 1e-6 { format!("{:.0} ns", value * 1e9) } else { seconds(value) }
}

/// The same figures as JSON.
pub fn as_json(series: Series, points: &[Point]) -> Value {
    let point = |point: &Point| {
        let (unit, to_linear) = rate(series, point, &points[0]);
        json!({
            "size": point.size, "seconds": point.seconds, "seconds_per_unit": unit,
            "to_linear": to_linear, "gflop": point.work(series), "peak_mib": point.peak_mib,
        })
    };
    let unit = series.grows.units(1).1;
    json!({ "name": series.name, "unit": unit, "points": points.iter().map(point).collect::<Vec<_>>() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::series::chosen;
    use super::*;
    use crate::compare::table::WIDTH;

    fn point(size: usize, seconds: f64, gflop: Option<f64>) -> Point {
        Point { size, seconds, peak_mib: Some(300.0), gflop }
    }

    #[test]
    fn linear_growth_is_one() {
        let points = [point(1, 0.002, Some(0.3)), point(8, 0.012, Some(0.3))];
        let text = markdown(chosen("batch/context").unwrap()[0], &points);
        assert!(
            text.contains("| 1 | 2.00 ms | 2.00 ms | 1.00 | 0.30 | 6.67 ms | 1.00 | 300 MiB |")
        );
        assert!(
            text.contains("| 8 | 12.0 ms | 1.50 ms | 0.75 | 2.40 | 5.00 ms | 0.75 | 300 MiB |")
        );
    }

    #[test]
    fn pixels_are_squares_and_flops_are_of_the_plan() {
        let points = [point(16, 0.01, Some(3.0)), point(32, 0.05, Some(13.0))];
        let series = chosen("pixels").unwrap()[0];
        assert_eq!(rate(series, &points[1], &points[0]).1, 1.25);
        let text = markdown(series, &points);
        assert!(text.contains("| 16 | 10.0 ms | 39.1 µs |"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn steps_have_no_flops() {
        let series = chosen("steps").unwrap()[0];
        assert!(markdown(series, &[point(10, 0.02, None)]).contains("| – | – | – |"));
        assert!(chosen("nowhere").is_err());
    }
}
