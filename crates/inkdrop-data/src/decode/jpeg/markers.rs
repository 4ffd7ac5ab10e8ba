//! The marker segments of a JPEG file (ITU-T T.81, annex B).

use super::huffman::Table;
use super::{CUT, Problem};
use crate::decode::Limits;

pub(super) const NO_FRAME: &str = "it has no frame header";

/// Index of coefficient k of the zigzag order.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Colour space of the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Gray,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

/// One colour component.
#[derive(Debug)]
pub(super) struct Component {
    id: u8,
    /// Horizontal and vertical sampling factor, 1 to 4.
    pub h: usize,
    pub v: usize,
    /// Number of its quantisation table.
    pub table: usize,
    /// The quantisation table in natural order, taken at the component's first scan.
    pub quantisation: Option<[u16; 64]>,
    /// Samples in a row and in a column.
    pub width: usize,
    pub height: usize,
    /// Blocks in a row and in a column, whole MCUs.
    pub blocks_wide: usize,
    pub blocks_high: usize,
    /// `[blocks_high, blocks_wide, 64]`, each block in natural order.
    pub coefficients: Vec<i16>,
    /// True if the DC coefficients were read.
    pub has_dc: bool,
}

impl Component {
    /// Number of blocks that hold samples: across and down.
    pub fn used_blocks(&self) -> (usize, usize) {
        (self.width.div_ceil(8), self.height.div_ceil(8))
    }
}

/// The frame: size and components.
#[derive(Debug)]
pub(super) struct Frame {
    pub width: usize,
    pub height: usize,
    pub progressive: bool,
    /// The largest sampling factors.
    pub most_h: usize,
    pub most_v: usize,
    pub components: Vec<Component>,
}

impl Frame {
    /// MCUs across and down.
    pub fn mcus(&self) -> (usize, usize) {
        (self.width.div_ceil(8 * self.most_h), self.height.div_ceil(8 * self.most_v))
    }

    /// Checks that each component was in a scan.
    pub fn check_scans(&self) -> Result<(), Problem> {
        match self.components.iter().position(|component| !component.has_dc) {
            Some(index) => Err(format!("component {index} is in no scan").into()),
            None => Ok(()),
        }
    }
}

/// Reads the segments in order.
pub(super) struct Parser<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    limits: Limits,
    pub dc: [Option<Table>; 4],
    pub ac: [Option<Table>; 4],
    pub quantisation: [Option<[u16; 64]>; 4],
    /// MCUs between restart markers; 0 for none.
    pub restart: usize,
    jfif: bool,
    /// Colour transform of Adobe's segment.
    adobe: Option<u8>,
    /// The content of the first EXIF segment, a TIFF structure.
    pub exif: Option<&'a [u8]>,
    pub frame: Option<Frame>,
    /// Number of scans so far.
    pub scans: usize,
}

impl<'a> Parser<'a> {
    pub fn new(bytes: &'a [u8], limits: Limits) -> Self {
        let (dc, ac) = Default::default();
        let (quantisation, restart, jfif, adobe) = Default::default();
        let (exif, frame, scans) = Default::default();
        Self {
            bytes,
            at: 2,
            limits,
            dc,
            ac,
            quantisation,
            restart,
            jfif,
            adobe,
            exif,
            frame,
            scans,
        }
    }

