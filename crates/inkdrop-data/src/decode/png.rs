//! Decoder of PNG files.

use std::io::Cursor;

use png::{BitDepth, DecodeOptions, Decoder, DecodingError, Limits as PngLimits, Transformations};

use super::{Limits, PictureOptions, Raster, Values, animation, exif};

type Bytes<'a> = Cursor<&'a [u8]>;

const SIGNATURE: usize = 8;

/// Width and height, and the EXIF orientation.
pub(super) fn sides(bytes: &[u8], limits: Limits) -> Result<((usize, usize), u8), String> {
    let sides = header(&mut decoder(bytes, limits, false), limits)?;
    Ok((sides, orientation(bytes)))
}

/// Decodes a picture. A file without its end, or with a wrong checksum of the pixel data, is mended first
/// if the pixel data are complete.
pub(super) fn decode(bytes: &[u8], options: &PictureOptions) -> Result<Raster, String> {
    let (error, mended) = match decode_strictly(bytes, options, false) {
        Ok(raster) => return Ok(raster),
        Err(error) => (error, mend(bytes)),
    };
    let Some((bytes, remarks)) = mended else { return Err(error) };
    let mut raster = decode_strictly(&bytes, options, true).map_err(|_| error)?;
    raster.remarks.extend(remarks);
    Ok(raster)
}

/// - checked: verifies zlib's checksum of the pixel data
fn decode_strictly(
    bytes: &[u8],
    options: &PictureOptions,
    checked: bool,
) -> Result<Raster, String> {
    let mut decoder = decoder(bytes, options.limits(), checked);
    let (width, height) = header(&mut decoder, options.limits())?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let mut remarks = Vec::new();
    if reader.info().is_animated() {
        remarks.push(animation(options)?);
    }
    let size = reader.output_buffer_size().ok_or("a picture that memory does not hold")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(broken)?;
    if remarks.is_empty() {
        reader.finish().map_err(broken)?;
    }
    pixels.truncate(frame.buffer_size());
    let values = match frame.bit_depth {
        BitDepth::Sixteen => {
            let pairs = pixels.as_chunks().0.iter();
            Values::Sixteen(pairs.map(|&pair| u16::from_be_bytes(pair)).collect())
        }
        _ => Values::Eight(pixels),
    };
    let (channels, orientation) = (frame.color_type.samples(), orientation(bytes));
    Ok(Raster { width, height, channels, values, orientation, remarks })
}

fn decoder(bytes: &[u8], limits: Limits, checked: bool) -> Decoder<Bytes<'_>> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(!checked);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(PngLimits { bytes: usize::try_from(limits.bytes()).unwrap_or(usize::MAX) });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder
}

fn header(decoder: &mut Decoder<Bytes>, limits: Limits) -> Result<(usize, usize), String> {
    let info = decoder.read_header_info().map_err(broken)?;
    let (width, height) = (info.width as usize, info.height as usize);
    limits.check(width, height)?;
    Ok((width, height))
}

fn broken(error: DecodingError) -> String {
    format!("a broken PNG file: {error}; fetch it again")
}

/// A chunk: its type, its content, and its checksum unless the file ends before.
struct Chunk<'a> {
    name: [u8; 4],
    content: &'a [u8],
    checksum: Option<[u8; 4]>,
}

/// The chunks up to the end, or up to one that is cut.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk()?;
        let (&name, after) = after.split_first_chunk()?;
        let (content, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let checksum = after.first_chunk().copied();
        rest = after.get(4..).unwrap_or_default();
        Some(Chunk { name, content, checksum })
    })
}

/// The orientation of the eXIf chunk.
fn orientation(bytes: &[u8]) -> u8 {
    let chunk = chunks(bytes).find(|chunk| chunk.name == *b"eXIf");
    chunk.map_or(1, |chunk| exif::orientation(chunk.content))
}

/// The file with an end and with right checksums of its pixel data, and remarks on what was wrong; `None` if that was
/// not wrong.
fn mend(bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
    let mut mended = bytes.get(..SIGNATURE)?.to_vec();
    let (mut checksums, mut has_end) = (0, false);
    for chunk in chunks(bytes) {
        // An end whose checksum is cut is replaced below.
        has_end = chunk.name == *b"IEND" && chunk.checksum.is_some();
        if chunk.name == *b"IEND" && !has_end {
            break;
        }
        let right = checksum(&chunk);
        let kept = match chunk.checksum {
            Some(found) if chunk.name != *b"IDAT" => found,
            found => {
                checksums += usize::from(found.is_some_and(|found| found != right));
                right
            }
        };
        mended.extend((chunk.content.len() as u32).to_be_bytes());
        mended.extend([&chunk.name, chunk.content, &kept[..]].concat());
        if has_end {
            break;
        }
    }
    let mut remarks = Vec::new();
    if checksums > 0 {
        remarks
            .push("the checksum of its pixel data is wrong, but the data are complete".to_owned());
    }
    if !has_end {
        mended.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
        remarks.push("its end (IEND) is missing, but the pixel data are complete".to_owned());
    }
    (!remarks.is_empty()).then_some((mended, remarks))
}

fn checksum(chunk: &Chunk) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(&chunk.name);
    crc.update(chunk.content);
    crc.sum().to_be_bytes()
}
