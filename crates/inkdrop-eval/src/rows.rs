//! A set of images or features as a matrix, read in blocks of rows.

use std::ops::Range;

use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::EvalError;

/// Values per block: 32 MiB of f64.
const BLOCK: i64 = 1 << 22;

/// Maximum rows per block.
const ROWS: i64 = 1024;

/// A set as a matrix with one row per image. Bytes are pixels: v/127.5 − 1.
#[derive(Debug)]
pub(crate) struct Rows {
    all: Tensor, // [N, D]
    bytes: bool,
}

impl Rows {
    /// - set: [N, …]; all axes after the first are one row
    pub(crate) fn of(set: &Tensor) -> Result<Self, EvalError> {
        let shape = set.size();
        if shape.len() < 2 || shape.iter().skip(1).product::<i64>() == 0 {
            let (what, expected) = ("a set", "[N, …], one image or feature vector a row");
            return Err(EvalError::Shape { what, given: shape, expected });
        }
        let width: i64 = shape[1..].iter().product();
        let rows =
            Self { all: set.f_reshape([shape[0], width])?, bytes: set.kind() == Kind::Uint8 };
        rows.check()?;
        Ok(rows)
    }

    /// Checks that two sets can be compared.
    ///
    /// - what, least: name of the metric, and its minimum number of rows
    pub(crate) fn pair(
        a: &Tensor,
        b: &Tensor,
        what: &'static str,
        least: i64,
    ) -> Result<(Self, Self), EvalError> {
        let (a, b) = (Self::of(a)?, Self::of(b)?);
        if a.width() != b.width() {
            return Err(EvalError::DifferentSizes { a: a.width(), b: b.width() });
        }
        match a.len().min(b.len()) {
            given if given < least => Err(EvalError::TooFewImages { what, given, expected: least }),
            _ => Ok((a, b)),
        }
    }

    fn check(&self) -> Result<(), EvalError> {
        if !self.all.is_floating_point() {
            return Ok(());
        }
        for block in self.blocks() {
            let part = self.all.f_narrow(0, block.start, block.end - block.start)?;
            let finite = part.f_isfinite()?.f_all_dim(1, false)?;
            if finite.f_all()?.f_int64_value(&[])? == 0 {
                let row = finite.f_to_kind(Kind::Int64)?.f_argmin(0, false)?.f_int64_value(&[])?;
                return Err(EvalError::NotFinite { row: block.start + row });
            }
        }
        Ok(())
    }

    /// N.
    pub(crate) fn len(&self) -> i64 {
        self.all.size()[0]
    }

    /// D, the size of a row.
    pub(crate) fn width(&self) -> i64 {
        self.all.size()[1]
    }

    /// The range of rows of each block.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Range<i64>> + use<> {
        let (len, rows) = (self.len(), (BLOCK / self.width()).clamp(1, ROWS));
        (0..len).step_by(rows as usize).map(move |from| from..(from + rows).min(len))
    }

    /// Consecutive rows, [n, D] on the CPU.
    pub(crate) fn block(&self, rows: Range<i64>, kind: Kind) -> Result<Tensor, EvalError> {
        self.numbers(&self.all.f_narrow(0, rows.start, rows.end - rows.start)?, kind)
    }

    /// Rows by index, [n, D] on the CPU.
    pub(crate) fn pick(&self, rows: &[i64], kind: Kind) -> Result<Tensor, EvalError> {
        let index = Tensor::f_from_slice(rows)?.f_to_device(self.all.device())?;
        self.numbers(&self.all.f_index_select(0, &index)?, kind)
    }

    fn numbers(&self, rows: &Tensor, kind: Kind) -> Result<Tensor, EvalError> {
        let rows = rows.f_to_device(Device::Cpu)?.f_to_kind(kind)?;
        Ok(if self.bytes { rows.f_div_scalar(127.5)?.f_sub_scalar(1.0)? } else { rows })
    }
}