    /// The next marker; bytes before it are skipped.
    pub fn marker(&mut self) -> Result<u8, Problem> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let start = rest.iter().position(|&byte| byte == 0xff).ok_or(CUT)?;
            self.at += start + 1;
            match self.bytes.get(self.at) {
                None => return Err(CUT.into()),
                Some(0 | 0xff) => {}
                Some(&marker) => {
                    self.at += 1;
                    return Ok(marker);
                }
            }
        }
    }

    /// The content of a segment that tells its length.
    pub fn segment(&mut self) -> Result<&'a [u8], Problem> {
        let length = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(CUT)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let start = self.at + 2;
        self.at += length.max(2);
        self.bytes.get(start..self.at).ok_or(CUT.into())
    }

    /// Reads a table or the frame header; other segments are skipped.
    pub fn table_or_header(&mut self, marker: u8, segment: &'a [u8]) -> Result<(), Problem> {
        match marker {
            0xc0..=0xc2 => self.frame_header(marker, segment)?,
            0xc4 => self.huffman_tables(segment)?,
            0xc9..=0xcb | 0xcd..=0xcf => {
                let kind = "a JPEG file with arithmetic coding, which is not supported; \
                            convert it to a JPEG with Huffman coding or to PNG";
                return Err(Problem::Refused(kind.to_owned()));
            }
            0xc3 | 0xc5..=0xc7 => {
                let kind = "a lossless or hierarchical JPEG file, which is not supported; convert it to PNG";
                return Err(Problem::Refused(kind.to_owned()));
            }
            0xdb => self.quantisation_tables(segment)?,
            0xdd => {
                let interval = segment.first_chunk().ok_or("its restart interval is cut")?;
                self.restart = usize::from(u16::from_be_bytes(*interval));
            }
            0xe0 => self.jfif |= segment.len() >= 12 && segment.starts_with(b"JFIF\0"),
            0xe1 => self.exif = self.exif.or(segment.strip_prefix(b"Exif\0\0")),
            0xee if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    fn frame_header(&mut self, marker: u8, segment: &[u8]) -> Result<(), Problem> {
        const BAD: &str = "a bad frame header";
        if self.frame.is_some() {
            return Err("it has two frame headers".into());
        }
        let &[precision, a, b, c, d, count, ref rest @ ..] = segment else {
            return Err(BAD.into());
        };
        if precision != 8 {
            return Err(Problem::Refused(format!(
                "a JPEG file with samples of {precision} bits, expected a precision of 8; convert it to PNG"
            )));
        }
        let [height, width] = [[a, b], [c, d]].map(|pair| usize::from(u16::from_be_bytes(pair)));
        self.limits.check(width, height).map_err(Problem::Refused)?;
        if !matches!(count, 1 | 3 | 4) || rest.len() != usize::from(count) * 3 {
            return Err(format!("{count} colour components, expected 1, 3 or 4").into());
        }
        let sampling = |spec: &[u8]| (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
        let (mut most_h, mut most_v) = (1, 1);
        for (h, v) in rest.chunks_exact(3).map(sampling) {
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) {
                return Err(BAD.into());
            }
            (most_h, most_v) = (most_h.max(h), most_v.max(v));
        }
        let (components, progressive) = (Vec::new(), marker == 0xc2);
        let mut frame = Frame { width, height, progressive, most_h, most_v, components };
        let (across, down) = frame.mcus();
        for spec in rest.chunks_exact(3) {
            let (h, v) = sampling(spec);
            if most_h % h != 0 || most_v % v != 0 {
                return Err(Problem::Refused(format!(
                    "a JPEG file with sampling factors {h} x {v} beside {most_h} x {most_v}, which is not supported; convert it to PNG"
                )));
            }
            frame.components.push(Component {
                id: spec[0],
                h,
                v,
                table: usize::from(spec[2] & 3),
                quantisation: None,
                width: (width * h).div_ceil(most_h),
                height: (height * v).div_ceil(most_v),
                blocks_wide: across * h,
                blocks_high: down * v,
                coefficients: Vec::new(),
                has_dc: false,
            });
        }
        self.frame = Some(frame);
        Ok(())
    }

    fn huffman_tables(&mut self, mut segment: &[u8]) -> Result<(), Problem> {
        while let [kind, rest @ ..] = segment {
            let (table, length) = Table::parse(rest)?;
            let tables = if kind & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            tables[usize::from(kind & 3)] = Some(table);
            segment = &rest[length..];
        }
        Ok(())
    }

    fn quantisation_tables(&mut self, mut segment: &[u8]) -> Result<(), Problem> {
        while let [kind, rest @ ..] = segment {
            let size = if kind >> 4 == 0 { 1 } else { 2 };
            let values = rest.get(..64 * size).ok_or("a quantisation table is cut")?;
            let mut table = [0; 64];
            for (value, at) in values.chunks_exact(size).zip(ZIGZAG) {
                let value = value.iter().fold(0, |all, &byte| all << 8 | u16::from(byte));
                table[usize::from(at)] = value;
            }
            self.quantisation[usize::from(kind & 3)] = Some(table);
            segment = &rest[64 * size..];
        }
        Ok(())
    }

    /// The colour space, by the rules of libjpeg.
    pub fn colours(&self) -> Colours {
        let components = self.frame.as_ref().map_or(&[][..], |frame| &frame.components);
        let ids: Vec<u8> = components.iter().map(|component| component.id).collect();
        match (components.len(), self.adobe) {
            (1, _) => Colours::Gray,
            (4, None | Some(0)) => Colours::Cmyk,
            (4, _) => Colours::Ycck,
            _ if self.jfif => Colours::YCbCr,
            (_, Some(0)) => Colours::Rgb,
            (_, None) if ids == *b"RGB" => Colours::Rgb,
            _ => Colours::YCbCr,
        }
    }
}

/// Index of the component with an id.
pub(super) fn component(frame: &Frame, id: u8) -> Result<usize, Problem> {
    let found = frame.components.iter().position(|component| component.id == id);
    found.ok_or_else(|| format!("a scan of component {id}, which the frame does not have").into())
}
