//! The inverse discrete cosine transform in integers (Loeffler, Ligtenberg & Moschytz 1989), with
//! the constants and the rounding of libjpeg's `jidctint.c`.

use std::num::Wrapping;

type Int = Wrapping<i32>;

/// Fraction bits of the constants, and of the values between the passes.
const CONST_BITS: usize = 13;
const PASS_BITS: usize = 2;

/// Transforms a block of coefficients to samples 0 to 255.
///
/// - coefficients, quantisation: in natural order, 8 rows of 8
pub(super) fn samples(coefficients: &[i16; 64], quantisation: &[u16; 64]) -> [u8; 64] {
    let mut values = [Wrapping(0); 64];
    for (value, (&c, &q)) in values.iter_mut().zip(coefficients.iter().zip(quantisation)) {
        *value = Wrapping(i32::from(c)) * Wrapping(i32::from(q));
    }
    for column in 0..8 {
        let out =
            transform(std::array::from_fn(|row| values[row * 8 + column]), CONST_BITS - PASS_BITS);
        for (row, value) in out.into_iter().enumerate() {
            values[row * 8 + column] = value;
        }
    }
    let mut samples = [0; 64];
    for (to, from) in samples.chunks_exact_mut(8).zip(values.chunks_exact(8)) {
        let out = transform(std::array::from_fn(|i| from[i]), CONST_BITS + PASS_BITS + 3);
        for (sample, value) in to.iter_mut().zip(out) {
            *sample = (value.0.saturating_add(128)).clamp(0, 255) as u8;
        }
    }
    samples
}

/// The transform of 8 values; results are rounded and shifted right by `shift`.
#[inline(always)]
fn transform(x: [Int; 8], shift: usize) -> [Int; 8] {
    let c = |constant: i32| Wrapping(constant);
    // The even part.
    let z1 = (x[2] + x[6]) * c(4433); // 0.541196100
    let e2 = z1 - x[6] * c(15137); // 1.847759065
    let e3 = z1 + x[2] * c(6270); // 0.765366865
    let (e0, e1) = ((x[0] + x[4]) << CONST_BITS, (x[0] - x[4]) << CONST_BITS);
    let even = [e0 + e3, e1 + e2, e1 - e2, e0 - e3];
    // The odd part.
    let z5 = (x[7] + x[3] + x[5] + x[1]) * c(9633); // 1.175875602
    let z1 = (x[7] + x[1]) * c(-7373); // 0.899976223
    let z2 = (x[5] + x[3]) * c(-20995); // 2.562915447
    let z3 = (x[7] + x[3]) * c(-16069) + z5; // 1.961570560
    let z4 = (x[5] + x[1]) * c(-3196) + z5; // 0.390180644
    let odd = [
        x[1] * c(12299) + z1 + z4, // 1.501321110
        x[3] * c(25172) + z2 + z3, // 3.072711026
        x[5] * c(16819) + z2 + z4, // 2.053119869
        x[7] * c(2446) + z1 + z3,  // 0.298631336
    ];
    let round = Wrapping(1 << (shift - 1));
    std::array::from_fn(|i| match i {
        0..4 => (even[i] + odd[i] + round) >> shift,
        _ => (even[7 - i] - odd[7 - i] + round) >> shift,
    })
}
