//! Decompresses parts of files that nobody vouches for: never more than they announce, and never more
//! than there is room for.

use std::borrow::Cow;
use std::io::Read;

use object::CompressionFormat;
use object::read::ObjectSection;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use crate::system::memory::human;

/// zlib cannot make more than 1,032 bytes of one (`https://zlib.net/zlib_tech.html`).
const LARGEST_RATIO: u64 = 1100;
/// Memory that an `.xz` file may ask for: `xz -9` asks for 64 MiB.
const XZ_MEMORY: u32 = 256 << 10;

/// A section's bytes, decompressed if need be; an error if they are more than `most`.
pub fn contents<'data>(section: &impl ObjectSection<'data>, most: u64) -> Result<Cow<'data, [u8]>, String> {
    let name = || section.name().unwrap_or("a section").to_owned();
    let text = |error: object::Error| format!("{}: {error}", name());
    let announced = section.compressed_file_range().map_err(text)?.uncompressed_size;
    if announced > most {
        return Err(format!("{} announces {}, more than there is room for", name(), human(announced)));
    }
    let data = section.compressed_data().map_err(text)?;
    let bound = (data.data.len() as u64).saturating_mul(LARGEST_RATIO).saturating_add(1 << 12);
    match data.format {
        CompressionFormat::Zlib if announced > bound => {
            Err(format!("{} announces {announced} bytes, more than it can hold", name()))
        }
        CompressionFormat::Zstandard => {
            zstd(data.data, announced).map(Cow::Owned).map_err(|reason| format!("{}: {reason}", name()))
        }
        _ => data.decompress().map_err(text),
    }
}

/// The contents of one or several frames, which are so many bytes.
fn zstd(mut input: &[u8], announced: u64) -> Result<Vec<u8>, String> {
    // Memory is taken as bytes come out, not as they are announced.
    let mut output = Vec::new();
    while !input.is_empty() {
        let decoder = match StreamingDecoder::new(&mut input) {
            Ok(decoder) => decoder,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                input = input.get(length as usize..).ok_or("its zstd data end early")?;
                continue;
            }
            Err(error) => return Err(format!("its zstd data are damaged: {error}")),
        };
        let left = announced.saturating_sub(output.len() as u64);
        let mut decoder = decoder.take(left + 1);
        decoder.read_to_end(&mut output).map_err(|error| format!("its zstd data are damaged: {error}"))?;
        if output.len() as u64 > announced {
            break;
        }
    }
    if output.len() as u64 == announced { Ok(output) } else { Err("its zstd data are not as long as announced".into()) }
}

/// An `.xz` file's contents, at most so many bytes.
pub fn xz(input: &[u8], most: u64) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    let reader = lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY);
    let read = reader.take(most + 1).read_to_end(&mut output);
    read.map_err(|error| format!("its xz data are damaged: {error}"))?;
    if output.len() as u64 > most { Err("it is larger than there is room for".into()) } else { Ok(output) }
}
