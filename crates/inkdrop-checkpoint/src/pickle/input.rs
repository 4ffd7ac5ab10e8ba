//! Input bytes of a pickle.

use std::io::{BufRead, Read};

use crate::error::Fault;

/// Maximum length of a line in the text operations of protocol 0.
const LINE: u64 = 1 << 16;

/// Reader whose end is an error.
pub(super) struct Input<'a>(pub(super) &'a mut dyn BufRead);

impl Input<'_> {
    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The next bytes; memory grows with the available data, not with the declared length.
    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        (&mut *self.0).take(count).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != count {
            return Err(Fault::Problem(format!(
                "the pickle ends within {count} bytes of which {} are there; \
                 the file is truncated or damaged",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// The next line, without the newline.
    pub(super) fn line(&mut self) -> Result<String, Fault> {
        let mut line = Vec::new();
        (&mut *self.0).take(LINE).read_until(b'\n', &mut line)?;
        let ended = line.pop() == Some(b'\n');
        match String::from_utf8(line) {
            Ok(line) if ended => Ok(line),
            _ => Err(Fault::Problem(
                "the pickle has a line that does not end or is not text; \
                 the file is truncated or damaged"
                    .to_string(),
            )),
        }
    }
}
