//! Coefficients of multistep solvers (Adams–Bashforth, exponential Adams, UniPC) in f64.

/// Adams–Bashforth coefficients on an uneven grid: weights of the slopes at `nodes` in the integral of
/// their interpolating polynomial from `nodes[0]` to `end`.
///
/// - nodes: at most 4, all different
pub fn adams_weights(nodes: &[f64], end: f64) -> Vec<f64> {
    let (middle, half) = ((nodes[0] + end) / 2.0, (end - nodes[0]) / 2.0);
    // Two points of Gauss and Legendre integrate cubics exactly.
    let points = [middle - half / 3f64.sqrt(), middle + half / 3f64.sqrt()];
    let basis = |j: usize, at: f64| -> f64 {
        let others = nodes.iter().enumerate().filter(|(k, _)| *k != j);
        others.map(|(_, node)| (at - node) / (nodes[j] - node)).product()
    };
    (0..nodes.len()).map(|j| half * (basis(j, points[0]) + basis(j, points[1]))).collect()
}

/// Adams coefficients with an exponential factor: weights of the values at `nodes` in
/// ∫ e^(rate·(u − end))·L(u) du from `start` to `end`, where L interpolates the values.
///
/// With `start = nodes[0]` this is a predictor (Adams–Bashforth), with `end = nodes[0]` a corrector
/// (Adams–Moulton). DEIS has rate 1 in u = ln σ (Zhang & Chen 2023, eq. 15), SA-Solver rate 1 + τ² in
/// u = λ (Xue et al. 2023, theorem 5.1).
///
/// - nodes: at most 4, all different
/// - start, end: finite; the weights are 0 if they are equal
pub fn exponential_adams_weights(nodes: &[f64], start: f64, end: f64, rate: f64) -> Vec<f64> {
    let h = end - start;
    let moments: Vec<f64> =
        exponential_moments(rate * h, nodes.len()).zip(1..).map(|(j, k)| j * h.powi(k)).collect();
    let weight = |i: usize| -> f64 {
        // The polynomial that is 1 at node i and 0 at the others, in powers of u − start.
        let mut basis = vec![1.0];
        for (k, node) in nodes.iter().enumerate().filter(|(k, _)| *k != i) {
            let (root, scale) = (node - start, nodes[i] - nodes[k]);
            let mut next = vec![0.0; basis.len() + 1];
            for (power, c) in basis.iter().enumerate() {
                next[power] -= c * root / scale;
                next[power + 1] += c / scale;
            }
            basis = next;
        }
        basis.iter().zip(&moments).map(|(c, moment)| c * moment).sum()
    };
    (0..nodes.len()).map(weight).collect()
}

/// J_k = ∫ e^(z·(v − 1))·v^k dv over [0, 1], k = 0…count − 1.
fn exponential_moments(z: f64, count: usize) -> impl Iterator<Item = f64> {
    let series = move |k: usize| -> f64 {
        let terms = (0..30).scan(1.0, move |power, m| {
            let term = *power / (m + k + 1) as f64;
            *power *= z / (m + 1) as f64;
            Some(term)
        });
        (-z).exp() * terms.sum::<f64>()
    };
    let mut before = 0.0;
    (0..count).map(move |k| {
        // The recursion (integration by parts) loses digits where |z| is small.
        before = match k {
            _ if z.abs() < 1.0 => series(k),
            0 => -(-z).exp_m1() / z,
            _ => (1.0 - k as f64 * before) / z,
        };
        before
    })
}

/// The two choices of B(h) in UniPC (Zhao et al. 2023, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BKind {
    /// B(h) = h, for few steps without guidance.
    Bh1,
    /// B(h) = e^h − 1.
    Bh2,
}

impl BKind {
    /// B(h).
    pub fn of(self, h: f64) -> f64 {
        match self {
            Self::Bh1 => h,
            Self::Bh2 => h.exp_m1(),
        }
    }
}

/// Coefficients of the differences D in a UniPC step over h (Zhao et al. 2023, theorem 3.1): the
/// solution a of Σ a_m·r_m^(n−1) = n!·h·φ_{n+1}(h)/B(h), n = 1…k.
///
/// - ratios: positions of the predictions relative to the step (0 is its start, 1 its end); not 0
/// - h: step size in λ; negative for data prediction
pub fn unipc_weights(ratios: &[f64], h: f64, kind: BKind) -> Vec<f64> {
    let mut phi = h.exp_m1() / h - 1.0; // h·φ_2(h)
    let mut factorial = 1.0;
    let mut rows = Vec::with_capacity(ratios.len());
    for n in 0..ratios.len() {
        let mut row: Vec<f64> = ratios.iter().map(|r| r.powi(n as i32)).collect();
        row.push(phi * factorial / kind.of(h));
        rows.push(row);
        factorial *= (n + 2) as f64;
        phi = phi / h - 1.0 / factorial;
    }
    solve(rows)
}

