//! The scans of a JPEG file: sequential and progressive (ITU-T T.81, annexes F and G).

use super::Problem;
use super::huffman::{Bits, Table};
use super::markers::{Component, Frame, NO_FRAME, Parser, ZIGZAG, component};

/// Largest number of scans: files with more only keep the decoder busy.
const MOST_SCANS: usize = 500;

/// A scan header.
struct Header {
    /// Index of each component, and the numbers of its DC and AC table.
    components: Vec<(usize, usize, usize)>,
    /// First and last coefficient of the zigzag order.
    start: usize,
    end: usize,
    /// Successive approximation: bit positions of the scan before (0 for none) and of this one.
    high: u8,
    low: u8,
}

impl Header {
    fn parse(segment: &[u8], frame: &Frame) -> Result<Self, Problem> {
        const BAD: &str = "a bad scan header";
        let (&count, rest) = segment.split_first().ok_or(BAD)?;
        let (specs, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(BAD)?;
        let &[start, end, bits] = rest.first_chunk().ok_or(BAD)?;
        let mut components = Vec::new();
        for spec in specs.chunks_exact(2) {
            let index = component(frame, spec[0])?;
            components.push((index, usize::from(spec[1] >> 4 & 3), usize::from(spec[1] & 3)));
        }
        let (start, end) = (usize::from(start), usize::from(end));
        let header = Self { components, start, end, high: bits >> 4, low: bits & 15 };
        let good = if frame.progressive { header.is_progressive() } else { header.is_new(frame) };
        let repeated = (1..header.components.len())
            .any(|i| header.components[..i].iter().any(|c| c.0 == header.components[i].0));
        if !(1..=4).contains(&count) || !good || repeated {
            return Err(BAD.into());
        }
        Ok(header)
    }

    fn is_progressive(&self) -> bool {
        let dc = self.start == 0 && self.end == 0;
        let ac =
            (1..=self.end).contains(&self.start) && self.end < 64 && self.components.len() == 1;
        (dc || ac) && self.low <= 13 && (self.high == 0 || self.high == self.low + 1)
    }

    /// True if a sequential scan repeats no component.
    fn is_new(&self, frame: &Frame) -> bool {
        self.components.iter().all(|&(index, ..)| !frame.components[index].has_dc)
    }
}

/// State that a restart marker resets.
#[derive(Default)]
struct State {
    /// The last DC value of each component of the scan.
    dc: [i32; 4],
    /// Number of blocks that the last end of band still covers.
    end_run: u32,
}

/// Reads a scan header, and the scan.
pub(super) fn read(parser: &mut Parser) -> Result<(), Problem> {
    let segment = parser.segment()?;
    parser.scans += 1;
    if parser.scans > MOST_SCANS {
        return Err(format!("more than {MOST_SCANS} scans").into());
    }
    let mut frame = parser.frame.take().ok_or(NO_FRAME)?;
    let header = Header::parse(segment, &frame)?;
    for &(index, _, _) in &header.components {
        prepare(parser, &mut frame.components[index])?;
    }
    decode(parser, &mut frame, &header)?;
    parser.frame = Some(frame);
    Ok(())
}

/// Takes the quantisation table of a component at its first scan, and the memory.
fn prepare(parser: &Parser, component: &mut Component) -> Result<(), Problem> {
    if component.quantisation.is_none() {
        let table = parser.quantisation[component.table];
        component.quantisation = Some(table.ok_or("a quantisation table is missing")?);
        component.coefficients = vec![0; component.blocks_wide * component.blocks_high * 64];
    }
    Ok(())
}

/// Decodes the scan at the parser's position, and moves the parser behind it.
fn decode(parser: &mut Parser, frame: &mut Frame, header: &Header) -> Result<(), Problem> {
    let mut bits = Bits::new(parser.bytes, parser.at);
    let mut state = State::default();
    let (across, down) = match header.components[..] {
        [(index, ..)] => frame.components[index].used_blocks(),
        _ => frame.mcus(),
    };
    let decoder = BlockDecoder::new(parser, frame.progressive, header)?;
    for mcu in 0..across * down {
        if parser.restart > 0 && mcu > 0 && mcu % parser.restart == 0 {
            bits.restart(mcu / parser.restart - 1)?;
            state = State::default();
        }
        decode_mcu(&decoder, (mcu % across, mcu / across), frame, &mut bits, &mut state)?;
    }
    for &(index, ..) in &header.components {
        frame.components[index].has_dc |= header.start == 0;
    }
    parser.at = bits.at;
    Ok(())
}

/// Decodes the blocks of an MCU: one block of a single component, or h · v blocks of each.
fn decode_mcu(
    decoder: &BlockDecoder,
    (x, y): (usize, usize),
    frame: &mut Frame,
    bits: &mut Bits,
    state: &mut State,
) -> Result<(), Problem> {
    let components = &decoder.header.components;
    for (number, &(index, ..)) in components.iter().enumerate() {
        let component = &mut frame.components[index];
        let (h, v) = if components.len() == 1 { (1, 1) } else { (component.h, component.v) };
        for row in y * v..(y + 1) * v {
            for column in x * h..(x + 1) * h {
                let at = (row * component.blocks_wide + column) * 64;
                let block = component.coefficients[at..].first_chunk_mut().ok_or("a bad scan")?;
                decoder.block(block, number, bits, state)?;
            }
        }
    }
    Ok(())
}

/// Decodes blocks of a scan.
struct BlockDecoder<'a> {
    header: &'a Header,
    /// DC and AC table of each component, where the scan needs them.
    tables: Vec<[Option<&'a Table>; 2]>,
    progressive: bool,
}

impl<'a> BlockDecoder<'a> {
    fn new(parser: &'a Parser, progressive: bool, header: &'a Header) -> Result<Self, Problem> {
        let (first, refining) = (header.start == 0, header.high > 0);
        let [dc_needed, ac_needed] = match progressive {
            true => [first && !refining, !first],
            false => [true, true],
        };
        let mut tables = Vec::new();
        for &(_, dc, ac) in &header.components {
            let (dc, ac) = (parser.dc[dc].as_ref(), parser.ac[ac].as_ref());
            if dc_needed && dc.is_none() || ac_needed && ac.is_none() {
                return Err("a Huffman table is missing".into());
            }
            tables.push([dc, ac]);
        }
        Ok(Self { header, tables, progressive })
    }

