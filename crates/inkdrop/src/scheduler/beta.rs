//! The quantile function of the beta distribution, for beta sigmas (Lee et al. 2024).

/// The quantile of Beta(0.6, 0.6) at p in [0, 1]: the x with I_x(0.6, 0.6) = p (scipy's `beta.ppf`).
pub(super) fn quantile(p: f64) -> f64 {
    if p > 0.5 {
        return 1.0 - quantile(1.0 - p);
    }
    let (mut low, mut high) = (0.0, 0.5);
    // I_x rises with x; 100 halvings reach the last bit.
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if cumulative(middle) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Both parameters of the distribution.
const A: f64 = 0.6;

/// Γ(0.6)²/Γ(1.2).
const BETA: f64 = 2.415_344_208_002_471_4;

/// I_x(a, a), the regularized incomplete beta function, for x ≤ ½.
fn cumulative(x: f64) -> f64 {
    // Σ of the hypergeometric series x^a·F(a, 1 − a; a + 1; x)/(a·B); each term is below half the last.
    let (mut term, mut sum) = (1.0, 1.0 / A);
    for n in 0..80 {
        let n = f64::from(n);
        term *= (n + 1.0 - A) / (n + 1.0) * x;
        sum += term / (A + n + 1.0);
    }
    x.powf(A) * sum / BETA
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against scipy.stats.beta.ppf(p, 0.6, 0.6).
    #[test]
    fn quantiles_are_those_of_scipy() {
        for (p, x) in QUANTILES {
            assert!((quantile(p) - x).abs() < 1e-13, "{p}: {} {x}", quantile(p));
        }
    }

    const QUANTILES: [(f64, f64); 8] = [
        (0.0, 0.0),
        (0.001, 1.855873851745199e-05),
        (0.1, 0.03958440558878085),
        (0.3, 0.23401700387523572),
        (0.5, 0.5000000000000001),
        (0.75, 0.824319621347305),
        (0.999, 0.9999814412614826),
        (1.0, 1.0),
    ];
}
