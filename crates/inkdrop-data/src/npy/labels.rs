//! How label files of the many numpy types become labels.

use ndarray::Array2;

use super::file::NpyFile;
use crate::{DataError, Labels};

/// Takes `[N]` integer ids or `[N, K]` weights.
pub(super) fn of(file: &NpyFile) -> Result<Labels, DataError> {
    match *file.head.shape() {
        [_] if matches!(file.head.kind().letter, 'u' | 'i') => classes(file),
        [_] => {
            Err(file.head.unlike("class ids of an integer type; convert with `.astype('int64')`"))
        }
        [n, k] if k > 0 => context(file, n, k),
        _ => Err(file.head.unlike("labels [N, K], one weight per class, or [N], class ids")),
    }
}

fn classes(file: &NpyFile) -> Result<Labels, DataError> {
    let ids = values(file)?.map(|value| u32::try_from(value as i128));
    let ids: Result<Vec<u32>, _> = ids.collect();
    let Ok(ids) = ids else {
        let wrong =
            values(file)?.enumerate().find(|(_, v)| !(0.0..=f64::from(u32::MAX)).contains(v));
        let (i, id) = wrong.unwrap_or_default();
        return Err(file.head.bad_value(format!(
            "class id {id} of image {i}, expected 0 to {}; number the classes from 0",
            u32::MAX
        )));
    };
    let count = ids.iter().max().map_or(0, |&highest| highest as usize + 1);
    Ok(Labels::Classes { ids, count })
}

fn context(file: &NpyFile, n: usize, k: usize) -> Result<Labels, DataError> {
    let weights: Vec<f32> = values(file)?.map(|value| value as f32).collect();
    if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(file.head.bad_value(format!(
            "weight {} of image {}, class {}, expected a finite number; fix or drop that image",
            weights[at],
            at / k,
            at % k
        )));
    }
    let rows = Array2::from_shape_vec((n, k), weights);
    rows.map(Labels::Context)
        .map_err(|error| file.head.bad_value(format!("labels don't fill their shape: {error}")))
}

/// All values of a file, in order; integers beyond 2^53 are rounded.
fn values(file: &NpyFile) -> Result<impl Iterator<Item = f64>, DataError> {
    let decode: fn([u8; 8], usize) -> f64 = match (file.head.kind().letter, file.head.kind().size) {
        ('f', 8) => |b, _| f64::from_le_bytes(b),
        ('f', 4) => |b, _| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        ('u' | 'b', 1 | 2 | 4 | 8) => |b, _| u64::from_le_bytes(b) as f64,
        ('i', 1 | 2 | 4 | 8) => |b, size| {
            let unused = 64 - 8 * size as u32;
            ((i64::from_le_bytes(b) << unused) >> unused) as f64
        },
        _ => return Err(file.head.unlike("labels of type float32, float64 or an integer type")),
    };
    let (size, big_endian) = (file.head.kind().size, file.head.kind().big_endian);
    Ok(file.data().chunks_exact(size).map(move |chunk| {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(chunk);
        if big_endian {
            bytes[..size].reverse();
        }
        decode(bytes, size)
    }))
}