    fn block(
        &self,
        block: &mut [i16; 64],
        number: usize,
        bits: &mut Bits,
        state: &mut State,
    ) -> Result<(), Problem> {
        let [dc, ac] = self.tables[number];
        match (self.progressive, self.header.start, self.header.high) {
            (true, 0, 0) => self.dc(block, (dc, number), bits, state),
            (true, 0, _) => {
                block[0] |= (bits.take(1)? as i16) << self.header.low;
                Ok(())
            }
            (true, _, 0) => self.ac_first(block, ac, bits, state),
            (true, ..) => self.ac_refine(block, ac, bits, state),
            (false, ..) => {
                self.dc(block, (dc, number), bits, state)?;
                sequential_ac(block, ac, bits)
            }
        }
    }

    fn dc(
        &self,
        block: &mut [i16; 64],
        (table, number): (Option<&Table>, usize),
        bits: &mut Bits,
        state: &mut State,
    ) -> Result<(), Problem> {
        let category = symbol(table, bits)?;
        if category > 15 {
            return Err("a bad DC value".into());
        }
        let low = if self.progressive { self.header.low } else { 0 };
        state.dc[number] = state.dc[number].wrapping_add(bits.value(category)?);
        block[0] = state.dc[number].wrapping_shl(u32::from(low)) as i16;
        Ok(())
    }

    /// The first scan of a band of AC coefficients (figure G.3).
    fn ac_first(
        &self,
        block: &mut [i16; 64],
        table: Option<&Table>,
        bits: &mut Bits,
        state: &mut State,
    ) -> Result<(), Problem> {
        if state.end_run > 0 {
            state.end_run -= 1;
            return Ok(());
        }
        let mut k = self.header.start;
        while k <= self.header.end {
            let (run, category) = run_and_category(symbol(table, bits)?);
            match (run, category) {
                (15, 0) => k += 16,
                (_, 0) => {
                    state.end_run = (1 << run) - 1 + bits.take(run as u32)?;
                    break;
                }
                _ => {
                    k += run;
                    let value = bits.value(category)?.wrapping_shl(u32::from(self.header.low));
                    *coefficient(block, k)? = value as i16;
                    k += 1;
                }
            }
        }
        Ok(())
    }

    /// A later scan of a band, which adds one bit to each coefficient (figure G.7).
    fn ac_refine(
        &self,
        block: &mut [i16; 64],
        table: Option<&Table>,
        bits: &mut Bits,
        state: &mut State,
    ) -> Result<(), Problem> {
        let unit = 1i16 << self.header.low;
        let (mut k, end) = (self.header.start, self.header.end);
        while k <= end && state.end_run == 0 {
            let (run, category) = run_and_category(symbol(table, bits)?);
            let mut value = 0;
            if category > 0 {
                value = if bits.take(1)? == 1 { unit } else { -unit };
            } else if run < 15 {
                // This block counts as one of the run.
                state.end_run = (1 << run) + bits.take(run as u32)?;
                break;
            }
            k = self.refine_until(block, (k, run), bits)?;
            if value != 0 && k <= end {
                *coefficient(block, k)? = value;
            }
            k += 1;
        }
        if state.end_run > 0 {
            self.refine_until(block, (k, 64), bits)?;
            state.end_run -= 1;
        }
        Ok(())
    }

    /// Refines the nonzero coefficients from k on until `zeros` zeros are passed and another is met;
    /// returns the position of that one.
    fn refine_until(
        &self,
        block: &mut [i16; 64],
        (mut k, mut zeros): (usize, usize),
        bits: &mut Bits,
    ) -> Result<usize, Problem> {
        let unit = 1i16 << self.header.low;
        while k <= self.header.end {
            let value = coefficient(block, k)?;
            if *value == 0 {
                if zeros == 0 {
                    break;
                }
                zeros -= 1;
            } else if bits.take(1)? == 1 && *value & unit == 0 {
                *value = value.wrapping_add(if *value > 0 { unit } else { -unit });
            }
            k += 1;
        }
        Ok(k)
    }
}

/// The AC coefficients of a block of a sequential scan (figure F.13).
fn sequential_ac(
    block: &mut [i16; 64],
    table: Option<&Table>,
    bits: &mut Bits,
) -> Result<(), Problem> {
    let mut k = 1;
    while k < 64 {
        let (run, category) = run_and_category(symbol(table, bits)?);
        match (run, category) {
            (15, 0) => k += 16,
            (_, 0) => break,
            _ => {
                k += run;
                *coefficient(block, k)? = bits.value(category)? as i16;
                k += 1;
            }
        }
    }
    Ok(())
}

fn symbol(table: Option<&Table>, bits: &mut Bits) -> Result<u8, Problem> {
    table.ok_or("a Huffman table is missing")?.decode(bits)
}

fn run_and_category(symbol: u8) -> (usize, u8) {
    (usize::from(symbol >> 4), symbol & 15)
}

fn coefficient(block: &mut [i16; 64], k: usize) -> Result<&mut i16, Problem> {
    let at = ZIGZAG.get(k).ok_or("a coefficient beyond its block")?;
    Ok(&mut block[usize::from(*at)])
}