/// Gaussian elimination with partial pivoting; rows are [A | b].
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for column in 0..n {
        let size = |row: &Vec<f64>| row[column].abs();
        let largest = (column..n).max_by(|&a, &b| size(&rows[a]).total_cmp(&size(&rows[b])));
        rows.swap(column, largest.unwrap_or(column));
        let pivot = rows[column].clone();
        for (index, row) in rows.iter_mut().enumerate() {
            if index != column {
                let factor = row[column] / pivot[column];
                row.iter_mut().zip(&pivot).for_each(|(a, p)| *a -= factor * p);
            }
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_nodes_give_adams_and_bashforths_weights() {
        let weights = adams_weights(&[0.0, -1.0, -2.0, -3.0], 1.0);
        for (ours, theirs) in weights.iter().zip([55.0, -59.0, 37.0, -9.0]) {
            assert!((ours - theirs / 24.0).abs() < 1e-14);
        }
    }

    #[test]
    fn polynomials_are_integrated_exactly() {
        let nodes = [3.0, 3.5, 5.0, 9.0];
        let slope = |t: f64| 1.0 + 2.0 * t - 3.0 * t.powi(2) + 4.0 * t.powi(3);
        let whole = |t: f64| t + t.powi(2) - t.powi(3) + t.powi(4);
        let weights = adams_weights(&nodes, 2.0);
        let sum: f64 = weights.iter().zip(nodes).map(|(w, node)| w * slope(node)).sum();
        assert!((sum - (whole(2.0) - whole(3.0))).abs() < 1e-10);
    }

    /// Against Gauss and Legendre's rule on 2000 parts of the interval.
    #[test]
    fn exponential_adams_weights_integrate_polynomials() {
        let integral = |start: f64, end: f64, f: &dyn Fn(f64) -> f64| -> f64 {
            let half = (end - start) / 4000.0;
            let part = |i: usize| {
                let middle = start + (2 * i + 1) as f64 * half;
                half * (f(middle - half / 3f64.sqrt()) + f(middle + half / 3f64.sqrt()))
            };
            (0..2000).map(part).sum()
        };
        for (nodes, start, end) in [
            (vec![-1.0, -1.7, -2.0, -3.1], -1.0, -0.4),
            (vec![2.5, 2.0, 1.2], 2.0, 2.5),
            (vec![0.3, 0.1, -0.4], 0.3, 0.301),
            (vec![0.0, -1.0], 0.0, 6.0),
        ] {
            for rate in [1.0, -1.0, 1.36, 2.0] {
                let weights = exponential_adams_weights(&nodes, start, end, rate);
                for power in 0..nodes.len() as i32 {
                    let f = |u: f64| (rate * (u - end)).exp() * (u - start).powi(power);
                    let exact = integral(start, end, &f);
                    let values = nodes.iter().map(|node| (node - start).powi(power));
                    let ours: f64 = weights.iter().zip(values).map(|(w, value)| w * value).sum();
                    let scale = exact.abs().max(1e-3 * (end - start));
                    assert!((ours - exact).abs() < 1e-9 * scale, "{nodes:?} {rate} {power}");
                }
            }
        }
        let none = exponential_adams_weights(&[1.0, 0.5, 0.2], 1.0, 1.0, 1.0);
        assert_eq!(none, [0.0; 3]);
    }

    /// With D at the end alone the weight is h·φ_2/B; both kinds agree as h → 0: one half.
    #[test]
    fn unipc_halves_the_change_of_small_steps() {
        for kind in [BKind::Bh1, BKind::Bh2] {
            let weight = unipc_weights(&[1.0], 1e-4, kind)[0];
            assert!((weight - 0.5).abs() < 1e-4, "{weight}");
        }
    }

    #[test]
    fn unipc_weights_solve_their_system() {
        let (ratios, h) = ([-2.0, -1.0, 1.0], -0.7f64);
        let weights = unipc_weights(&ratios, h, BKind::Bh2);
        let phi2 = (h.exp_m1() / h - 1.0) / h;
        let phi3 = (phi2 - 0.5) / h;
        let phi4 = (phi3 - 1.0 / 6.0) / h;
        for (n, expected) in [(0, phi2), (1, 2.0 * phi3), (2, 6.0 * phi4)] {
            let sum: f64 = weights.iter().zip(ratios).map(|(a, r)| a * r.powi(n)).sum();
            assert!((sum - expected * h / h.exp_m1()).abs() < 1e-10, "{n}");
        }
    }
}
