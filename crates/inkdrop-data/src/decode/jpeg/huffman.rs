//! Huffman tables and the bits of a scan (ITU-T T.81, annexes C and F).

use super::{CUT, Problem};

/// Bits of a code that are looked up at once.
const FAST: u32 = 9;

/// A Huffman table.
#[derive(Debug)]
pub(super) struct Table {
    /// Length and value of the code that begins with these bits; length 0 for longer codes.
    fast: Vec<(u8, u8)>,
    /// The greatest code of each length; −1 for none.
    greatest: [i32; 17],
    /// Index of a value less its code, for each length.
    offset: [i32; 17],
    values: Vec<u8>,
}

impl Table {
    /// Parses a table; returns it and its length in bytes.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), Problem> {
        let counts: &[u8; 16] = bytes.first_chunk().ok_or("a Huffman table is cut")?;
        let total: usize = counts.iter().copied().map(usize::from).sum();
        let values = bytes.get(16..16 + total).filter(|values| values.len() <= 256);
        let values = values.ok_or("a bad Huffman table")?.to_vec();
        let mut fast = vec![(0, 0); 1 << FAST];
        let (mut greatest, mut offset) = ([-1; 17], [0; 17]);
        let (mut code, mut index) = (0i32, 0);
        for (length, &count) in (1u32..).zip(counts) {
            offset[length as usize] = index as i32 - code;
            for &value in &values[index..index + usize::from(count)] {
                if code >= 1 << length {
                    return Err("a bad Huffman table".into());
                }
                if length <= FAST {
                    let start = (code as usize) << (FAST - length);
                    fast[start..start + (1 << (FAST - length))].fill((length as u8, value));
                }
                greatest[length as usize] = code;
                code += 1;
            }
            index += usize::from(count);
            code <<= 1;
        }
        Ok((Self { fast, greatest, offset, values }, 16 + total))
    }

    /// Decodes the next value.
    pub fn decode(&self, bits: &mut Bits) -> Result<u8, Problem> {
        let next = bits.peek(16);
        let (length, value) = self.fast[(next >> (16 - FAST)) as usize];
        if length != 0 {
            bits.consume(u32::from(length))?;
            return Ok(value);
        }
        for length in FAST + 1..=16 {
            let code = (next >> (16 - length)) as i32;
            if code <= self.greatest[length as usize] {
                bits.consume(length)?;
                let index = (code + self.offset[length as usize]) as usize;
                return self.values.get(index).copied().ok_or("a bad code".into());
            }
        }
        // Zeros are seen where the bytes end, and need not be a code.
        Err(if bits.count < 16 { CUT } else { "a bad code" }.into())
    }
}

/// The bits of a scan, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Offset of the next byte to take; a marker is never taken.
    pub at: usize,
    buffer: u64,
    /// Number of bits in the buffer.
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, buffer: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            let mut next = self.at + 1;
            if byte == 0xff {
                while self.bytes.get(next) == Some(&0xff) {
                    next += 1;
                }
                if self.bytes.get(next) != Some(&0) {
                    return;
                }
                next += 1;
            }
            self.at = next;
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next bits, followed by zeros where they end.
    fn peek(&mut self, count: u32) -> u32 {
        if self.count < count {
            self.fill();
        }
        let bits = match self.count.checked_sub(count) {
            Some(surplus) => self.buffer >> surplus,
            None => self.buffer << (count - self.count),
        };
        (bits & ((1 << count) - 1)) as u32
    }

    fn consume(&mut self, count: u32) -> Result<(), Problem> {
        self.count = self.count.checked_sub(count).ok_or(CUT)?;
        Ok(())
    }

    /// The next bits as a number.
    pub fn take(&mut self, count: u32) -> Result<u32, Problem> {
        let bits = self.peek(count);
        self.consume(count)?;
        Ok(bits)
    }

    /// A value of a magnitude category: the EXTEND procedure (figure F.12).
    pub fn value(&mut self, category: u8) -> Result<i32, Problem> {
        if category == 0 {
            return Ok(0);
        }
        let bits = self.take(u32::from(category))? as i32;
        let half = 1 << (category - 1);
        Ok(if bits < half { bits - 2 * half + 1 } else { bits })
    }

    /// Takes restart marker `number` modulo 8, and forgets the bits before it.
    pub fn restart(&mut self, number: usize) -> Result<(), Problem> {
        (self.buffer, self.count) = (0, 0);
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let marker =
            rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff));
        let marker = marker.ok_or(CUT)?;
        if rest[marker + 1] != 0xd0 + (number % 8) as u8 {
            return Err(format!("restart marker {} is missing", number % 8).into());
        }
        self.at += marker + 2;
        Ok(())
    }
}
